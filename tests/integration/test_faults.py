"""Faults on purpose, in jobs that real workers do on real servers; afterwards every document is looked at."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opensearchpy import OpenSearch, helpers

from ce2de_os.local.servers import Endpoints, LocalServers
from ce2de_os.model.artifact import Artifact
from ce2de_os.reindex.job import RUNNING
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.status import status
from tests.integration.apps import impatient, poisoned
from tests.integration.indexes import TEXT_MAPPING, articles, create_index, hammer
from tests.integration.jobs import (
    Run,
    StartWorker,
    Tally,
    follow,
    has_begun,
    has_ended,
    lift_throttle,
    start_arguments,
    start_detached,
    tally,
    wait_for,
    wait_until_followed,
)

KILLS = 20
SLOWLY = ("--docs-per-second", "150")  # so that a job is still at it when the fault comes

pytestmark = pytest.mark.timeout(600)

AssertAllThere = Callable[..., Tally]


@pytest.fixture
def source(client: OpenSearch, index_name: str) -> str:
    """An index of three slices."""
    create_index(client, index_name, articles(3000))
    return index_name


def test_twenty_workers_killed(
    client: OpenSearch,
    index_name: str,
    ce2de: Run,
    environment: dict[str, str],
    start_worker: StartWorker,
    assert_all_there: AssertAllThere,
) -> None:
    create_index(client, index_name, articles(10_000), number_of_shards=2)
    workers = [start_worker(), start_worker()]
    job_id = start_detached(ce2de, index_name, "--docs-per-second", "120")
    moments = random.Random(20251)
    hit: list[int] = []
    command = [sys.executable, "-m", "ce2de_os", "reindex", "watch", job_id]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        for _ in range(KILLS):
            victim = a_busy_worker(client, job_id, workers)
            time.sleep(moments.uniform(0, 2))
            hit.append(status(client, job_id).counts.documents)
            kill(victim)
            workers[workers.index(victim)] = start_worker()
        assert status(client, job_id).job.state == RUNNING
        lift_throttle(ce2de, job_id)
        found = wait_for(client, job_id, has_ended)
    assert_all_there(
        job_id,
        f"{KILLS} workers killed after {hit[0]} to {hit[-1]} documents, {found.counts.documents} read in all",
    )


def a_busy_worker(
    client: OpenSearch, job_id: str, workers: list[subprocess.Popen[bytes]]
) -> subprocess.Popen[bytes]:
    """One whose process has the lease of a slice now."""
    ledger, deadline = Ledger(client), time.monotonic() + 90
    job = ledger.job(job_id).job
    while time.monotonic() < deadline:
        groups = {group_of(record.owner) for record in ledger.slices(job) if record.state == RUNNING}
        busy = [worker for worker in workers if worker.pid in groups]
        if busy:
            return busy[0]
        time.sleep(0.1)
    pytest.fail("no worker has taken anything up for 90 s")


def group_of(owner: str | None) -> int | None:
    try:
        return os.getpgid(int(str(owner).rpartition(":")[2]))
    except ProcessLookupError:
        return None


def kill(worker: subprocess.Popen[Any]) -> None:
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def test_the_cli_that_follows_killed(
    client: OpenSearch,
    source: str,
    ce2de: Run,
    environment: dict[str, str],
    start_worker: StartWorker,
    assert_all_there: AssertAllThere,
) -> None:
    start_worker()
    command = [sys.executable, "-m", "ce2de_os", *start_arguments(source), *SLOWLY]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as follower:
        assert follower.stderr is not None
        job_id = follower.stderr.readline().split()[1].rstrip(":")
        wait_for(client, job_id, has_begun)
        kill(follower)
    lift_throttle(ce2de, job_id)
    wait_for(client, job_id, has_ended)
    assert_all_there(job_id, "the following CLI killed")


@pytest.mark.parametrize("data", ["kept", "lost"])
def test_redis_killed(
    servers: LocalServers,
    endpoints: Endpoints,
    client: OpenSearch,
    source: str,
    ce2de: Run,
    start_worker: StartWorker,
    assert_all_there: AssertAllThere,
    data: str,
) -> None:
    start_worker()
    start_worker()
    job_id = start_detached(ce2de, source, *SLOWLY)
    wait_for(client, job_id, has_begun)
    os.kill(endpoints.redis_pid, signal.SIGKILL)
    servers.stop_redis()  # enters it as stopped
    if data == "lost":
        shutil.rmtree(endpoints.home / "redis" / "data")
    time.sleep(3)
    servers.up()
    lift_throttle(ce2de, job_id)
    if data == "lost":
        resumed = ce2de("reindex", "resume", job_id)
        assert resumed.returncode == 0, resumed.stderr
    wait_for(client, job_id, has_ended)
    assert_all_there(job_id, f"Redis killed, its data {data}")


@pytest.mark.parametrize("block", ["cluster", "flood stage"])
def test_read_only_for_ten_seconds(
    client: OpenSearch,
    source: str,
    ce2de: Run,
    start_worker: StartWorker,
    assert_all_there: AssertAllThere,
    block: str,
) -> None:
    start_worker()
    start_worker()
    job_id = start_detached(ce2de, source, *SLOWLY)
    wait_for(client, job_id, has_begun)
    set_block(client, block, True)
    try:
        time.sleep(10)
    finally:
        set_block(client, block, None)
    lift_throttle(ce2de, job_id)
    wait_for(client, job_id, has_ended)
    assert_all_there(job_id, f"read-only for 10 s ({block})")


def set_block(client: OpenSearch, block: str, value: bool | None) -> None:
    if block == "cluster":
        client.cluster.put_settings(body={"transient": {"cluster.blocks.read_only": value}})
    else:  # on every index, as a node with a full disk does
        client.indices.put_settings(
            index="_all",
            body={"index.blocks.read_only_allow_delete": value},
            params={"expand_wildcards": "all"},
        )


def test_a_storm_of_429s_through_a_whole_job(
    narrow_client: OpenSearch,
    narrow_endpoints: Endpoints,
    ce2de: Run,
    start_worker: StartWorker,
    assert_all_there: AssertAllThere,
) -> None:
    there = {
        "CE2DE_OPENSEARCH_URL": narrow_endpoints.opensearch_url,
        "CE2DE_BROKER_URL": narrow_endpoints.broker_url,
    }
    create_index(narrow_client, "articles", articles(1000))
    narrow_client.indices.create(index="noise", body={"settings": {"number_of_replicas": 0}})
    job_id = start_detached(lambda *arguments: ce2de(*arguments, **there), "articles")
    with hammer(narrow_client, "noise", threads=6) as turned_away:
        start_worker(**there)
        start_worker(**there)
        found = wait_for(narrow_client, job_id, has_ended)
    assert found.counts.rejected > 0
    assert_all_there(
        job_id,
        f"a storm of 429s ({found.counts.rejected} writes rejected, {sum(turned_away)} of the noise)",
        narrow_client,
    )


def test_messages_given_back_before_their_task_is_done(
    client: OpenSearch, source: str, ce2de: Run, start_worker: StartWorker, assert_all_there: AssertAllThere
) -> None:
    start_worker(impatient.__name__)
    start_worker(impatient.__name__)
    job_id = start_detached(ce2de, source, *SLOWLY)
    wait_for(client, job_id, has_ended)
    found = assert_all_there(
        job_id, f"visibility timeout of {impatient.VISIBILITY_TIMEOUT_S} s, tasks of 20 s"
    )
    read = status(client, job_id).counts.documents
    assert read <= 1.2 * found.documents, f"{read} documents read: messages that come again cost work"


def test_two_operators_start_the_same_job_at_once(
    client: OpenSearch,
    source: str,
    environment: dict[str, str],
    start_worker: StartWorker,
    assert_all_there: AssertAllThere,
) -> None:
    start_worker()
    start_worker()
    command = [sys.executable, "-m", "ce2de_os", *start_arguments(source), "--json"]
    operators = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [operator.communicate(timeout=300) for operator in operators]
    assert [operator.returncode for operator in operators] == [0, 0], told
    jobs = {json.loads(output)["job_id"] for output, _ in told}
    assert len(jobs) == 1
    assert_all_there(jobs.pop(), "two operators at once")


def test_a_worker_with_another_model_leaves_the_work_to_others(
    client: OpenSearch,
    source: str,
    ce2de: Run,
    start_worker: StartWorker,
    assert_all_there: AssertAllThere,
    tmp_path: Path,
) -> None:
    start_worker(CE2DE_ARTIFACT=str(another_model(tmp_path / "model")))
    job_id = start_detached(ce2de, source)
    time.sleep(10)
    assert status(client, job_id).counts.documents == 0
    start_worker()
    wait_for(client, job_id, has_ended)
    assert_all_there(job_id, "a worker with another model beside a right one")


def another_model(folder: Path) -> Path:
    """The packaged model, but queries get a prefix: vectors of another space by its fingerprint."""
    packaged = Artifact.load()
    shutil.copytree(packaged.folder, folder)
    kept = ("name", "dim", "max_length", "pooling", "source", "recipe")
    Artifact.create(folder, **{key: getattr(packaged, key) for key in kept}, query_prefix="query: ")
    return folder


def test_a_clock_that_is_an_hour_ahead(
    client: OpenSearch,
    source: str,
    ce2de: Run,
    start_worker: StartWorker,
    assert_all_there: AssertAllThere,
    tmp_path: Path,
) -> None:
    ahead = "import time\n_now = time.time\ntime.time = lambda: _now() + 3600\n"
    (tmp_path / "sitecustomize.py").write_text(ahead)
    start_worker(PYTHONPATH=str(tmp_path))
    start_worker()
    job_id = start_detached(ce2de, source, *SLOWLY)
    wait_for(client, job_id, has_ended)
    found = assert_all_there(job_id, "clocks an hour apart")
    read = status(client, job_id).counts.documents
    assert read <= 1.2 * found.documents, f"{read} documents read: the workers take leases from each other"


def test_writes_updates_and_deletes_during_the_whole_job(
    client: OpenSearch, source: str, ce2de: Run, start_worker: StartWorker, assert_all_there: AssertAllThere
) -> None:
    start_worker()
    start_worker()
    job_id = start_detached(ce2de, source, *SLOWLY)
    stop, changes = threading.Event(), [0]
    writer = threading.Thread(target=write_steadily, args=(client, source, stop, changes))
    started = time.monotonic()
    writer.start()
    try:
        time.sleep(15)
        lift_throttle(ce2de, job_id)
        wait_for(client, job_id, has_ended)
    finally:
        stop.set()
        writer.join()
    rate = changes[0] / (time.monotonic() - started)
    follow(ce2de, source)
    wait_until_followed(client, job_id)
    assert_all_there(job_id, f"{changes[0]} live writes, updates and deletes at {rate:.0f}/s")
    assert changes[0] > 500


def write_steadily(client: OpenSearch, index: str, stop: threading.Event, changes: list[int]) -> None:
    """About 200 changes a second: a new document, three updates and a delete, over and over."""
    chance, number = random.Random(7), 0
    while not stop.wait(0.25):
        actions: list[dict[str, Any]] = []
        for _ in range(10):
            number += 1
            actions.append({"_id": f"new-{number}", "title": f"a new one {number}"})
            for _ in range(3):
                actions.append(
                    {"_id": str(chance.randrange(3000)), "title": f"changed {number}", "body": "anew"}
                )
            actions.append({"_op_type": "delete", "_id": str(chance.randrange(3000))})
        for action in actions:
            action["_index"] = index
        helpers.bulk(client, actions, raise_on_error=False)  # a document may be deleted twice
        changes[0] += len(actions)


def test_a_document_that_kills_every_worker_is_set_aside(
    client: OpenSearch,
    source: str,
    ce2de: Run,
    start_worker: StartWorker,
    assert_all_there: AssertAllThere,
    tmp_path: Path,
) -> None:
    client.index(index=source, id="1234", body={"title": "rare", "body": poisoned.DEADLY}, refresh=True)
    start_worker(poisoned.__name__)
    job_id = start_detached(ce2de, source, "--accept-rejected")
    wait_for(client, job_id, has_ended)
    deaths = (tmp_path / "worker-0.log").read_text().count("exited with 'signal 9")
    found = assert_all_there(job_id, f"a document that killed {deaths} processes")
    assert 4 <= deaths <= 8
    assert found.set_aside == 1
    listed = json.loads(ce2de("reindex", "dlq", "list", job_id, "--json").stdout)
    assert [letter["doc_id"] for letter in listed["documents"]] == ["1234"]
    assert "workers crashed on it" in listed["documents"][0]["reason"]


def test_a_mapping_conflict_in_one_document_of_a_hundred(
    client: OpenSearch,
    index_name: str,
    ce2de: Run,
    start_worker: StartWorker,
    assert_all_there: AssertAllThere,
) -> None:
    priced = (
        {**article, "price": "much" if number % 100 == 0 else number}
        for number, article in enumerate(articles(2000))
    )
    create_index(client, index_name, priced, {"dynamic": False, **TEXT_MAPPING})
    job_id = start_detached(ce2de, index_name)
    target = Ledger(client).job(job_id).job.target
    client.indices.put_mapping(index=target, body={"properties": {"price": {"type": "integer"}}})
    start_worker()
    failed = wait_for(client, job_id, has_ended)
    assert failed.job.state == "failed"
    assert "20 documents were rejected" in str(failed.job.error)
    assert vars(tally(client, failed.job)) == vars(Tally(documents=2000, set_aside=20))
    listed = json.loads(ce2de("reindex", "dlq", "list", job_id, "--limit", "99", "--json").stdout)
    assert listed["kinds"] == {"mapper_parsing_exception": 20}
    assert {letter["doc_id"] for letter in listed["documents"]} == {
        str(number) for number in range(0, 2000, 100)
    }
    for number in range(0, 2000, 100):
        client.update(index=index_name, id=str(number), body={"doc": {"price": 0}})
    retried = ce2de("reindex", "dlq", "retry", job_id, "--json")
    assert json.loads(retried.stdout) == {"written": 20, "gone": 0, "refused": 0}, retried.stderr
    follow(ce2de, index_name)
    assert assert_all_there(job_id, "1% of the documents refused, mended, tried again").set_aside == 0
