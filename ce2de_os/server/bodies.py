"""Read the JSON in the body of a request, within limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.requests import Request

from ce2de_os.server.answers import HttpError, busy

MOST_BODIES = 8
"""Bodies of the largest size that one process holds at a time."""

_DIGITS = 19  # of a length that HTTP can have; Python refuses to read thousands of them


class Bodies:
    """Reads bodies; holds `MOST_BODIES` times ``max_bytes``, those of one body, at a time."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[dict[str, Any]]:
        """Read an object of JSON; its bytes count until the context ends.

        Raises:
            HttpError: the body is too large, not JSON, or of an encoding that is not read.
        """
        self._check_headers(request)
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                self._held += len(chunk)
                self._check_size(len(body))
            yield parse(bytes(body))
        finally:
            self._held -= len(body)

    def _check_headers(self, request: Request) -> None:
        headers = {name: value.decode("latin-1") for name, value in request.scope["headers"]}
        encoding = headers.get(b"content-encoding", "identity")
        if encoding.lower() != "identity":
            raise HttpError(415, f"Content-Encoding: got {encoding!r:.40}; send the body without compression")
        kind = headers.get(b"content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HttpError(415, f"Content-Type: got {kind!r:.60}, expected application/json")
        length = headers.get(b"content-length", "0")
        self._check_size(int(length) if length.isdecimal() and len(length) <= _DIGITS else 0)

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            text = f"the body has more than {self._max_bytes:,} bytes; send fewer texts in a request"
            raise HttpError(413, text, code="body_too_large")
        if self._held > MOST_BODIES * self._max_bytes:
            raise busy("too many large requests at once")


def parse(body: bytes) -> dict[str, Any]:
    """Parse an object of JSON.

    Raises:
        HttpError: it is none; deep nesting and halves of surrogate pairs are refused too.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HttpError(400, f"the body is not valid JSON: {error}", code="invalid_json") from None
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise HttpError(400, f"the body: got a JSON {kind}, expected an object", code="invalid_json")
    return found
