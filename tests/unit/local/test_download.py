"""What lies in the download folder is believed only after its checksum."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ce2de_os.errors import LocalServerError
from ce2de_os.local.download import download, is_intact, verify
from ce2de_os.local.lockfile import LockedFile

CONTENT = b"a jar"
FILE = LockedFile("org.example:thing:1.0", "jar", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), "lib")


def test_a_file_is_named_as_in_the_repository() -> None:
    assert FILE.name == "thing-1.0.jar"


def test_another_checksum_is_refused_with_what_to_do() -> None:
    got = hashlib.sha256(b"b jar").hexdigest()
    with pytest.raises(LocalServerError, match=f"got sha256 {got}, expected {FILE.sha256}; .* again"):
        verify(FILE, got)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(CONTENT, True), (b"b jar", False), (CONTENT[:-1], False), (CONTENT + b"x", False), (None, False)],
    ids=["same", "altered", "cut off", "longer", "missing"],
)
def test_only_the_very_same_content_is_intact(tmp_path: Path, content: bytes | None, expected: bool) -> None:
    if content is not None:
        (tmp_path / FILE.name).write_bytes(content)
    assert is_intact(tmp_path / FILE.name, FILE) is expected


def test_intact_files_are_not_downloaded_again(tmp_path: Path) -> None:
    (tmp_path / FILE.name).write_bytes(CONTENT)
    reports: list[tuple[str, int, int]] = []
    download([FILE], tmp_path, lambda *report: reports.append(report))
    assert reports == []
