"""Training works beside ``--out`` and deletes only what it made."""

from __future__ import annotations

from pathlib import Path

import pytest

from ce2de_os.distill.training.teacher_training import RUN_FILE, check_out
from ce2de_os.errors import DataError


def test_a_folder_of_others_is_not_worked_in(tmp_path: Path) -> None:
    work = tmp_path / "teacher.training"
    work.mkdir()
    (work / "slides.odp").write_text("my only copy")
    with pytest.raises(DataError, match=r"teacher\.training: .* delete it at its end"):
        check_out(tmp_path / "teacher")
    (work / "slides.odp").unlink()
    work.rmdir()
    work.write_text("a file")
    with pytest.raises(DataError, match=r"teacher\.training"):
        check_out(tmp_path / "teacher")


@pytest.mark.parametrize("name", [None, "pairs-0123.jsonl.gz", RUN_FILE])
def test_a_folder_of_an_earlier_run_is_gone_on_with(tmp_path: Path, name: str | None) -> None:
    work = tmp_path / "teacher.training"
    work.mkdir()
    if name:
        (work / name).write_text("{}")
    assert check_out(tmp_path / "teacher") == work


@pytest.mark.parametrize("name", [".", "", "/"])
def test_a_folder_that_cannot_have_one_next_to_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="exists; choose another"):
        check_out(Path(name))
