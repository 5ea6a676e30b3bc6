"""Exact search against a loop."""

from __future__ import annotations

import numpy as np
import pytest

from ce2de_os.evaluation import Collection, exact_search
from ce2de_os.evaluation.exact import best_first


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


def test_many_queries_are_searched_in_blocks(monkeypatch):
    rng = np.random.default_rng(5)
    documents, queries = (rng.normal(size=(n, 4)).astype(np.float32) for n in (30, 50))
    whole = exact_search(collection(30, 50), documents, queries, 7)
    for cells in (1, 70):  # one query, two queries at a time
        monkeypatch.setattr("ce2de_os.evaluation.exact._CELLS", cells)
        found = exact_search(collection(30, 50), documents, queries, 7)
        assert list(found) == list(whole)
        for query_id, run in whole.items():
            assert [hit.doc_id for hit in found[query_id]] == [hit.doc_id for hit in run]


@pytest.mark.parametrize("top_k", [1, 2, 3, 7, 39, 40, 41])
def test_the_best_are_those_of_a_stable_sort(top_k):
    rng = np.random.default_rng(6)
    for spread in (1, 3, 1000):  # mostly ties to hardly any
        scores = rng.integers(0, spread, size=40).astype(np.float32)
        expected = np.argsort(-scores, kind="stable")[:top_k]
        assert best_first(scores, top_k).tolist() == expected.tolist()


def test_scores_that_are_no_numbers_come_last():
    scores = np.array([np.nan, 1, np.nan, 3, 2], dtype=np.float32)
    assert best_first(scores, 2).tolist() == [3, 4]
    assert best_first(scores, 4).tolist() == [3, 4, 1, 0]
