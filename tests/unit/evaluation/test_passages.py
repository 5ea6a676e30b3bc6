"""MaxP by hand."""

from __future__ import annotations

import gzip

import pytest

from ce2de_os.errors import DataError
from ce2de_os.evaluation import max_p
from ce2de_os.evaluation.passages import read_mapping
from ce2de_os.records import ScoredDoc

RANKED = {"b-2": 9, "a-1": 7, "b-1": 7, "a-3": 1, "c-1": 1}
RUNS = {"q1": [ScoredDoc(*pair) for pair in RANKED.items()], "q2": []}
DOCUMENTS = {
    "q1": [ScoredDoc("b", 9), ScoredDoc("a", 7), ScoredDoc("c", 1)],
    "q2": [],
}  # fmt: skip


def test_a_document_scores_as_its_best_passage():
    mapping = {passage.doc_id: passage.doc_id[0] for passage in RUNS["q1"]}
    assert max_p(RUNS, mapping) == DOCUMENTS
    assert max_p(RUNS, lambda passage_id: passage_id.partition("-")[0]) == DOCUMENTS


def test_it_is_the_maximum_over_passages():
    for document in max_p(RUNS, lambda passage_id: passage_id[0])["q1"]:
        assert document.score == max(p.score for p in RUNS["q1"] if p.doc_id.startswith(document.doc_id))


def test_equal_scores_keep_the_order_of_the_passages():
    tied = {"q": [ScoredDoc("z1", 1), ScoredDoc("a1", 1), ScoredDoc("m1", 1), ScoredDoc("a2", 1)]}
    assert [doc.doc_id for doc in max_p(tied, lambda passage_id: passage_id[0])["q"]] == ["z", "a", "m"]


def test_the_order_of_the_run_counts_where_scores_do_not_follow_it():
    # A re-ranker's logits before a first stage's scores.
    mixed = {"q": [ScoredDoc("a1", -2), ScoredDoc("b1", -3), ScoredDoc("b2", 15)]}
    assert max_p(mixed, lambda passage_id: passage_id[0])["q"] == [ScoredDoc("a", -2), ScoredDoc("b", -3)]


def test_a_passage_without_a_document_is_named():
    with pytest.raises(DataError, match="passage 'a-1' of query 'q1': its document is not known"):
        max_p(RUNS, {"b-2": "b"})


def test_a_mapping_is_read_for_the_ids_that_matter(tmp_path):
    path = tmp_path / "mapping.tsv.gz"
    path.write_bytes(gzip.compress(b"p1\td1\np2\td 2\np3\td1\np1\td1\nother\tx\nother\ty\n"))
    assert read_mapping(path, {"p1", "p2", "p9"}) == {"p1": "d1", "p2": "d 2"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("p1 d1\n", r"m\.tsv:1: got [123] columns, expected two with a tab"),
        ("p1\td1\np2\t\n", r"m\.tsv:2: got [123] columns, expected two"),
        ("p1\td1\td2\n", r"m\.tsv:1: got [123] columns, expected two"),
        ("p1\td1\np1\td2\n", r"m\.tsv:2: 'p1' is 'd1' above and 'd2' here"),
    ],
)
def test_broken_mappings_name_the_line(tmp_path, content, message):
    path = tmp_path / "m.tsv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_mapping(path, {"p1", "p2"})
