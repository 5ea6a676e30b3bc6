"""What a searcher refuses before it sends anything: the client's address leads nowhere."""

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import BackendUnavailableError, ConfigError, DataError
from ce2de_os.search.searcher import HybridSearcher


class NoEncoder:
    """Never asked."""

    space = "a" * 64


@pytest.fixture
def nowhere():
    with OpenSearch(["http://127.0.0.1:9"], max_retries=0) as client:
        yield client


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"fusion": "average"}, "fusion: got 'average', expected one of 'min_max', 'l2', 'z_score', 'rrf'"),
        (
            {"strategy": "server"},
            "strategy: got 'server', expected one of None, 'pipeline', 'client'",
        ),
        ({"cached_queries": -1}, "cached_queries: got -1, expected at least 0"),
        ({"depth": 3}, "depth: no such search option; there are top_k, from_, mode"),
        ({"dense_weight": 1.5}, "dense_weight: got 1.5, expected 0 to 1"),
        ({"dense_weight": float("nan")}, "dense_weight: got nan"),
        ({"rrf_k": 0}, "rrf_k: got 0, expected 1 to 10000"),
        ({"candidates": 0}, "candidates: got 0, expected 1 to 10000"),
    ],
)
def test_options_outside_their_bounds(nowhere, option, told):
    with pytest.raises(ConfigError) as raised:
        HybridSearcher(nowhere, "articles", NoEncoder(), **option)
    assert told in str(raised.value)


@pytest.mark.parametrize("query", ["", "  \n\t "])
def test_a_blank_query(nowhere, query):
    with pytest.raises(DataError, match="the query is empty"):
        HybridSearcher(nowhere, "articles").search(query)


@pytest.mark.parametrize("top_k", [0, -1])
def test_top_k_below_one(nowhere, top_k):
    with pytest.raises(ConfigError, match=f"top_k: got {top_k}, expected 1 to 10000"):
        HybridSearcher(nowhere, "articles").search("copy", top_k=top_k)


def test_an_unknown_mode(nowhere):
    with pytest.raises(ConfigError, match="mode: got 'sparse', expected one of 'hybrid', 'bm25', 'dense'"):
        HybridSearcher(nowhere, "articles").search("copy", mode="sparse")


def test_a_cluster_that_does_not_answer(nowhere):
    with pytest.raises(BackendUnavailableError, match="OpenSearch does not answer"):
        HybridSearcher(nowhere, "articles").search("copy", mode="bm25")


def test_what_the_searcher_lacks_is_told_before_anything_is_sent(nowhere):
    searcher = HybridSearcher(nowhere, "articles")
    with pytest.raises(ConfigError, match="only mode 'bm25' works without an encoder"):
        searcher.search("copy")
    with pytest.raises(ConfigError, match="`rerank_depth` needs a second model"):
        searcher.search("copy", mode="bm25", rerank_depth=10)


def test_one_string_is_no_list_of_questions(nowhere):
    with pytest.raises(DataError, match="got the string 'copy', expected a list of questions"):
        HybridSearcher(nowhere, "articles").search_many("copy", mode="bm25")


def test_no_questions_need_no_cluster(nowhere):
    assert HybridSearcher(nowhere, "articles").search_many([]) == []


def test_each_request_has_a_log_record(nowhere, caplog):
    with caplog.at_level("DEBUG", "ce2de_os"), pytest.raises(BackendUnavailableError):
        HybridSearcher(nowhere, "articles").search("copy", mode="bm25")
    assert "Asking OpenSearch to read the mapping of articles" in caplog.text
