"""Gate: who may enter, and for how long."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ce2de_os.server.answers import BUSY_HEADERS, HttpError, too_often
from ce2de_os.server.counters import Counters
from ce2de_os.server.keys import Keys, digest
from ce2de_os.server.rates import Rates

logger = logging.getLogger(__name__)

OPEN = ("/health", "/docs", "/openapi.json")
"""Paths that need no key: probes and browsers have none, and no secret is behind them."""

ENDING = "ce2de.is_ending"
"""The key in a request's scope of what returns whether the server ends: long answers end then too."""

DRAIN_S = 2.0
"""Seconds for the rest of a body that is refused: clients send it before they read the answer."""


_HOST = re.compile(r"(?:\[(?P<address>[^]/?#@]+)\]|(?P<name>[^][:/?#@]+))(?::(?P<port>[0-9]{0,5}))?")


class Gate:
    """Checks the host and the key of each request, and ends it at its deadline.

    Args:
        app: answers the requests that may enter.
        paths: the paths to count one by one; all others are counted together.
        counters: count every request.
        keys: the keys of callers; ``None``: everyone may enter.
        allow_hosts: names by which the service may be called, besides ``localhost`` and addresses.
        timeout_s: seconds for one request.
        rates: count the requests of each key; ``None``: there is no limit.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        paths: Collection[str],
        counters: Counters,
        keys: Keys | None,
        allow_hosts: Collection[str],
        timeout_s: float,
        rates: Rates | None = None,
    ) -> None:
        self._app = app
        self._paths = frozenset(paths)
        self._counters = counters
        self._keys, self._rates = keys, rates
        self._allow_hosts = {"localhost", *(name.lower() for name in allow_hosts)}
        self.timeout_s = timeout_s
        self.is_ending: Callable[[], bool] = lambda: False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and count it."""
        begun = time.perf_counter()
        progress = _Progress(receive, send)
        scope[ENDING] = self.is_ending
        try:
            await self._answer(scope, progress)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._counters.request(path, progress.status, time.perf_counter() - begun)

    async def _answer(self, scope: Scope, progress: _Progress) -> None:
        try:
            self._check(scope)
            async with asyncio.timeout(self.timeout_s):
                await self._app(scope, progress.receive, progress.send)
        except HttpError as error:
            await progress.refuse(scope, error)
        except TimeoutError:
            await progress.refuse(scope, _too_late(progress, self.timeout_s))
        except Exception:
            logger.exception("A request failed", extra={"action": "answer", "path": scope["path"]})
            await progress.refuse(scope, HttpError(500, "the service failed; see its log"))

    def _check(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not self._is_allowed(host):
            text = f"Host: got {host!r:.100}; start the service with this name among its hosts"
            raise HttpError(421, text, code="host_not_allowed")
        if self._keys is None or scope["path"] in OPEN:
            return
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not self._keys.accept(key.strip()):
            text = "the key is missing or wrong, expected a header 'Authorization: Bearer KEY'"
            raise HttpError(401, text, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        if self._rates is not None and (wait_s := self._rates.wait_s(digest(key.strip()))):
            raise too_often(wait_s)

    def _is_allowed(self, host: str) -> bool:
        """Return whether this is a name of ours: a page of another name cannot use a browser to call us."""
        found = _HOST.fullmatch(host)
        if found is None or int(found["port"] or 0) > 65535:
            return False
        name = found["address"] or found["name"]
        return name in self._allow_hosts or _is_address(name)


@lru_cache(maxsize=64)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _too_late(progress: _Progress, timeout_s: float) -> HttpError:
    if not progress.has_body:
        return HttpError(408, f"the body did not arrive in {timeout_s:g} s", code="timeout")
    text = f"no answer in {timeout_s:g} s: the service is busy; send fewer texts, or start more processes"
    return HttpError(503, text, code="timeout", headers=BUSY_HEADERS)


class _Progress:
    """How far a request has come."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.has_body = False
        self.status = 499  # the caller has gone without an answer
        self._has_begun = False

    async def receive(self) -> Message:
        """Receive, and note the end of the body."""
        message = await self._receive()
        self.has_body = self.has_body or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send, and note the status."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if not self.has_body and self.status != HTTPStatus.REQUEST_TIMEOUT:
                await self._drain()
        await self._send(message)
        self._has_begun = True

    async def _drain(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while not self.has_body:
                    await self.receive()

    async def refuse(self, scope: Scope, error: HttpError) -> None:
        """Answer with an error, unless an answer has begun."""
        if not self._has_begun:
            await error.response()(scope, self.receive, self.send)
