"""examples/search_service.py as a process of its own, over real HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

import pytest

from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.model.encoder import OnnxEncoder
from tests.integration.forbidding import forbidding
from tests.integration.test_search import make_index

PROGRAM = Path(__file__).parents[2] / "examples" / "search_service.py"
TEXTS = ["copy a folder and all files in it", "wait some seconds", "delete a file"]


def start(index, opensearch_url):
    values = {"CE2DE_INDEX": index, "CE2DE_PORT": "0", "CE2DE_OPENSEARCH_URL": opensearch_url}
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[1]), **values}
    return subprocess.Popen(
        [sys.executable, "-P", str(PROGRAM)], env=environment, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def service(client, index_name, endpoints):
    student = OnnxEncoder()
    metadata = IndexMetadata("ce2de_vector", ("title",), student.space, student.dim, "student", "articles")
    vectors = student.encode_documents(TEXTS)
    documents = [
        {"_id": text.split()[0], "title": text, "ce2de_vector": vector.tolist()}
        for text, vector in zip(TEXTS, vectors, strict=True)
    ]
    make_index(client, index_name, documents, metadata, dim=student.dim)
    with ExitStack() as front:  # OpenSearch is away for the service once this is closed
        process = start(index_name, front.enter_context(forbidding(endpoints.opensearch_url)))
        yield process, front
        process.kill()
        process.communicate()


def address(process):
    line = process.stderr.readline()
    return re.fullmatch(r"INFO Listening on (http://127\.0\.0\.1:\d+)\n", line).group(1)


def get(url, path, **asked):
    """Status and JSON of an answer."""
    try:
        with urllib.request.urlopen(f"{url}{path}?{urlencode(asked)}", timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_it_answers_refuses_what_is_wrong_and_ends_when_told(service, client, index_name):
    process, front = service
    url = address(process)

    assert get(url, "/health")[0] == 200
    status, answer = get(url, "/search", q="how do I copy a folder", k=2)
    assert (status, answer["hits"][0]["doc_id"], len(answer["hits"])) == (200, "copy", 2)
    status, answer = get(url, "/search", q="file", mode="bm25")
    assert [hit["source"]["title"] for hit in answer["hits"]] == ["delete a file"]

    for asked, told in (
        ({"q": " "}, "the query is empty; ask for at least one word"),
        ({}, "the query is empty; ask for at least one word"),
        ({"q": "file", "k": "0"}, "k: got '0', expected 1 to 100"),
        ({"q": "file", "k": "many"}, "k: got 'many', expected 1 to 100"),
        ({"q": "file", "mode": "magic"}, "mode: got 'magic', expected one of 'hybrid', 'bm25', 'dense'"),
        ({"q": "file", "page": "2"}, "page: no such parameter; there are q, k and mode"),
    ):
        assert get(url, "/search", **asked) == (400, {"error": told})
    assert get(url, "/elsewhere")[0] == 404

    with ThreadPoolExecutor(8) as callers:
        answers = callers.map(lambda number: get(url, "/search", q=f"copy file {number}"), range(40))
    assert {status for status, _ in answers} == {200}

    client.indices.delete(index=index_name)  # the index first, then the cluster
    away = (503, {"error": "OpenSearch cannot answer now; see the service's log"})
    assert get(url, "/search", q="copy") == away
    front.close()
    assert [get(url, "/search", q="copy"), get(url, "/health")] == [away, away]

    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=30)[1]
    assert process.returncode == 0
    assert "Traceback" not in told
    assert f"no such index [{index_name}]" in told


@pytest.mark.parametrize(
    ("index", "told"), [("", "set CE2DE_INDEX"), ("nowhere", "OpenSearch does not answer")]
)
def test_it_does_not_start_without_an_index_or_a_cluster(index, told):
    process = start(index, "http://127.0.0.1:1")
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert stderr.splitlines()[-1].startswith("search_service: ")
    assert told in stderr
