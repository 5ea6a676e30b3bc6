"""Retrieval metrics by hand, and the statistics against a second implementation."""

from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pytest

from ce2de_os.errors import DataError
from ce2de_os.evaluation import (
    METRICS,
    Collection,
    Judged,
    confidence_interval,
    exact_search,
    judged_files,
    load_collection,
    load_judged,
    mean,
    measure,
    paired_t_test,
)
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


def collection(documents, queries):
    return Collection(
        "tiny", [f"d{row}" for row in range(documents)], ["text"] * documents,
        [f"q{row}" for row in range(queries)], ["text"] * queries, {},
    )  # fmt: skip


def test_exact_search_ranks_by_inner_product_and_ties_by_the_corpus():
    documents = np.array([[1, 0], [0, 1], [0.6, 0.8], [1, 0]], np.float32)
    queries = np.array([[1, 0], [0, 1]], np.float32)
    runs = exact_search(collection(4, 2), documents, queries, top_k=3)
    assert [hit.doc_id for hit in runs["q0"]] == ["d0", "d3", "d2"]
    assert [hit.doc_id for hit in runs["q1"]] == ["d1", "d2", "d0"]
    assert [hit.score for hit in runs["q1"]] == pytest.approx([1, 0.8, 0])


def test_exact_search_agrees_with_a_loop_over_more_queries_than_a_block():
    rng = np.random.default_rng(4)
    documents, queries = rng.normal(size=(40, 6)), rng.normal(size=(300, 6))
    runs = exact_search(collection(40, 300), documents.astype(np.float32), queries.astype(np.float32), 5)
    for row, query in enumerate(queries):
        scores = {f"d{doc}": float(vector @ query) for doc, vector in enumerate(documents)}
        expected = sorted(scores, key=lambda doc: -scores[doc])[:5]
        assert [hit.doc_id for hit in runs[f"q{row}"]] == expected


def test_the_interval_is_near_the_normal_one_and_repeats_itself():
    values = np.random.default_rng(1).uniform(size=400)
    scores = {str(row): float(value) for row, value in enumerate(values)}
    low, high = confidence_interval(scores)
    error = values.std(ddof=1) / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)
    assert (low, high) == confidence_interval(scores)
    assert (low, high) != confidence_interval(scores, seed=1)
    narrow_low, narrow_high = confidence_interval(scores, confidence=0.5)
    assert low < narrow_low < values.mean() < narrow_high < high


@pytest.mark.parametrize("scores", [{"q": 0.3}, {"a": 0.3, "b": 0.3, "c": 0.3}])
def test_without_spread_the_interval_is_the_mean(scores):
    assert confidence_interval(scores) == pytest.approx((0.3, 0.3))


def test_the_paired_t_test_agrees_with_a_second_implementation():
    rng = np.random.default_rng(2)
    left = rng.uniform(size=30)
    right = left + rng.normal(0.02, 0.1, size=30)
    names = [f"q{row}" for row in range(30)]
    # The order of the queries must not matter.
    got = paired_t_test(dict(zip(names, left, strict=True)), dict(zip(names[::-1], right[::-1], strict=True)))
    differences = left - right
    statistic = differences.mean() / (differences.std(ddof=1) / math.sqrt(30))
    assert got == pytest.approx(2 * tail_of_t(abs(statistic), 29), rel=1e-4)


def tail_of_t(statistic, freedom):
    """P(T > statistic) by integrating Student's density with the trapezoid rule."""
    points = np.linspace(statistic, 300, 3_000_001)
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    constant /= math.sqrt(freedom * math.pi)
    density = constant * (1 + points**2 / freedom) ** (-(freedom + 1) / 2)
    return float(np.trapezoid(density, points))


def test_the_paired_t_test_by_hand():
    # Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t = 2 sqrt(3) with 2 degrees of freedom,
    # for which P(|T| > t) = 1 - t / sqrt(2 + t^2).
    left, right = {"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 0.0, "b": 0.0, "c": 0.0}
    t = 2 * math.sqrt(3)
    assert paired_t_test(left, right) == pytest.approx(1 - t / math.sqrt(2 + t**2))


def test_the_paired_t_test_without_variance():
    left = {"a": 0.1, "b": 0.7, "c": 0.3}
    assert paired_t_test(left, dict(left)) == 1.0
    # The differences 0.6 - 0.7 and 0.2 - 0.3 are not equal in binary.
    assert paired_t_test(left, {query: value - 0.1 for query, value in left.items()}) == 0.0
    assert paired_t_test({"a": 0.1}, {"a": 0.9}) == 1.0


def test_other_queries_cannot_be_paired():
    with pytest.raises(DataError, match="the same queries"):
        paired_t_test({"a": 0.1}, {"b": 0.1})


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
