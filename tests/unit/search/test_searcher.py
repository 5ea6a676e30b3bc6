"""What a searcher refuses before it sends anything: the client's address leads nowhere."""

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import BackendUnavailableError, ConfigError, DataError
from ce2de_os.search.searcher import HybridSearcher


@pytest.fixture
def nowhere():
    with OpenSearch(["http://127.0.0.1:9"], max_retries=0) as client:
        yield client


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"fusion": "average"}, "fusion: got 'average', expected one of 'min_max', 'rrf'"),
        ({"strategy": "server"}, "strategy: got 'server', expected one of None, 'pipeline', 'client'"),
        ({"dense_weight": 1.5}, "dense_weight: got 1.5, expected 0 to 1"),
        ({"dense_weight": float("nan")}, "dense_weight: got nan"),
        ({"rrf_k": 0}, "rrf_k: got 0, expected 1 to 10000"),
        ({"candidates": 0}, "candidates: got 0, expected 1 to 10000"),
    ],
)
def test_options_outside_their_bounds(nowhere, option, told):
    with pytest.raises(ConfigError) as raised:
        HybridSearcher(nowhere, "articles", **option)
    assert told in str(raised.value)


@pytest.mark.parametrize("query", ["", "  \n\t "])
def test_a_blank_query(nowhere, query):
    with pytest.raises(DataError, match="the query is empty"):
        HybridSearcher(nowhere, "articles").search(query)


@pytest.mark.parametrize("top_k", [0, -1])
def test_top_k_below_one(nowhere, top_k):
    with pytest.raises(ConfigError, match=f"top_k: got {top_k}, expected at least 1"):
        HybridSearcher(nowhere, "articles").search("copy", top_k=top_k)


def test_an_unknown_mode(nowhere):
    with pytest.raises(ConfigError, match="mode: got 'sparse', expected one of 'hybrid', 'bm25', 'dense'"):
        HybridSearcher(nowhere, "articles").search("copy", mode="sparse")


def test_a_cluster_that_does_not_answer(nowhere):
    with pytest.raises(BackendUnavailableError, match="OpenSearch does not answer"):
        HybridSearcher(nowhere, "articles").search("copy", mode="bm25")


@pytest.mark.parametrize(
    ("version", "fusion", "strategy", "in_cluster"),
    [
        ((2, 18), "min_max", None, False),
        ((2, 19), "min_max", None, True),
        ((2, 19), "rrf", None, False),
        ((3, 6), "rrf", None, True),
        (None, "min_max", None, False),
        ((3, 6), "min_max", "client", False),
        (None, "rrf", "pipeline", True),
    ],
)
def test_the_cluster_fuses_where_it_can(nowhere, version, fusion, strategy, in_cluster):
    searcher = HybridSearcher(nowhere, "articles", fusion=fusion, strategy=strategy)
    vars(searcher)["_neural_search"] = version  # as if the cluster had been asked
    assert searcher._fuses_in_cluster() is in_cluster


def test_a_pipeline_that_the_cluster_cannot_run(nowhere):
    searcher = HybridSearcher(nowhere, "articles", fusion="rrf", strategy="pipeline")
    vars(searcher)["_neural_search"] = (2, 19)
    with pytest.raises(ConfigError, match=r"needs neural-search 3\.6, the cluster has 2\.19"):
        searcher._fuses_in_cluster()
