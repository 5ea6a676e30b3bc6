"""The exporter as a process of its own, scraped over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from opensearchpy import OpenSearch
from prometheus_client.parser import text_string_to_metric_families

from ce2de_os.index.text_spec import TextSpec
from ce2de_os.local.servers import Endpoints
from ce2de_os.reindex.job import DONE
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.status import status
from tests.integration.indexes import HashEncoder, InlineQueue, articles, create_index

START_S = 60.0
NOBODY = "http://127.0.0.1:1"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def exporter(opensearch_url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "ce2de_os", "metrics", "--port", str(port), "--url", opensearch_url],
        env={**os.environ, "CE2DE_LOG_FORMAT": "json"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, f"http://127.0.0.1:{port}/metrics"
    finally:
        process.kill()
        process.communicate()


def scrape(url: str) -> dict[tuple[str, ...], float]:
    """``(name, label value, ...)`` to the value; waits until the exporter has started."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                text = answer.read().decode()
            break
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "the exporter did not start"
            time.sleep(0.3)
    return {
        (sample.name, *(sample.labels[key] for key in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_real_job_is_scraped_on_its_way(client: OpenSearch, endpoints: Endpoints, index_name: str) -> None:
    create_index(client, index_name, articles(30))
    queue, encoder = InlineQueue(), HashEncoder()
    request = JobRequest(index_name, TextSpec(("title", "body")), alias=f"{index_name}-search")
    job_id = start(client, request, encoder, queue).job_id
    with exporter(endpoints.opensearch_url) as (process, url):
        before = scrape(url)
        assert before["ce2de_up",] == 1
        assert before["ce2de_backlog_documents", job_id] == 30
        assert before["ce2de_lag_operations", job_id] == 0  # nobody has written since it began
        assert before["ce2de_slices", job_id, "waiting"] == 1
        assert before["ce2de_job_state", job_id, "running"] == 1
        queue.run(client, encoder)
        after = scrape(url)
        assert status(client, job_id).job.state == DONE
        for name in ("documents_read", "texts_embedded", "documents_written"):
            assert after[f"ce2de_{name}_total", job_id] == 30
        assert after["ce2de_backlog_documents", job_id] == 0
        assert after["ce2de_lag_operations", job_id] == 0
        assert after["ce2de_job_state", job_id, "done"] == 1
        assert after["ce2de_stage_seconds_total", job_id, "write"] > 0
        assert after["ce2de_model_info", encoder.fingerprint, job_id, encoder.name] == 1
        client.index(index=index_name, id="late", body={"title": "late"})
        assert scrape(url)["ce2de_lag_operations", job_id] == 1
        client.indices.delete(index=index_name)
        gone = scrape(url)
        assert gone["ce2de_up",] == 1
        assert ("ce2de_lag_operations", job_id) not in gone
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_without_opensearch_the_exporter_goes_on_and_ctrl_c_ends_it() -> None:
    with exporter(NOBODY) as (process, url):
        for _ in range(2):
            assert scrape(url) == {("ce2de_up",): 0.0}
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=20)
    assert process.returncode == 0
    records = [json.loads(line) for line in messages.splitlines() if line.startswith("{")]
    assert [record["action"] for record in records] == ["scrape_failed"] * 2
    assert "Traceback" not in messages


def test_a_taken_port_is_one_line() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "ce2de_os", "metrics", "--port", str(port), "--url", NOBODY]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    problem = f"cannot listen at 127.0.0.1:{port} (Address already in use)"
    assert ended.stderr == f"ce2de: {problem}; choose another --port or --host\n"
