"""A home of sources on this machine: files, pages of records, and a repository, over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "scripts"))

GIT_SERVER = Path(
    subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip(),
    "git-http-backend",
)


@dataclass
class Home:
    """What the server answers, and what it was asked."""

    url: str
    repositories: Path
    files: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)  # bytes after which an answer ends, once
    busy: int = 0  # answers 503 so often
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    home: Home

    def do_GET(self):
        if "/git/" in self.path:
            self.git()
            return
        self.home.asked.append((self.path, self.headers.get("Range")))
        if self.home.busy:
            self.home.busy -= 1
            self.answer(503, {"Retry-After": "0"})
        elif self.path in self.home.files:
            self.file(self.home.files[self.path])
        else:
            self.answer(404, {})

    def do_POST(self):
        self.git()

    def file(self, data):
        tag = f'"{len(data)}-{data[:9].hex()}"'
        headers = {"ETag": tag, "Content-Type": self.home.types.get(self.path, "application/octet-stream")}
        wanted = self.headers.get("Range")
        first = 0
        if wanted and self.home.ranges and self.headers.get("If-Range") == tag:
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        end = self.home.cut.pop(self.path, len(data))
        self.answer(206 if first else 200, headers, data[first:], end - first)

    def answer(self, status, headers, body=b"", sent=None):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])
        self.close_connection = True

    def git(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.home.repositories),
            "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path.removeprefix("/git"), "QUERY_STRING": query,
            "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(len(body)), "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
            "HOME": str(self.home.repositories),
        }  # fmt: skip
        done = subprocess.run([GIT_SERVER], input=body, env=environment, capture_output=True)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.answer(int(headers.pop("Status", "200").split()[0]), headers, answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneHome", (Handler,), {}))
    home = Home(f"http://127.0.0.1:{server.server_port}", tmp_path / "repositories")
    server.RequestHandlerClass.home = home
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield home
    server.shutdown()
    thread.join()
    server.server_close()


def make_repository(home: Home, name: str, files: dict[str, str]) -> tuple[str, str]:
    """Make a repository of one commit; return its address and the commit."""
    folder = home.repositories / name
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")

    def git(*words):
        settings = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(folder), *settings, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    for setting in ("allowFilter", "allowAnySHA1InWant"):
        git("config", f"uploadpack.{setting}", "true")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    return f"{home.url}/git/{name}/.git", git("rev-parse", "HEAD")
