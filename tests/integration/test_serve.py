"""``ce2de serve`` as a process of its own, over real HTTP, asked by the clients that people use."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cohere
import httpx
import numpy as np
import openai
import pytest

from ce2de_os.arrays import cosine
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.model.artifact import DEFAULT_FOLDER, Artifact
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.server.parsing import model_id
from tests.integration.certificates import Authority
from tests.integration.forbidding import forbidding
from tests.integration.test_search import make_index

ROOT = Path(__file__).parents[2]
ARTIFACT = Artifact.load()
MODEL = model_id(ARTIFACT)
KEY = "the-key-of-these-tests"
TEXTS = ["copy a folder and all files in it", "wait some seconds", "delete a file 🦜"]
REQUEST_S = 3


@contextmanager
def serving(*options, environment=None):
    """A running service: its process and its address."""
    command = [sys.executable, "-P", "-m", "ce2de_os", "serve", "--port", "0", *map(str, options)]
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = process.stderr.readline()
            found = re.match(r"Listening on (https?://\S+) ", line)
            assert found, line + process.stderr.read()
            yield process, found[1]
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def url(keys):
    options = ("--model", DEFAULT_FOLDER, "--keys", keys, "--allow-host", "embed.test")
    limits = ("--request-timeout", REQUEST_S, "--max-body", 4, "--queue-texts", 60)
    with serving(*options, *limits) as (_, found):
        yield found


@pytest.fixture(scope="module")
def expected():
    return OnnxEncoder().encode_documents(TEXTS)


@pytest.fixture
def openai_client(url):
    with openai.OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0) as client:
        yield client


def ask(url, path, body=None, *, method=None, **headers):
    """Status, headers and content of an answer; bytes are sent as they are."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", **names}
    request = urllib.request.Request(f"{url}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def error_of(answer):
    """Status and message of an error in OpenAI's form."""
    error = json.loads(answer[2])["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return answer[0], error["message"]


# --- clients ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", [openai.NOT_GIVEN, "float", "base64"])
def test_openai_s_client_gets_the_vectors_of_the_encoder(openai_client, expected, encoding):
    answer = openai_client.embeddings.create(model=MODEL, input=TEXTS, encoding_format=encoding)
    found = [one.embedding for one in answer.data]
    if encoding == "base64":
        found = [np.frombuffer(base64.b64decode(one), dtype="<f4") for one in found]
    assert cosine(np.array(found, dtype=np.float32), expected).min() > 0.999
    assert [one.index for one in answer.data] == [0, 1, 2]
    tokens = sum(map(len, OnnxEncoder().document_ids(TEXTS)))
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == (MODEL, tokens, tokens)


def test_openai_s_client_sends_one_text_and_the_kind(openai_client, expected):
    more = {"input_type": "query"}
    answer = openai_client.embeddings.create(
        model=MODEL, input=TEXTS[0], extra_body=more, dimensions=ARTIFACT.dim
    )
    assert cosine(np.array([answer.data[0].embedding], dtype=np.float32), expected[:1]).min() > 0.999


def test_openai_s_client_understands_the_errors(openai_client, url):
    with pytest.raises(openai.ConflictError, match=f"model: got 'other', but this service has '{MODEL}'"):
        openai_client.embeddings.create(model="other", input="copy")
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.embeddings.create(model=MODEL, input=["copy"], dimensions=8)
    assert (refused.value.param, refused.value.code) == ("dimensions", "invalid_value")
    assert [one.id for one in openai_client.models.list()] == [MODEL]
    assert openai_client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError, match=f"there is {MODEL}"):
        openai_client.models.retrieve("other")
    wrong = openai.OpenAI(api_key="a-wrong-key-of-some-length", base_url=f"{url}/v1")
    with wrong, pytest.raises(openai.AuthenticationError, match="the key is missing or wrong"):
        wrong.models.list()


@pytest.mark.parametrize("client_class", [cohere.Client, cohere.ClientV2])
def test_cohere_s_clients_rank(url, client_class):
    with httpx.Client() as connections:
        client = client_class(api_key=KEY, base_url=url, httpx_client=connections)
        answer = client.rerank(model=MODEL, query="how do I copy a directory", documents=TEXTS)
        first_two = client.rerank(model=MODEL, query="copy", documents=TEXTS, top_n=2)
    assert sorted(result.index for result in answer.results) == [0, 1, 2]
    scores = [result.relevance_score for result in answer.results]
    assert answer.results[0].index == 0
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert len(first_two.results) == 2


def test_every_score_is_a_decimal_of_few_digits(url):
    body = {"model": MODEL, "query": "a", "documents": [*TEXTS, "a", ""], "return_documents": True}
    status, _, content = ask(url, "/v1/rerank", body)
    scores = re.findall(rb'"relevance_score":([^,}]+)', content)
    assert status == 200
    assert len(scores) == 5
    assert all(re.fullmatch(rb"0\.\d{1,6}|1\.0", score) for score in scores)
    results = json.loads(content)["results"]
    assert {one["index"]: one["document"]["text"] for one in results} == dict(enumerate(body["documents"]))


def test_langchain_s_embeddings(url, expected):
    from langchain_openai import OpenAIEmbeddings

    options = {"model": MODEL, "base_url": f"{url}/v1", "api_key": KEY, "check_embedding_ctx_length": False}
    with httpx.Client() as connections:
        embeddings = OpenAIEmbeddings(**options, http_client=connections)
        found = [*embeddings.embed_documents(TEXTS), embeddings.embed_query(TEXTS[0])]
    assert cosine(np.array(found, dtype=np.float32), expected[[0, 1, 2, 0]]).min() > 0.999


def test_haystack_s_embedders(url, expected):
    from haystack import Document
    from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
    from haystack.utils import Secret

    options = {"api_key": Secret.from_token(KEY), "model": MODEL, "api_base_url": f"{url}/v1"}
    embedders = OpenAITextEmbedder(**options), OpenAIDocumentEmbedder(**options, progress_bar=False)
    one = embedders[0].run(TEXTS[0])["embedding"]
    several = embedders[1].run([Document(content=text) for text in TEXTS])["documents"]
    for embedder in embedders:
        embedder.client.close()
    found = np.array([one, *(document.embedding for document in several)], dtype=np.float32)
    assert cosine(found, expected[[0, 0, 1, 2]]).min() > 0.999


# --- bad input --------------------------------------------------------------------------------------------


def embed(url, texts, **more):
    return ask(url, "/v1/embeddings", {"model": MODEL, "input": texts, **more})


def test_a_long_text_is_cut_and_answered(url):
    status, _, content = embed(url, "word " * 190_000)
    assert (status, json.loads(content)["usage"]["total_tokens"]) == (200, ARTIFACT.max_length)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "the body is not valid JSON"),
        (b"[" * 500_000, 400, "the body is not valid JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, "the body is not valid JSON"),
        (b'{"model": "x", "input": "\\ud800"}', 400, "the body is not valid JSON"),
        (b"null", 400, "the body: got a JSON NoneType, expected an object"),
        ({}, 400, f"model: missing, expected '{MODEL}'"),
        ({"model": MODEL}, 400, "input: got None, expected a text or a list of texts"),
        ({"model": MODEL, "input": 7}, 400, "input: got 7, expected a text or a list of texts"),
        ({"model": MODEL, "input": ["a", None]}, 400, "input[1]: got None, expected a text"),
        ({"model": MODEL, "input": "  "}, 400, "input[0]: got '  ', expected at least one word"),
        ({"model": MODEL, "input": ["a"] * 10_000}, 413, "input: got 10,000 texts, expected at most 2,048"),
        (b" " * (4 * 1024 * 1024 + 1), 413, "the body has more than 4,194,304 bytes"),
        (b" " * (8 * 1024 * 1024), 413, "the body has more than 4,194,304 bytes"),
    ],
)
def test_bad_bodies_get_one_clear_error(url, body, status, message):
    found, text = error_of(ask(url, "/v1/embeddings", body))
    assert found == status
    assert text.startswith(message)


