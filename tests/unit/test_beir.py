"""The public benchmark: collections of ir_datasets in the layout that every reader of this package takes."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from benchmarks.beir import main, prepared, write_collection
from ce2de_os.evaluation import load_collection

DATASET = SimpleNamespace(
    docs_iter=lambda: iter([
        SimpleNamespace(doc_id="d1", title="Wings", text='a "text" with\na line break'),
        SimpleNamespace(doc_id="d2", text="no title"),
    ]),
    queries_iter=lambda: iter([SimpleNamespace(query_id=f"q{n}", text=f"question {n}") for n in range(3)]),
    qrels_iter=lambda: iter([
        SimpleNamespace(query_id="q1", doc_id="d1", relevance=2),
        SimpleNamespace(query_id="q2", doc_id="d2", relevance=0),
    ]),
)  # fmt: skip


def test_a_collection_is_written_once_and_read_as_any_other(tmp_path):
    write_collection(DATASET, tmp_path / "tiny")
    found = load_collection(prepared("tiny", tmp_path))  # is there already, so that nothing is fetched
    assert found.documents == ['Wings. a "text" with\na line break', "no title"]
    assert found.queries == ["question 1"]
    assert found.qrels == {"q1": {"d1": 2}}


def test_a_folder_in_beirs_own_layout_is_used_as_it_is(tmp_path):
    write_collection(DATASET, tmp_path / "tiny")
    (tmp_path / "tiny" / "qrels").mkdir()
    (tmp_path / "tiny" / "qrels.tsv").rename(tmp_path / "tiny" / "qrels" / "test.tsv")
    assert prepared("tiny", tmp_path) == tmp_path / "tiny"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threads", "0"], "--threads: got 0, expected at least 1"),
        (["--json", "nowhere/a.json"], "--json: there is no folder nowhere"),
    ],
)
def test_options_are_checked_before_anything_is_measured(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.setattr(sys, "argv", ["beir", "tiny", "--data", str(tmp_path), *options])
    with pytest.raises(SystemExit):
        main()
    assert message in capsys.readouterr().err


def test_a_model_that_is_none_ends_with_one_line(tmp_path, monkeypatch):
    write_collection(DATASET, tmp_path / "tiny")
    command = ["beir", "tiny", "--data", str(tmp_path), "--artifact", str(tmp_path), "--teacher", "none"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match=r"^beir: .*no manifest\.json there"):
        main()


def test_a_name_that_is_no_collection_ends_with_one_line(tmp_path):
    pytest.importorskip("ir_datasets")
    with pytest.raises(SystemExit, match=r"neither in .* nor one of ir_datasets' BEIR collections"):
        prepared("nonsense", tmp_path)
