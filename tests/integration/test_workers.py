"""Real workers on real servers, and what happens when they or the servers die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os import OnnxEncoder
from ce2de_os.local.servers import LocalServers
from ce2de_os.reindex.job import DONE
from ce2de_os.reindex.status import JobStatus, status
from tests.integration.indexes import articles, assert_same_documents, create_index
from tests.integration.jobs import Run, StartWorker, follow, has_begun, has_ended, start_detached, wait_for

LONG = "It goes on with many plain words about the same matter, so that a worker has something to do. " * 6

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def long_articles(client: OpenSearch, index_name: str) -> str:
    sources = ({**article, "body": article["body"] + LONG} for article in articles(2000))
    create_index(client, index_name, sources)
    return index_name


def assert_complete(client: OpenSearch, source: str, found: JobStatus) -> None:
    assert found.job.state == DONE, found.to_json()
    assert_same_documents(client, source, found.job.target)
    assert list(client.indices.get_alias(name=found.job.alias)) == [found.job.target]


def test_two_workers_do_a_job_that_the_cli_follows(
    client: OpenSearch, index_name: str, ce2de: Run, start_worker: StartWorker
) -> None:
    create_index(client, index_name, articles(3000))
    start_worker()
    start_worker()
    done = ce2de(
        "reindex", "start", index_name, "--text-fields", "title,body", "--alias", f"{index_name}-s", "--json"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["state"] == "done"
    assert report["report"]["min_cosine"] >= 0.999
    found = status(client, report["job_id"])
    assert_complete(client, index_name, found)
    told = ce2de("reindex", "status", report["job_id"])
    assert told.returncode == 0
    assert "3,000 of 3,000 documents" in told.stdout
    assert report["job_id"] in ce2de("reindex", "list").stdout


def test_a_worker_killed_in_mid_slice(
    client: OpenSearch, long_articles: str, ce2de: Run, start_worker: StartWorker
) -> None:
    victim, _ = start_worker(), start_worker()
    job_id = start_detached(ce2de, long_articles)
    wait_for(client, job_id, has_begun)
    os.killpg(victim.pid, signal.SIGKILL)
    follow(ce2de, long_articles)
    assert_complete(client, long_articles, status(client, job_id))


def test_a_worker_process_killed_in_mid_slice_is_replaced(
    client: OpenSearch, long_articles: str, ce2de: Run, start_worker: StartWorker
) -> None:
    """Celery's parent lives, its child dies: the message comes back and no second worker is needed."""
    worker = start_worker()
    job_id = start_detached(ce2de, long_articles)
    wait_for(client, job_id, has_begun)
    children = subprocess.run(["pgrep", "-P", str(worker.pid)], capture_output=True, text=True, check=True)
    os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
    follow(ce2de, long_articles)
    assert_complete(client, long_articles, status(client, job_id))


def test_opensearch_stopped_for_20_s_in_mid_job(
    servers: LocalServers, client: OpenSearch, long_articles: str, ce2de: Run, start_worker: StartWorker
) -> None:
    start_worker()
    job_id = start_detached(ce2de, long_articles)
    wait_for(client, job_id, has_begun)
    servers.stop_node(1)
    time.sleep(20)
    servers.up()
    assert_complete(client, long_articles, wait_for(client, job_id, has_ended))


def test_redis_stopped_in_mid_job(
    servers: LocalServers, client: OpenSearch, long_articles: str, ce2de: Run, start_worker: StartWorker
) -> None:
    start_worker()
    job_id = start_detached(ce2de, long_articles)
    wait_for(client, job_id, has_begun)
    servers.stop_redis()
    time.sleep(3)
    servers.up()
    follow(ce2de, long_articles)
    assert_complete(client, long_articles, status(client, job_id))


def test_ctrl_c_detaches_and_the_workers_go_on(
    client: OpenSearch, long_articles: str, environment: dict[str, str], start_worker: StartWorker
) -> None:
    start_worker()
    arguments = ["--text-fields", "title,body", "--alias", f"{long_articles}-search"]
    follower = subprocess.Popen(
        [sys.executable, "-m", "ce2de_os", "reindex", "start", long_articles, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert follower.stderr is not None
    job_id = follower.stderr.readline().split()[1].rstrip(":")
    wait_for(client, job_id, has_begun)
    follower.send_signal(signal.SIGINT)
    output, errors = follower.communicate(timeout=30)
    assert follower.returncode == 0, errors
    assert f"ce2de reindex status {job_id}" in errors
    assert "running" in output
    assert_complete(client, long_articles, wait_for(client, job_id, has_ended))


def test_redis_down_at_start(client: OpenSearch, index_name: str, ce2de: Run) -> None:
    create_index(client, index_name, articles(1))
    arguments = ("reindex", "start", index_name, "--text-fields", "title", "--alias", f"{index_name}-s")
    done = ce2de(*arguments, CE2DE_BROKER_URL="redis://:secret@127.0.0.1:1/0")
    assert_one_line_error(done, "Redis at redis://:***@127.0.0.1:1/0 does not answer")
    assert not client.indices.exists(index=f"{index_name}-ce2de-*", allow_no_indices=False)


def test_opensearch_down_at_start(ce2de: Run) -> None:
    for command in (("start", "any", "--text-fields", "a", "--alias", "b"), ("list",), ("status", "job")):
        done = ce2de("reindex", *command, CE2DE_OPENSEARCH_URL="http://127.0.0.1:1")
        assert_one_line_error(done, "OpenSearch does not answer")


def test_damaged_model_file(ce2de: Run, environment: dict[str, str], tmp_path: Path) -> None:
    artifact = OnnxEncoder().artifact
    for file in artifact.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.onnx").write_bytes(artifact.model_path.read_bytes()[:1000])
    arguments = ("reindex", "start", "any", "--text-fields", "a", "--alias", "b", "--artifact", str(tmp_path))
    assert_one_line_error(ce2de(*arguments), "model.onnx: damaged")
    worker = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "ce2de_os.worker.app", "worker"],
        env={**environment, "CE2DE_ARTIFACT": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert worker.returncode != 0
    assert "model.onnx: damaged" in worker.stderr
    assert "Traceback" not in worker.stderr


def assert_one_line_error(done: Any, message: str) -> None:
    assert done.returncode == 1, done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""