@pytest.mark.parametrize(
    ("path", "headers", "status", "message"),
    [
        ("/v1/embeddings", {"Content_Encoding": "gzip"}, 415, "Content-Encoding: got 'gzip'; send"),
        ("/v1/embeddings", {"Content_Encoding": "br, gzip"}, 415, "Content-Encoding: got 'br, gzip'; send"),
        ("/v1/embeddings", {"Content_Type": "text/plain"}, 415, "Content-Type: got 'text/plain', expected"),
        ("/v1/embeddings", {"Authorization": "Bearer"}, 401, "the key is missing or wrong"),
        ("/v1/embeddings", {"Authorization": f"Basic {KEY}"}, 401, "the key is missing or wrong"),
        ("/v1/embeddings", {"Host": "evil.test"}, 421, "Host: got 'evil.test'; start the service with"),
        ("/v1/embeddings", {"Host": "localhost.evil.test:80"}, 421, "Host: got 'localhost.evil.test:80'"),
        ("/search", {}, 404, "no such path: /search"),
        ("/v1/%2e%2e/health", {}, 404, "no such path: /v1/../health"),
    ],
)
def test_bad_requests_get_one_clear_error(url, path, headers, status, message):
    found, text = error_of(ask(url, path, {"model": MODEL, "input": "copy"}, **headers))
    assert found == status
    assert text.startswith(message)


