from __future__ import annotations

import inspect

import opensearchpy.exceptions
import pytest
from opensearchpy import OpenSearch
from opensearchpy.exceptions import ConnectionError as OpenSearchConnectionError
from opensearchpy.exceptions import OpenSearchException, SerializationError, TransportError

from ce2de_os.errors import (
    BackendBusyError,
    BackendError,
    BackendUnavailableError,
    ConfigError,
    IndexSchemaError,
    RequestTooLargeError,
)
from ce2de_os.index.client import backend_errors, check_complete


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (429, BackendBusyError, "look up index 'x': OpenSearch is too busy, or short of memory"),
        (503, BackendUnavailableError, "look up index 'x': Service Unavailable (HTTP 503)"),
        (413, RequestTooLargeError, "look up index 'x': Request Entity Too Large (HTTP 413)"),
        (599, BackendError, "look up index 'x': refused (HTTP 599)"),
    ],
)
def test_an_answer_without_a_body_is_told_in_words(status: int, kind: type[Exception], told: str) -> None:
    """The answer to a HEAD request has none, whatever is wrong."""
    with pytest.raises(kind) as caught, backend_errors("look up index 'x'"):
        raise TransportError(status, "", None)
    assert str(caught.value).startswith(told)


def test_a_node_that_goes_away_while_it_is_asked_is_waited_for() -> None:
    cause = {"type": "node_disconnected_exception", "reason": "[node-3][127.0.0.1:20023] disconnected"}
    body = {"error": {"type": "search_phase_execution_exception", "root_cause": [cause]}, "status": 500}
    with pytest.raises(BackendUnavailableError, match="disconnected"), backend_errors("search 'x'"):
        raise TransportError(500, "search_phase_execution_exception", body)


def test_an_answer_that_lacks_a_shard_is_no_answer() -> None:
    check_complete("count documents of 'x'", {"_shards": {"total": 2, "successful": 2, "failed": 0}})
    with pytest.raises(BackendUnavailableError, match="count documents of 'x': 1 of 2 copies of shards"):
        check_complete("count documents of 'x'", {"_shards": {"total": 2, "successful": 1, "failed": 1}})


def opensearchs_errors() -> list[type[OpenSearchException]]:
    classes = [one for _, one in inspect.getmembers(opensearchpy.exceptions, inspect.isclass)]
    return [one for one in classes if issubclass(one, OpenSearchException)]


@pytest.mark.parametrize("raised", opensearchs_errors())
def test_every_error_of_opensearch_py_becomes_one_of_ours(raised: type[OpenSearchException]) -> None:
    """A class that a new version of opensearch-py adds is among them."""
    transport = issubclass(raised, TransportError)
    error = raised("N/A", "refused", Exception("refused")) if transport else raised("refused")
    with pytest.raises(BackendError, match="read 'x'"), backend_errors("read 'x'"):
        raise error


def test_there_are_errors_to_map() -> None:
    assert {OpenSearchException, SerializationError, TransportError} <= set(opensearchs_errors())


def test_a_client_of_an_event_loop_that_has_ended():
    told = r"search a: the client belongs to an event loop .* anew in each"
    closed = RuntimeError("Event loop is closed")
    with pytest.raises(ConfigError, match=told), backend_errors("search a"):
        raise OpenSearchConnectionError("N/A", str(closed), closed)
    with pytest.raises(ConfigError, match="the client belongs to an event loop"), backend_errors("search a"):
        raise RuntimeError("got Future attached to a different loop")
    with pytest.raises(RuntimeError, match="of ours"), backend_errors("search a"):
        raise RuntimeError("a mistake of ours")


def test_a_request_that_is_nested_too_deeply():
    query: dict = {"match_all": {}}
    for _ in range(3000):
        query = {"bool": {"must": query}}
    with OpenSearch(["http://127.0.0.1:9"], max_retries=0) as client:
        told = pytest.raises(IndexSchemaError, match="the request is nested too deeply")
        with told, backend_errors("search a"):
            client.search(index="a", body={"query": query})
    while query:  # by hand: freeing it at once would recurse as deeply
        query = query.get("bool", {}).get("must", {})
