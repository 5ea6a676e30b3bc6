"""Live: the news of the jobs as server-sent events, one stream for each open page."""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ce2de_os.server.gate import ENDING
from ce2de_os.ui.errors import PageError

POLL_S = 1.0
LOAD = 4.0
"""Between two readings is at least this many times the seconds that one took."""

STREAM_S = 45.0
"""Seconds until a stream ends and the browser opens the next; a request has 60."""

MOST_STREAMS = 50
MOST_FEEDS = 64

T = TypeVar("T")


class Feed(Generic[T]):
    """A reading that all streams of the same page share, so that more pages read no more often."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read, self._lock = read, asyncio.Lock()
        self._next_s = 0.0
        self._value: T | None = None

    async def newest(self) -> T:
        """Return the last reading, or a new one if it is time for that."""
        async with self._lock:
            begun = time.monotonic()
            if self._value is None or begun >= self._next_s:
                self._value = await run_in_threadpool(self._read)
                took = time.monotonic() - begun
                self._next_s = time.monotonic() + max(POLL_S * 0.9, LOAD * took)
            return self._value


class Feeds(Generic[T]):
    """The feeds by name, those that were used last."""

    def __init__(self) -> None:
        self._feeds: OrderedDict[str, Feed[T]] = OrderedDict()

    def of(self, name: str, read: Callable[[], T]) -> Feed[T]:
        """Return the feed of this name."""
        if name not in self._feeds:
            self._feeds[name] = Feed(read)
        self._feeds.move_to_end(name)
        while len(self._feeds) > MOST_FEEDS:
            self._feeds.popitem(last=False)
        return self._feeds[name]


class Streams:
    """Counts the open streams."""

    def __init__(self) -> None:
        self.open = 0

    def check(self) -> None:
        """Refuse one more than `MOST_STREAMS`.

        Raises:
            PageError: there are as many.
        """
        if self.open >= MOST_STREAMS:
            raise PageError(503, f"{MOST_STREAMS} pages watch jobs already", "close some of them")


class LiveResponse(StreamingResponse):
    """A stream of parts of a page; it ends with the page, after `STREAM_S`, or when the server ends.

    Args:
        streams: counts it while it is open.
        parts: returns the HTML of each part by its id; a part that has not changed is not sent again.
    """

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, parts: Callable[[], Awaitable[dict[str, str]]]) -> None:
        self._streams, self._parts = streams, parts
        self._is_ending: Callable[[], bool] = lambda: False
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(self._events(), headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the page is closed."""
        self._is_ending = scope.get(ENDING, self._is_ending)
        self._streams.open += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.open -= 1

    async def _events(self) -> AsyncIterator[str]:
        yield "retry: 1000\n\n"
        seen: dict[str, str] = {}
        end = time.monotonic() + STREAM_S
        while True:
            found = await self._parts()
            news = {name: html for name, html in found.items() if seen.get(name) != html}
            seen |= news
            # A comment where nothing is new: so that a browser that has gone is noticed.
            yield f"event: parts\ndata: {json.dumps(news)}\n\n" if news else ":\n\n"
            if time.monotonic() > end or await self._ends(POLL_S):
                return

    async def _ends(self, seconds: float) -> bool:
        """Wait; return whether the server ends."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._is_ending():
            await asyncio.sleep(0.2)
        return self._is_ending()