def test_a_wrong_method(url):
    refused = 405, "GET is the wrong method for this path; see /docs"
    assert error_of(ask(url, "/v1/embeddings", method="GET")) == refused


@pytest.mark.parametrize("host", ["embed.test", "EMBED.test:443", "localhost", "10.1.2.3:80", "[::1]:80"])
def test_names_and_addresses_by_which_it_may_be_called(url, host):
    assert ask(url, "/v1/models", Host=host)[0] == 200


# --- keys, limits, time -----------------------------------------------------------------------------------


def test_keys_are_read_again(url, keys):
    other = "another-key-of-these-tests"
    keys.write_text(f"{KEY}\n{other}\n")
    assert ask(url, "/v1/models", Authorization=f"Bearer {other}")[0] == 200
    keys.write_text(f"{KEY}\n")
    assert ask(url, "/v1/models", Authorization=f"Bearer {other}")[0] == 401
    assert ask(url, "/v1/models")[0] == 200


def test_pages_without_a_key(url):
    no_key = {"Authorization": ""}
    assert json.loads(ask(url, "/health", **no_key)[2]) == {"status": "ok", "model": MODEL}
    described = json.loads(ask(url, "/openapi.json", **no_key)[2])
    page = ask(url, "/docs", **no_key)[2].decode()
    assert MODEL in page
    assert "http://" not in page.replace(url, "")
    for path, methods in described["paths"].items():
        assert path in page
        example = methods.get("post", {}).get("requestBody", {}).get("content", {})
        if path != "/search" and example:
            assert ask(url, path, example["application/json"]["example"])[0] == 200
    for path in ("/metrics", "/v1/models", "/v1/embeddings"):
        assert ask(url, path, **no_key)[0] == 401


def test_metrics(url):
    embed(url, ["one", "two"])
    page = ask(url, "/metrics")[2].decode()
    counted = dict(re.findall(r'^ce2de_server_texts_total\{queue="(\w+)"\} ([\d.e+]+)$', page, re.MULTILINE))
    assert float(counted["documents"]) >= 2
    assert 'ce2de_server_requests_total{path="/v1/embeddings",status="200"}' in page
    assert 'ce2de_server_waiting_texts{queue="documents"} 0.0' in page


def test_metrics_forget_the_texts_of_a_caller_who_goes(url):
    with sent(url, LARGE):
        wait_for(lambda: waiting(url) > 1000)
    wait_for(lambda: waiting(url) == 0)


