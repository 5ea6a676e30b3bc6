"""The course of a search, led by hand: what is asked, and what follows from an answer."""

import pytest
from opensearchpy.exceptions import ConnectionTimeout

from ce2de_os.errors import BackendUnavailableError
from ce2de_os.index.client import backend_errors
from ce2de_os.search.core import SearchCore
from ce2de_os.search.steps import drive

MAPPINGS = {"articles-v1": {"mappings": {"properties": {"title": {"type": "text"}}}}}
SHARDS = {"shards": [[{"shard": 0}]]}


def hit(doc_id, index="articles-v1"):
    return {"_index": index, "_id": doc_id, "_score": 1.0, "_source": {"title": doc_id}}


def answer(*hits, **more):
    return {"hits": {"hits": list(hits)}, "took": 3, "_shards": {"total": 1, "failed": 0}, **more}


def begun(**options):
    """A search whose target is known, with its first request."""
    core = SearchCore("articles", None, None, None, 0, {"mode": "bm25"})
    steps = core.search([core.question("copy", options)])
    assert next(steps).method == "indices.get_mapping"
    assert steps.send(MAPPINGS).method == "search_shards"
    return steps, steps.send(SHARDS)


def result_of(steps, responses):
    with pytest.raises(StopIteration) as end:
        steps.send({"responses": responses})
    (result,) = end.value.value
    return result


def test_one_request_and_its_answer():
    steps, request = begun()
    assert request.method == "msearch"
    result = result_of(steps, [answer(hit("a"), hit("b"))])
    assert [(one.rank, one.doc_id, one.index_name) for one in result] == [
        (1, "a", "articles-v1"),
        (2, "b", "articles-v1"),
    ]
    assert (result.took_ms, result.strategy, result.is_partial) == (3, None, False)


def test_what_was_found_before_the_timeout_is_marked():
    steps, request = begun(timeout_ms=250)
    assert request.arguments["params"] == {"request_timeout": 1.25}  # one second of grace
    assert request.arguments["body"][1]["timeout"] == "250ms"
    result = result_of(steps, [answer(hit("a"), timed_out=True)])
    assert (len(result), result.timed_out, result.is_partial) == (1, True, True)


def test_no_answer_at_all_tells_of_the_timeout():
    steps, _ = begun(timeout_ms=250)
    with pytest.raises(BackendUnavailableError) as raised, backend_errors("search articles"):
        raise ConnectionTimeout("TIMEOUT", "read timed out", TimeoutError())
    with pytest.raises(BackendUnavailableError, match="no answer within 1250 ms; raise timeout_ms"):
        steps.throw(raised.value)


def test_failed_shards_are_marked():
    failure = {"index": "articles-v1", "shard": 0, "reason": {"reason": "broken"}}
    steps, _ = begun()
    failed = {"_shards": {"total": 2, "failed": 1, "failures": [failure]}}
    result = result_of(steps, [{**answer(hit("a")), **failed}])
    assert (result.failures, result.is_partial) == (("articles-v1[0]: broken",), True)


def test_hits_of_another_index_mean_that_the_alias_has_moved():
    steps, _ = begun()
    step = steps.send({"responses": [answer(hit("a", index="articles-v2"))]})
    assert step.method == "indices.get_mapping"


def test_no_questions():
    assert drive(None, SearchCore("articles", None, None, None, 0, {}).search([])) == []
