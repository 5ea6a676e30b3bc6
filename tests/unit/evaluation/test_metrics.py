"""Retrieval metrics by hand."""

from __future__ import annotations

import math

import pytest

from ce2de_os.errors import DataError
from ce2de_os.evaluation import METRICS, mean, measure
from ce2de_os.records import ScoredDoc


def run_of(*doc_ids):
    return [ScoredDoc(doc_id, 1.0 - 0.01 * rank) for rank, doc_id in enumerate(doc_ids)]


FILLER = [f"x{number}" for number in range(30)]
# Relevant: a (gain 3) at rank 2 and b (gain 1) at rank 4; c (gain 2) is not found; j is judged irrelevant.
QRELS = {"q": {"a": 3, "b": 1, "c": 2, "j": 0}}
RUN = {"q": run_of("j", "a", "x0", "b", "x1")}


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("Hits@10", 1.0),
        ("MRR@10", 1 / 2),
        (
            "nDCG@10",
            (3 / math.log2(3) + 1 / math.log2(5)) / (3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)),
        ),
        (
            "nDCG@20",
            (3 / math.log2(3) + 1 / math.log2(5)) / (3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)),
        ),
        ("MAP", (1 / 2 + 2 / 4) / 3),
        ("MAP@100", (1 / 2 + 2 / 4) / 3),
        ("Recall@100", 2 / 3),
        ("Recall@1000", 2 / 3),
    ],
)
def test_each_metric_by_hand(metric, expected):
    assert measure(QRELS, RUN, metric)["q"] == pytest.approx(expected, abs=1e-9)


def test_what_lies_below_the_cut_does_not_count():
    late = {"q": run_of(*FILLER[:10], "a")}
    assert measure(QRELS, late, "MRR@10")["q"] == 0
    assert measure(QRELS, late, "Hits@10")["q"] == 0
    assert measure(QRELS, late, "nDCG@10")["q"] == 0
    assert measure(QRELS, late, "nDCG@20")["q"] == pytest.approx(
        (3 / math.log2(12)) / (3 + 2 / math.log2(3) + 1 / math.log2(4))
    )
    deep = {"q": run_of(*(f"y{rank}" for rank in range(100)), "a")}
    assert measure(QRELS, deep, "MAP@100")["q"] == 0
    assert measure(QRELS, deep, "MAP")["q"] == pytest.approx(1 / 101 / 3)
    tenth = {"q": run_of(*FILLER[:9], "a")}
    assert measure(QRELS, tenth, "MRR@10")["q"] == 1 / 10
    assert measure(QRELS, tenth, "Hits@10")["q"] == 1


@pytest.mark.parametrize("metric", METRICS)
def test_a_query_without_results_counts_zero(metric):
    qrels = {"found": {"a": 1}, "empty": {"a": 1}, "absent": {"a": 1}}
    scores = measure(qrels, {"found": run_of("a"), "empty": []}, metric)
    assert scores == {"found": 1.0, "empty": 0.0, "absent": 0.0}
    assert mean(scores) == pytest.approx(1 / 3)


@pytest.mark.parametrize("metric", METRICS)
def test_unknown_queries_are_left_out_and_unknown_documents_are_irrelevant(metric):
    qrels = {"q": {"a": 1}}
    assert measure(qrels, {"q": run_of("a", "unknown"), "other": run_of("a")}, metric) == {"q": 1.0}


def test_equal_scores_keep_the_order_of_the_run():
    # trec_eval by itself would order equal scores by id, from z to a.
    tied = {"q": [ScoredDoc("b", 0.5), ScoredDoc("z", 0.5), ScoredDoc("a", 0.5)]}
    for doc_id, rank in (("b", 1), ("z", 2), ("a", 3)):
        assert measure({"q": {doc_id: 1}}, tied, "MRR@10")["q"] == 1 / rank
        assert measure({"q": {doc_id: 1}}, tied, "MAP")["q"] == pytest.approx(1 / rank)
        assert measure({"q": {doc_id: 1}}, tied, "nDCG@10")["q"] == pytest.approx(1 / math.log2(1 + rank))


def test_an_unknown_metric_names_the_known_ones():
    with pytest.raises(DataError, match=r"metric 'ndcg': expected one of MRR@10, nDCG@10"):
        measure(QRELS, RUN, "ndcg")