def waiting(url):
    page = ask(url, "/metrics")[2].decode()
    found = re.search(r'^ce2de_server_waiting_texts\{queue="documents"\} ([\d.e+]+)$', page, re.MULTILINE)
    return float(found[1])


def test_a_full_queue_is_429_in_the_form_that_opensearch_tries_again(url):
    def many(_):
        return embed(url, ["a document about files " * 30] * 40)

    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(many, range(8)))
    statuses = [status for status, _, _ in answers]
    assert 200 in statuses
    _, headers, content = answers[statuses.index(429)]
    assert headers["Retry-After"] == "1"
    assert headers["x-amzn-ErrorType"] == "ThrottlingException"
    assert json.loads(content)["error"]["type"] == "rate_limit_error"


LARGE = {"model": MODEL, "input": ["a document about files " * 60] * 2000}
"""More than any machine embeds in the time for one request."""


def test_what_takes_too_long_is_503_and_leaves_the_queue(url):
    status, headers, content = ask(url, "/v1/embeddings", LARGE)
    assert (status, json.loads(content)["error"]["code"]) == (503, "timeout")
    assert headers["x-amzn-ErrorType"] == "ThrottlingException"
    assert embed(url, ["one", "two"])[0] == 200


def test_the_work_of_a_caller_who_goes_is_dropped(url):
    wait_for(lambda: is_full_beside_a_large_request(url))
    begun = time.monotonic()
    wait_for(lambda: embed(url, ["one", "two"])[0] == 200)
    assert time.monotonic() - begun < REQUEST_S


def is_full_beside_a_large_request(url):
    """Send it and hang up; a busy machine may miss the time until its deadline, so that it is sent again."""
    with sent(url, LARGE):
        end = time.monotonic() + REQUEST_S
        while time.monotonic() < end:
            if embed(url, ["one", "two"])[0] == 429:
                return True
    return False


@contextmanager
def sent(url, asked):
    """Send a request for embeddings, and hang up at the end without having read an answer."""
    body = json.dumps(asked).encode()
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with connected(url) as connection:
        connection.sendall(head.encode() + body)
        yield


def connected(url):
    return socket.create_connection((http.client.urlsplit(url).hostname, http.client.urlsplit(url).port))


def drip(connection, data, most_s):
    """Send a byte each 0.1 s until the service hangs up; return what it said and the seconds it took."""
    begun = time.monotonic()
    connection.settimeout(0.1)
    said = b""
    for byte in data:
        if time.monotonic() - begun > most_s:
            break
        try:
            connection.sendall(bytes([byte]))
            received = connection.recv(65_536)
            said += received
            if not received:
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return said, time.monotonic() - begun


def test_nobody_holds_a_connection_with_one_byte_at_a_time(url):
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n".encode()
    body = b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    with connected(url) as slow_head, connected(url) as slow_body, connected(url) as silent:
        slow_body.sendall(head + body)
        with ThreadPoolExecutor(2) as callers:
            first = callers.submit(drip, slow_head, head + b"X-Long: " + b"x" * 500, 20)
            second = callers.submit(drip, slow_body, b" " * 500, 20)
            assert first.result()[1] < REQUEST_S + 3
            said, seconds = second.result()
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"the body did not arrive in 3 s" in said
        assert seconds < REQUEST_S + 10
        silent.settimeout(5)
        assert silent.recv(1) == b""


def test_a_head_without_end_is_cut(url):
    with connected(url) as connection, pytest.raises(OSError):
        connection.settimeout(10)
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        for _ in range(30_000):
            connection.sendall(b"X-Header: " + b"x" * 1000 + b"\r\n")
        raise AssertionError("30 megabytes of head were taken")


def test_garbage_is_no_traceback_and_the_next_caller_is_answered(url):
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET http://[bad/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\n",
    ):
        with connected(url) as connection:
            connection.sendall(garbage)
    assert ask(url, "/health")[0] == 200


# --- processes --------------------------------------------------------------------------------------------


