"""HTTP on one connection, with limits on time, head and number of connections."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ce2de_os.server.answers import busy

HEAD_S = 10.0
"""Seconds for the head of a request, if the whole request may take longer."""

HEAD_BYTES = 32 * 1024
"""Bytes of the head of a request."""

PIPELINED = 16
"""Requests that a connection may send before the answer to its first."""

CONNECTIONS = 1000
"""Connections of one process."""

FLUSH_S = 5.0
"""Seconds after the deadline of a request until its connection is cut."""


class BoundedProtocol(HttpToolsProtocol):
    """Cuts connections that send their head, or take their answer, too slowly.

    The deadline of a request is the ``timeout_s`` of the application.
    """

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.write(_too_many())
            transport.close()
            return
        self._arm(min(HEAD_S, self.app.timeout_s))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; the head has a deadline and a size of its own."""
        if not self._in_head and not self._in_body and self.cycle.response_complete:
            self._in_head, self._head_bytes = True, 0
            self._arm(min(HEAD_S, self.app.timeout_s))
        was_in_head = self._in_head
        super().data_received(data)
        if was_in_head and self._in_head:
            self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES or len(self.pipeline) > PIPELINED:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Note that a head begins, maybe before the answer to the last request."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the deadline of the whole request, unless it must wait for the one before."""
        self._in_head, self._in_body, self._head_bytes = False, True, 0
        if self.cycle is None or self.cycle.response_complete:
            self._arm(self.app.timeout_s + FLUSH_S)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Start the deadline of the request that waited for this answer, if there is one."""
        if self.pipeline:
            self._arm(self.app.timeout_s + FLUSH_S)
        super().on_response_complete()

    def on_message_complete(self) -> None:
        """Note that the body is complete; after an early answer the rest of it is thrown away."""
        self._in_body = False
        super().on_message_complete()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._cut)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _cut(self) -> None:
        """End the connection, unless it is idle after an answer that the caller has read."""
        answered = self.cycle is not None and self.cycle.response_complete
        if self._in_head or self._in_body or not answered or self.transport.get_write_buffer_size():
            self.transport.abort()


def _too_many() -> bytes:
    error = busy("too many connections")
    head: dict[str, Any] = {
        **error.headers,
        "Content-Type": "application/json",
        "Content-Length": len(error.body),
        "Connection": "close",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"HTTP/1.1 429 Too Many Requests\r\n{lines}\r\n".encode() + error.body
