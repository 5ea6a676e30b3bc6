"""A server that stands before OpenSearch, and answers in its place with whatever a test wants."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

Answer = tuple[int, str, bytes]
"""Status, content type and body."""


class Gateway(ThreadingHTTPServer):
    """Passes requests on until ``answer`` is set; an answer longer than ``most_bytes`` becomes a 429."""

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = behind
        self.answer: Answer | None = None
        self.most_bytes: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def _reply(self) -> None:
        sent = self.rfile.read(int(self.headers.get("content-length") or 0))
        status, kind, body = self.server.answer or self._passed_on(sent)
        if self.server.most_bytes is not None and len(body) > self.server.most_bytes:
            status, body = 429, b'{"error": {"type": "circuit_breaking_exception", "reason": "too large"}}'
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        if 300 <= status < 400:
            self.send_header("location", "http://127.0.0.1:1/login")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _reply  # noqa: N815 - the server's names

    def _passed_on(self, sent: bytes) -> Answer:
        asked = Request(self.server.behind + self.path, data=sent or None, method=self.command)
        asked.add_header("content-type", self.headers.get("content-type") or "application/json")
        with urlopen(asked) as answer:
            return answer.status, answer.headers["content-type"], answer.read()

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def gateway(behind: str) -> Iterator[Gateway]:
    """Run a gateway in front of the server at ``behind``."""
    with Gateway(behind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