def test_sigterm_lets_requests_end_and_no_new_ones_begin():
    with serving() as (process, url), ThreadPoolExecutor(1) as caller:
        slow = caller.submit(embed, url, ["a document about files " * 30] * 150)
        wait_for(lambda: b'waiting_texts{queue="documents"}' in ask(url, "/metrics")[2] or slow.running())
        time.sleep(0.3)
        assert not slow.done()
        process.send_signal(signal.SIGTERM)
        status, _, content = slow.result()
        assert (status, len(json.loads(content)["data"])) == (200, 150)
        rest = process.communicate(timeout=40)[1]
        assert process.returncode == 0
        assert rest == "Stopped.\n"
        with pytest.raises(urllib.error.URLError, match="refused"):
            urllib.request.urlopen(f"{url}/health", timeout=5)


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_several_processes_share_a_port_and_count_together():
    with serving("--processes", 2) as (process, url):
        with ThreadPoolExecutor(8) as callers:
            answers = list(callers.map(lambda number: embed(url, f"copy {number}"), range(40)))
        assert {status for status, _, _ in answers} == {200}
        page = ask(url, "/metrics")[2].decode()
        assert 'ce2de_server_texts_total{queue="queries"} 40.0' in page
        process.send_signal(signal.SIGTERM)
        assert "Traceback" not in process.communicate(timeout=40)[1]
        assert process.returncode == 0


