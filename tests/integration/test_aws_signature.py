"""Requests signed for AWS arrive at a server that checks the signature of what it received."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ce2de_os.config import OpenSearchSettings
from ce2de_os.errors import BackendError, ConfigError, MissingExtraError
from ce2de_os.index import admin, aliases
from ce2de_os.index.bulk import WriteAction, write_documents
from ce2de_os.index.client import connect

KEY_ID, SECRET, TOKEN, REGION = "AKIDEXAMPLE", "a secret/with+signs", "a session's token", "eu-central-1"
ANSWER = b'{"took": 1, "items": [{"index": {"status": 201}}]}'
REFUSAL = b'{"message":"The request signature we calculated does not match the signature you provided."}'


class Domain(ThreadingHTTPServer):
    """Answers only requests that are signed with the secret; ``service`` is what it takes itself for."""

    service = "es"
    received: list[tuple[str, str]]


class Door(BaseHTTPRequestHandler):
    """Computes the signature from the request as it arrived, and compares."""

    server: Domain

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        trusted = self.signature(body) == self.field("Signature")
        self.server.received.append((self.command, self.path if trusted else "refused"))
        self.send_response(200 if trusted else 403)
        answer = ANSWER if trusted else REFUSAL
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def signature(self, body: bytes) -> str:
        url = urlsplit(self.path)
        request = AWSRequest(
            method=self.command,
            url=f"http://{self.headers['Host']}{url.path}",
            params=dict(parse_qsl(url.query, keep_blank_values=True)),
            data=body,
            headers={name: self.headers[name] for name in self.field("SignedHeaders").split(";")},
        )
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        signer = SigV4Auth(Credentials(KEY_ID, SECRET, TOKEN), self.server.service, REGION)
        return str(
            signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        )

    def field(self, name: str) -> str:
        """A field of the Authorization header: ``AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, …``."""
        parts = self.headers["Authorization"].partition(" ")[2].split(", ")
        return dict(part.split("=", 1) for part in parts)[name]

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def domain() -> Iterator[Domain]:
    with Domain(("127.0.0.1", 0), Door) as server:
        server.received = []
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def only_these_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain ends with the variables: no file of the developer's and no machine's role is asked."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def settings(domain: Domain, **changes: Any) -> OpenSearchSettings:
    url = f"http://127.0.0.1:{domain.server_address[1]}"
    return OpenSearchSettings(**{"url": url, "aws_region": REGION, **changes})


@pytest.mark.parametrize("service", ["es", "aoss"])
def test_every_kind_of_request_is_signed_as_it_is_sent(domain: Domain, service: str) -> None:
    domain.service = service
    with connect(settings(domain, aws_service=service)) as client:
        client.info()
        client.search(
            index="articles,other-*", body={"query": {"match": {"title": "Käse"}}}, preference="_shards:0"
        )
        client.get(index="articles", id="job:a b/ü%")
        admin.exists(client, "articles")
        aliases.definitions(client, "articles-search")
        client.indices.stats(index="articles", params={"level": "shards", "filter_path": "a.*,b"})
        written = write_documents(client, "articles", [WriteAction("1", 1, None, {"title": "Käse \ud83d"})])
    assert written.written == 1
    assert len(domain.received) == 7
    assert ("GET", "/articles/_doc/job%3Aa%20b%2F%C3%BC%25") in domain.received
    assert "refused" not in {path for _, path in domain.received}


def test_another_secret_is_refused_in_one_line_without_it(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another secret")
    with connect(settings(domain)) as client, pytest.raises(BackendError) as caught:
        admin.refresh(client, "articles")
    assert "request signature we calculated does not match" in str(caught.value)
    assert "(HTTP 403); check the AWS credentials, CE2DE_OPENSEARCH_AWS_REGION" in str(caught.value)
    assert "another secret" not in str(caught.value)


def test_another_service_is_refused(domain: Domain) -> None:
    with (
        connect(settings(domain, aws_service="aoss")) as client,
        pytest.raises(BackendError, match="HTTP 403"),
    ):
        admin.refresh(client, "articles")


def test_without_credentials_the_error_says_where_they_may_be(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ConfigError, match="no AWS credentials; set AWS_PROFILE"):
        connect(settings(domain))


def test_without_botocore_the_error_names_the_extra(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[aws\]"):
        connect(settings(domain))
