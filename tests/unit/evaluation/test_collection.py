"""Reading judged collections."""

from __future__ import annotations

import gzip
import json

import pytest

from ce2de_os.errors import DataError
from ce2de_os.evaluation import Collection, Judged, judged_files, load_collection, load_judged

DOCUMENTS = [
    {"_id": "1", "title": "Kites", "text": "They fly."},
    {"_id": "2", "text": "No title."},
    {"_id": "3", "title": "", "text": "Empty title."},
]
QUERIES = [
    {"_id": "a", "text": "what flies"},
    {"_id": "b", "text": "judged irrelevant"},
    {"_id": "c", "text": "x"},
]
JUDGED = "query-id\tcorpus-id\tscore\na\t1\t2\na\t2\t0\nb\t3\t0\n"


def write(folder, corpus="corpus.jsonl", queries="queries.jsonl", qrels="qrels.tsv", judged=JUDGED):
    folder.mkdir(exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in DOCUMENTS)
    if corpus.endswith(".gz"):
        (folder / corpus).write_bytes(gzip.compress(lines.encode()))
    else:
        (folder / corpus).write_text(lines)
    (folder / queries).write_text("".join(json.dumps(row) + "\n" for row in QUERIES))
    (folder / qrels).write_text(judged)
    return folder


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("corpus.jsonl.gz",),
        ("corpus.en.jsonl.gz", "queries.dev.jsonl", "qrels.dev.tsv"),
    ],
)
def test_a_collection_is_read_with_the_queries_that_have_a_relevant_document(tmp_path, names):
    found = load_collection(write(tmp_path / "birds", *names))
    assert found == Collection(
        "birds", ["1", "2", "3"], ["Kites. They fly.", "No title.", "Empty title."], ["a"], ["what flies"],
        {"a": {"1": 2, "2": 0}},
    )  # fmt: skip


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels.tsv"])
def test_a_missing_file_is_named(tmp_path, missing):
    folder = write(tmp_path)
    (folder / missing).unlink()
    with pytest.raises(DataError, match=f"has no {missing}; expected"):
        load_collection(folder)


def test_a_judgement_of_an_unknown_document_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"qrels\.tsv: judges document '9', which is not in corpus\.jsonl"):
        load_collection(write(tmp_path, judged=JUDGED + "a\t9\t1\n"))


def test_a_collection_without_judged_queries_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no query of queries\.jsonl has a relevant document"):
        load_collection(write(tmp_path, judged="query-id\tcorpus-id\tscore\nz\t1\t1\nb\t3\t0\n"))


def test_judged_queries_are_read_without_a_corpus(tmp_path):
    folder = write(tmp_path)
    (folder / "corpus.jsonl").unlink()
    found = load_judged(*judged_files(folder))
    assert found == Judged({"a": "what flies"}, {"a": {"1": 2, "2": 0}})
    assert found.relevant == {"1"}
    assert found.only({"b"}) == Judged({}, {})


def test_judgements_lie_where_beir_puts_them(tmp_path):
    folder = write(tmp_path)
    (folder / "qrels").mkdir()
    (folder / "qrels.tsv").rename(folder / "qrels" / "test.tsv")
    assert judged_files(folder) == (folder / "queries.jsonl", folder / "qrels" / "test.tsv")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", "what flies"), ("a", "what swims")], "query 'a' comes twice"),
        ([("a", " ")], "query 'a' is empty"),
    ],
)
def test_judged_queries_that_cannot_be_asked(tmp_path, rows, message):
    folder = write(tmp_path)
    lines = (json.dumps({"_id": query_id, "text": text}) + "\n" for query_id, text in rows)
    (folder / "queries.jsonl").write_text("".join(lines))
    with pytest.raises(DataError, match=message):
        load_judged(*judged_files(folder))