def test_several_processes_that_cannot_start_end_the_service():
    options = ["--processes", "2", "--port", "0", "--index", "nowhere"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CE2DE_OPENSEARCH_URL": "http://127.0.0.1:1"}
    command = [sys.executable, "-P", "-m", "ce2de_os", "serve", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "OpenSearch does not answer" in done.stderr
    assert done.stderr.splitlines()[-1] == ("ce2de: a process did not start; the reason is in the log above")
    assert "Traceback" not in done.stderr


def workers_of(process):
    """Process ids of the processes that answer."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_process_that_dies_is_replaced():
    with serving("--processes", 2) as (process, url):
        assert embed(url, "copy")[0] == 200
        first, second = workers_of(process)
        counted = ask(url, "/metrics")[2]
        assert b'ce2de_server_waiting_texts{queue="queries"}' in counted
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: len(set(workers_of(process)) - {first}) == 2)
        assert second in workers_of(process)
        assert embed(url, "copy")[0] == 200
        assert b'ce2de_server_texts_total{queue="queries"} 2.0' in ask(url, "/metrics")[2]


def test_tls(tmp_path):
    authority = Authority(tmp_path, "ca")
    files = authority.sign("serve")
    with serving("--tls-cert", files.certificate, "--tls-key", files.key) as (_, url):
        assert url.startswith("https://")
        context = ssl.create_default_context(cafile=authority.certificate)
        with urllib.request.urlopen(f"{url}/health", context=context, timeout=30) as answer:
            assert answer.status == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(f"{url}/health", timeout=30)


def trusted(url, authority):
    """Whether a caller who trusts this authority gets an answer."""
    context = ssl.create_default_context(cafile=authority.certificate)
    try:
        with urllib.request.urlopen(f"{url}/health", context=context, timeout=30) as answer:
            return answer.status == 200
    except urllib.error.URLError as error:
        assert "CERTIFICATE_VERIFY_FAILED" in str(error)
        return False


def test_a_new_certificate_counts_without_a_restart(tmp_path):
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    files, later = old.sign("serve"), new.sign("later")
    with serving("--tls-cert", files.certificate, "--tls-key", files.key) as (_, url):
        assert (trusted(url, old), trusted(url, new)) == (True, False)
        later.certificate.replace(files.certificate)  # for a moment it does not fit the key
        assert (trusted(url, old), trusted(url, new)) == (True, False)
        later.key.replace(files.key)
        assert (trusted(url, old), trusted(url, new)) == (False, True)


def test_one_key_cannot_use_up_the_service(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\nanother-key-of-these-tests\n")
    keys.chmod(0o600)
    with serving("--keys", keys, "--requests-per-minute", 3) as (_, url):
        assert [ask(url, "/v1/models")[0] for _ in range(3)] == [200] * 3
        answer = ask(url, "/v1/models")
        assert error_of(answer)[0] == 429
        assert (answer[1]["Retry-After"], answer[1]["x-amzn-ErrorType"]) == ("20", "ThrottlingException")
        assert ask(url, "/health")[0] == 200
        assert ask(url, "/v1/models", Authorization="Bearer another-key-of-these-tests")[0] == 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "which other machines reach, and no file of keys"),
        (["--keys", "/nowhere/keys"], "the keys cannot be read"),
        (["--tls-cert", __file__], "cannot be used with its key"),
        (["--artifact", "/nowhere"], "no manifest.json there"),
        (["--host", "192.0.2.1", "--keys", __file__], "cannot listen at 192.0.2.1:0"),
        (["--host", "a..b", "--keys", __file__], "cannot listen at a..b:0"),
        (["--grace", "inf"], "got inf, expected a number above 0"),
    ],
)
def test_what_it_cannot_start_with(options, message):
    command = [sys.executable, "-P", "-m", "ce2de_os", "serve", "--port", "0", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) <= 2


# --- search -----------------------------------------------------------------------------------------------


def question(url, **body):
    status, _, content = ask(url, "/search", body)
    return status, json.loads(content)


@pytest.mark.servers
def test_questions_in_hits_out(client, index_name, endpoints):
    student = OnnxEncoder()
    metadata = IndexMetadata("ce2de_vector", ("title",), student.space, student.dim, "student", "articles")
    documents = [
        {"_id": text.split()[0], "title": text, "ce2de_vector": vector.tolist()}
        for text, vector in zip(TEXTS, student.encode_documents(TEXTS), strict=True)
    ]
    make_index(client, index_name, documents, metadata, dim=student.dim)
    with forbidding(endpoints.opensearch_url) as front:
        environment = {"CE2DE_OPENSEARCH_URL": front}
        with serving("--index", index_name, environment=environment) as (_, url):
            status, answer = question(url, text="how do I copy a folder", top_k=2)
            assert (status, answer["hits"][0]["doc_id"], len(answer["hits"])) == (200, "copy", 2)
            filters = {"ids": {"values": ["delete", "copy"]}}
            status, answer = question(url, text="file", mode="bm25", filters=filters)
            assert [hit["doc_id"] for hit in answer["hits"]] == ["delete"]
            status, answer = question(url, text="file", filters={"script": {"script": "true"}})
            assert (status, answer["error"]["code"]) == (400, "invalid_value")
            for wrong, message in (
                ({"fields": ["titel"]}, "has no field 'titel'"),
                ({"filters": {"range": {"title": {"gte": {"a": 1}}}}}, "(HTTP 400)"),
                ({"language": "it"}, "no documents are known to be in 'it'"),
            ):
                status, answer = question(url, text="file", **wrong)
                assert (status, answer["error"]["code"]) == (400, "invalid_value"), answer
                assert message in answer["error"]["message"]
            assert question(url, text=" ")[1]["error"]["message"] == (
                "the query is empty; ask for at least one word"
            )
            with ThreadPoolExecutor(8) as callers:
                answers = callers.map(lambda number: question(url, text=f"copy file {number}"), range(40))
            assert {status for status, _ in answers} == {200}
            client.indices.delete(index=index_name)
            status, answer = question(url, text="copy")
            assert (status, answer["error"]["message"]) == (
                503,
                "OpenSearch cannot answer now; see the log of this service",
            )
            assert ask(url, "/health")[0] == 200


def test_it_does_not_start_without_a_cluster():
    command = [sys.executable, "-P", "-m", "ce2de_os", "serve", "--port", "0", "--index", "nowhere"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CE2DE_OPENSEARCH_URL": "http://127.0.0.1:1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "OpenSearch does not answer" in done.stderr
