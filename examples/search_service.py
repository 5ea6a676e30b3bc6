"""A search service over HTTP with nothing beyond ce2de-os and the standard library.

    CE2DE_INDEX=articles-search CE2DE_PORT=8080 python examples/search_service.py
    curl 'http://127.0.0.1:8080/search?q=copy+a+folder&k=3&mode=hybrid'

``CE2DE_INDEX`` is the index or alias; ``CE2DE_HOST`` (127.0.0.1) and ``CE2DE_PORT`` (8080; 0: any free one)
where to listen; OpenSearch and the model come from the same variables as for ``ce2de``.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ce2de_os.config import Settings
from ce2de_os.errors import BackendError, Ce2deError, ConfigError, DataError
from ce2de_os.index.client import backend_errors, connect
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.search.searcher import HybridSearcher

logger = logging.getLogger("search_service")
MOST = 100  # documents that one request may ask for


class Service(ThreadingHTTPServer):
    """One searcher, and so one encoder, for the threads of all connections."""

    daemon_threads = False  # an answer that has begun is finished before the service ends
    request_queue_size = 64

    def __init__(self, settings: Settings, index: str, host: str, port: int) -> None:
        self.client = connect(settings.opensearch)
        encoder = OnnxEncoder(settings.artifact, threads=settings.threads)
        self.searcher = HybridSearcher(self.client, index, encoder, timeout_ms=5000)
        self.searcher.warm_up()  # before the port is open: the first question is as fast as the rest
        super().__init__((host, port), Handler)

    def search(self, asked: dict[str, str]) -> dict[str, Any]:
        """Answer ``/search``: ``q`` is the question, ``k`` the number of documents."""
        unknown = sorted(set(asked) - {"q", "k", "mode"})
        if unknown:
            raise ConfigError(f"{unknown[0]}: no such parameter; there are q, k and mode")
        number = asked.get("k", "10")
        if not number.isdecimal() or not 1 <= int(number) <= MOST:
            raise ConfigError(f"k: got {number!r:.20}, expected 1 to {MOST}")
        mode: Any = asked.get("mode", "hybrid")  # the searcher checks it
        return self.searcher.search(asked.get("q", ""), top_k=int(number), mode=mode).to_json()

    def health(self, asked: dict[str, str]) -> dict[str, Any]:
        """Answer ``/health``: whether OpenSearch answers this service."""
        with backend_errors("ask for its name"):
            return {"status": "ok", "cluster": self.client.info()["cluster_name"]}


class Handler(BaseHTTPRequestHandler):
    """Reads one request; errors of the caller are 400, those of the cluster 503."""

    server: Service
    timeout = 10  # seconds until a connection that says nothing is closed

    def do_GET(self) -> None:
        """Answer a request."""
        address = urlsplit(self.path)
        answer = {"/search": self.server.search, "/health": self.server.health}.get(address.path)
        if answer is None:
            self._send(HTTPStatus.NOT_FOUND, {"error": "no such page; there are /search and /health"})
            return
        asked = {name: values[-1] for name, values in parse_qs(address.query).items()}
        try:
            self._send(HTTPStatus.OK, answer(asked))
        except (ConfigError, DataError) as error:
            self._send(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except Ce2deError as error:  # OpenSearch, or an index that does not fit the model
            logger.warning("%s", error, extra={"action": "answer"})
            told = "OpenSearch cannot answer now" if isinstance(error, BackendError) else "not ready"
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, {"error": f"{told}; see the service's log"})

    def _send(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        body = json.dumps(content, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, text: str, *values: object) -> None:
        """Write requests to the log, not to the terminal."""
        logger.debug(text, *values)


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("opensearch").setLevel(logging.ERROR)  # what fails is told once, as an error
    host, port = os.environ.get("CE2DE_HOST", "127.0.0.1"), os.environ.get("CE2DE_PORT", "8080")
    index = os.environ.get("CE2DE_INDEX")
    try:
        if not index or not port.isdecimal():
            raise ConfigError("set CE2DE_INDEX to an index or alias, and CE2DE_PORT to a number")
        service = Service(Settings.from_env(), index, host, int(port))
    except (Ce2deError, OSError) as error:
        sys.exit(f"search_service: {error}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=service.shutdown).start())
    logger.info("Listening on http://%s:%d", *service.server_address[:2])
    with service, service.client:
        service.serve_forever()


if __name__ == "__main__":
    main()
