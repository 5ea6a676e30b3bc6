"""The wire between opensearch-py's client and the model: statuses become exceptions, as the real transport has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.exceptions import HTTP_EXCEPTIONS, ConnectionError, ConnectionTimeout, TransportError
from opensearchpy.serializer import JSONSerializer

Request = Callable[[str, str, Mapping[str, Any], Any], tuple[int, Any]]
"""Sends a method, a path, parameters and a body; gives a status and an answer."""

_TRIES = 4  # opensearch-py sends a request again that found no connection, or a server that is not ready
_AGAIN = (502, 503, 504)


class Wire:
    """Takes the place of opensearch-py's transport; `connected` makes a client of it."""

    def __init__(self, _hosts: Any, request: Request, **_options: Any) -> None:
        self._request = request
        self.serializer = JSONSerializer()
        self.deserializer: Any = None

    def perform_request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        timeout: float | None = None,
        ignore: Any = (),
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request as often as the real transport does."""
        given = dict(params or {})
        given.pop("request_timeout", None)
        ignore = given.pop("ignore", ignore) or ()
        ignored = (ignore,) if isinstance(ignore, int) else tuple(ignore)
        for attempt in range(1, _TRIES + 1):
            try:
                status, answer = self._request(method, url, given, body)
            except ConnectionTimeout:
                raise
            except ConnectionError:
                if attempt == _TRIES:
                    raise
                continue
            if status in _AGAIN and attempt < _TRIES and status not in ignored:
                continue
            found = _answered(method, status, answer, ignored)
            # The product reads some answers to the letter, with a deserializer of its own.
            return found if self.deserializer is None else self.deserializer.loads(json.dumps(found))
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Nothing is open."""


def _answered(method: str, status: int, answer: Any, ignored: tuple[int, ...]) -> Any:
    if method == "HEAD":
        if status not in (200, 404):
            raise TransportError(status, "", answer)
        return status == 200
    if 200 <= status < 300 or status in ignored:
        return answer
    error = answer.get("error", "") if isinstance(answer, dict) else str(answer)
    kind = error["type"] if isinstance(error, dict) and "type" in error else error
    raise HTTP_EXCEPTIONS.get(status, TransportError)(status, kind, answer)


def connected(request: Request) -> OpenSearch:
    """A real client whose requests go to ``request``."""
    return OpenSearch(hosts=["http://model"], transport_class=Wire, request=request)


def timed_out() -> ConnectionTimeout:
    """What the client raises when no answer comes in time."""
    return ConnectionTimeout("TIMEOUT", "Read timed out.", TimeoutError("simulated"))


def cut_off() -> ConnectionError:
    """What the client raises when the connection breaks."""
    return ConnectionError("N/A", "Connection refused.", OSError("simulated"))
