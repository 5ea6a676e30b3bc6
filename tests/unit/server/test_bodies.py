"""Reading a body within its limits."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from ce2de_os.server.answers import HttpError
from ce2de_os.server.bodies import Bodies


def read(body, **headers):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def take():
        names = {"content-type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        found = [(name.encode(), value.encode("latin-1")) for name, value in names.items()]
        async with Bodies(1000).read(Request({"type": "http", "headers": found}, receive)) as content:
            return content

    return asyncio.run(take())


@pytest.mark.parametrize("length", ["8", "0" * 5000, "9" * 5000, "\xb2", "-1", "1e3"])
def test_what_a_length_says_does_not_matter_for_a_small_body(length):
    assert read(b'{"a": 1}', content_length=length) == {"a": 1}


def test_a_large_body_is_refused_whatever_its_length_says():
    for headers in ({}, {"content_length": "0" * 5000}, {"content_length": "2000"}):
        with pytest.raises(HttpError, match="the body has more than 1,000 bytes"):
            read(b'{"a": "%s"}' % (b"x" * 2000), **headers)
