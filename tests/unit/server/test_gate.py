"""Which requests may enter: by the name of the service, whatever else the header says."""

from __future__ import annotations

import asyncio

import pytest

from ce2de_os.server.counters import Counters
from ce2de_os.server.gate import Gate


async def _answer(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def status(host):
    """The status of a request with this ``Host``."""
    gate = Gate(_answer, paths=["/"], counters=Counters(), keys=None, allow_hosts=["embed.test"], timeout_s=5)
    sent = []

    async def ask():
        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", host.encode("latin-1"))]}
        await gate(scope, receive, send)

    asyncio.run(ask())
    return sent[0]["status"]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:80", "localhost:", "embed.test:8080", "127.0.0.1", "[::1]:80", "[fe80::1%1]"],
)
def test_a_name_of_the_service_may_enter(host):
    assert status(host) == 200


@pytest.mark.parametrize(
    "host",
    ["", ":80", "[127.0.0.1", "[::1", "127.0.0.1]", "localhost:x", "localhost:65536", "localhost:1/x",
     "localhost:1:2", "[localhost]x", "localhost?", "a@localhost", "\xbd", "evil.test"],
)  # fmt: skip
def test_what_is_no_name_of_the_service_may_not(host):
    assert status(host) == 421
