"""A proxy in front of OpenSearch that forbids some addresses, as a role without the privilege does."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def forbidding(url: str, *prefixes: str) -> Iterator[str]:
    """The address of a proxy to ``url`` that answers 403 to paths that start with one of ``prefixes``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith(prefixes):
                self._answer(403, json.dumps({"error": {"reason": "no permissions"}, "status": 403}).encode())
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0))) or None
            headers = {"content-type": self.headers.get("content-type", "application/json")}
            passed = urllib.request.Request(url + self.path, body, headers, method=self.command)
            try:
                with urllib.request.urlopen(passed) as answer:
                    self._answer(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                self._answer(error.code, error.read())

        do_POST = do_GET  # noqa: N815 - the server looks for this name

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
