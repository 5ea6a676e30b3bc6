"""What the service answers: JSON, and errors in OpenAI's form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from ce2de_os import deep_json

BUSY_HEADERS = {"Retry-After": "1", "x-amzn-ErrorType": "ThrottlingException"}
"""With the second one OpenSearch's connectors try again; without it they do not."""

_TYPES = {401: "authentication_error", 429: "rate_limit_error"}


class HttpError(Exception):
    """A request that is not answered with a result.

    Args:
        status: of HTTP.
        message: what was got, what was expected, what to do.
        param: the part of the request that is wrong; ``None``: none of them.
        code: a short name of the kind, for programs.
        headers: more headers for the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    @property
    def body(self) -> bytes:
        """The answer's body."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return orjson.dumps({"error": error})

    def response(self) -> Response:
        """Create the answer."""
        return Response(self.body, self.status, self.headers, "application/json")


def busy(what: str) -> HttpError:
    """Create the error that asks the caller to try again soon."""
    return HttpError(429, f"{what}; try again in a second", code="queue_full", headers=BUSY_HEADERS)


def too_often(wait_s: float) -> HttpError:
    """Create the error for a caller who asks more often than one key may."""
    seconds = math.ceil(wait_s)
    text = f"this key has sent as many requests as it may in a minute; try again in {seconds} s"
    headers = BUSY_HEADERS | {"Retry-After": str(seconds)}
    return HttpError(429, text, code="rate_limit_exceeded", headers=headers)


def json_response(content: Any) -> Response:  # noqa: ANN401 - whatever JSON can hold
    """Create an answer from plain values and numpy arrays."""
    try:
        body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    except (
        orjson.JSONEncodeError
    ):  # documents may have longer numbers, more levels, halves of surrogate pairs
        body = deep_json.dumps(content).encode()
    return Response(body, media_type="application/json")
