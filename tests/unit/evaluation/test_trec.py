"""TREC's files, read and written."""

from __future__ import annotations

import gzip
import itertools

import numpy as np
import pytest
import pytrec_eval

from ce2de_os.errors import DataError
from ce2de_os.evaluation import load_qrels, measure, read_run, write_qrels, write_run
from ce2de_os.records import ScoredDoc


def test_the_score_decides_and_equal_ones_keep_their_order(tmp_path):
    path = tmp_path / "a.run"
    path.write_text(
        "q1 Q0 b 1 1.5 x\nq1 Q0 z 9 3.5 x\n\nq9 Q0 zz 1 1 x\nq1\tQ0\ta\t2\t3.5\tx\nq0 Q0 c 1 -1e3 x\n"
    )
    assert list(read_run(path)) == ["q1", "q9", "q0"]
    assert read_run(path)["q1"] == [ScoredDoc("z", 3.5), ScoredDoc("a", 3.5), ScoredDoc("b", 1.5)]
    assert read_run(path)["q0"] == [ScoredDoc("c", -1000)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q0 Q0 a 1 1.5\n", r"r\.run:1: (got 5|the score is 'high')"),
        ("q0 Q0 a 1 1 x\nq0 Q0 b 2 nan x\n", r"r\.run:2: the score is 'nan'"),
        ("q0 Q0 a 1 high x\n", r"r\.run:1: (got 5|the score is 'high')"),
        ("q0 Q0 a 1 2 x\nq0 Q0 a 2 1 x\n", r"r\.run:2: document 'a' of query 'q0' comes twice"),
    ],
)
def test_broken_runs_name_the_line(tmp_path, content, message):
    path = tmp_path / "r.run"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_run(path)


def test_what_is_written_is_read_again(tmp_path):
    runs = {"q1": [ScoredDoc("a", 2.5), ScoredDoc("b", -1.0)], "q0": [ScoredDoc("a", 0.25)], "none": []}
    path = tmp_path / "new" / "a.trec.gz"
    write_run(path, runs, "mine")
    assert gzip.decompress(path.read_bytes()) == (
        b"q1 Q0 a 1 2.5 mine\nq1 Q0 b 2 -1.0 mine\nq0 Q0 a 1 0.25 mine\n"
    )
    assert read_run(path) == {query_id: run for query_id, run in runs.items() if run}
    assert [file.name for file in path.parent.iterdir()] == ["a.trec.gz"]


def test_ties_and_rising_scores_keep_the_order_of_the_run_in_every_tool(tmp_path):
    # Equal scores, which trec_eval orders by id from z to a, and a first stage's scores after a re-ranker's.
    given = [("b", 1.0), ("z", 1.0), ("a", -7.0), ("y", 12.0), ("c", 12.0), ("x", 1e-50), ("w", 0.0)]
    runs = {"q": [ScoredDoc(*pair) for pair in given]}
    path = tmp_path / "a.trec"
    write_run(path, runs, "mine")
    found = read_run(path)["q"]
    assert [doc.doc_id for doc in found] == [doc_id for doc_id, _ in given]
    assert all(np.float32(left.score) > np.float32(right.score) for left, right in itertools.pairwise(found))
    assert found[0].score == 1
    assert [doc.score for doc in found[1:]] == pytest.approx([1, -7, -7, -7, -7, -7])

    with path.open() as file:
        theirs = pytrec_eval.parse_run(file)
    for doc_id, _ in given:
        evaluator = pytrec_eval.RelevanceEvaluator({"q": {doc_id: 1}}, {"map"})
        ours = measure({"q": {doc_id: 1}}, runs, "MAP")["q"]
        assert evaluator.evaluate(theirs)["q"]["map"] == pytest.approx(ours)


@pytest.mark.parametrize(
    ("query_id", "doc_id", "score", "tag", "message"),
    [
        ("q 1", "a", 1, "x", "the query 'q 1' is empty or has white space in it"),
        ("q", "", 1, "x", "the document '' is empty"),
        ("q", "a", 1, "two words", "the tag 'two words'"),
        ("q", "a", float("nan"), "x", "document 'a' has the score nan; expected a number"),
        ("q", "a", 1e300, "x", r"document 'a' has the score 1e\+300"),
    ],
)
def test_what_the_format_cannot_hold_leaves_no_file(tmp_path, query_id, doc_id, score, tag, message):
    with pytest.raises(DataError, match=message):
        write_run(tmp_path / "a.trec", {query_id: [ScoredDoc(doc_id, score)]}, tag)
    assert list(tmp_path.iterdir()) == []


def test_judgements_are_read_again(tmp_path):
    qrels = {"q1": {"a b": 2, "c": 0}, "q0": {"a": 1}}
    write_qrels(tmp_path / "qrels.tsv", qrels)
    assert load_qrels(tmp_path / "qrels.tsv") == qrels
