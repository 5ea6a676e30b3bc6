"""A cluster of three nodes: one goes away, comes back, or hands its shards over, while a job runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from opensearchpy import OpenSearch, helpers

from ce2de_os.errors import JobError
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.local.servers import LocalServers
from ce2de_os.reindex.cutover import replicas
from ce2de_os.reindex.job import DONE, FAILED, READY
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.operate import cutover
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from tests.integration.indexes import HashEncoder, InlineQueue, articles
from tests.integration.jobs import (
    Run,
    StartWorker,
    Tally,
    has_begun,
    has_ended,
    lift_throttle,
    start_detached,
    wait_for,
)
from tests.integration.nodes import Nodes

pytestmark = pytest.mark.timeout(600)

AssertAllThere = Callable[..., Tally]


@pytest.fixture
def nodes(three_nodes: LocalServers) -> Iterator[Nodes]:
    with Nodes(three_nodes) as opened:
        yield opened


@pytest.fixture
def name() -> str:
    """A name that nothing in the cluster has yet."""
    return f"t-{uuid.uuid4().hex[:10]}"


def test_a_node_is_killed_and_comes_back(nodes: Nodes, name: str) -> None:
    client = nodes.client(1)
    create(client, name, 100, replicas=1)
    nodes.wait_for_health("green", name)
    assert {copy["prirep"] for copy in nodes.copies(name)} == {"p", "r"}
    victim = nodes.primary(name)
    survivor = nodes.client(nodes.another(victim))
    assert local("stop-node", str(victim), "--kill", "--home", str(nodes.home)).returncode == 0
    shown = local("status", "--json", "--home", str(nodes.home))
    assert shown.returncode == 1
    assert [node["pid"] is None for node in json.loads(shown.stdout)["nodes"]] == [
        number == victim for number in (1, 2, 3)
    ]
    assert survivor.count(index=name)["count"] == 100
    assert nodes.primary(name) != victim
    started = local("start-node", str(victim), "--home", str(nodes.home))
    assert started.returncode == 0, started.stderr
    nodes.wait_for_health("green", name)
    assert local("status", "--home", str(nodes.home)).returncode == 0


def create(client: OpenSearch, name: str, documents: int, replicas: int, **settings: object) -> None:
    settings |= {"number_of_replicas": replicas}
    client.indices.create(index=name, body={"settings": settings})
    actions = (
        {"_index": name, "_id": str(number), **each} for number, each in enumerate(articles(documents))
    )
    helpers.bulk(client, actions, refresh=True)


def local(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ce2de_os", "local", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture
def environment(nodes: Nodes) -> dict[str, str]:
    """The CLI and the workers talk to node 1, so the tests take away the others."""
    found = nodes.servers.up()
    addresses = {"CE2DE_OPENSEARCH_URL": nodes.url(1), "CE2DE_BROKER_URL": found.broker_url}
    return {**os.environ, **addresses}


@pytest.fixture
def source(nodes: Nodes, name: str) -> str:
    """An index whose primary is not on node 1, and its replica neither."""
    create(nodes.client(1), name, 1200, replicas=1, **{"routing.allocation.exclude._name": "node-1"})
    nodes.wait_for_health("green", name)
    return name


def begin(ce2de: Run, start_worker: StartWorker, source: str) -> str:
    """A job that two workers are at, slowly."""
    start_worker()
    start_worker()
    return start_detached(ce2de, source, "--docs-per-second", "150")


def end(nodes: Nodes, ce2de: Run, job_id: str, assert_all_there: AssertAllThere, fault: str) -> None:
    lift_throttle(ce2de, job_id)
    wait_for(nodes.client(1), job_id, has_ended)
    found = assert_all_there(job_id, fault, nodes.client(1))
    assert found.set_aside == 0


def test_a_node_is_killed_during_the_load(
    nodes: Nodes, source: str, ce2de: Run, start_worker: StartWorker, assert_all_there: AssertAllThere
) -> None:
    job_id = begin(ce2de, start_worker, source)
    wait_for(nodes.client(1), job_id, has_begun)
    victim = nodes.another(1, nodes.primary(source))
    nodes.servers.kill_node(victim)
    time.sleep(3)
    nodes.servers.start_node(victim)  # it may have held the target, which has no replica while it is filled
    end(nodes, ce2de, job_id, assert_all_there, "the node of a replica killed")


def test_a_replica_is_promoted_during_the_load(
    nodes: Nodes, source: str, ce2de: Run, start_worker: StartWorker, assert_all_there: AssertAllThere
) -> None:
    job_id = begin(ce2de, start_worker, source)
    wait_for(nodes.client(1), job_id, has_begun)
    victim = nodes.primary(source)
    nodes.servers.kill_node(victim)
    assert nodes.primary(source) != victim
    nodes.servers.start_node(victim)
    end(nodes, ce2de, job_id, assert_all_there, "the primary's node killed, its replica promoted")


def test_a_primary_is_relocated_during_the_load(
    nodes: Nodes, source: str, ce2de: Run, start_worker: StartWorker, assert_all_there: AssertAllThere
) -> None:
    client = nodes.client(1)
    no_replica = {"number_of_replicas": 0, "routing.allocation.exclude._name": None}
    client.indices.put_settings(index=source, body=no_replica)
    nodes.wait_for_health("green", source)
    job_id = begin(ce2de, start_worker, source)
    wait_for(client, job_id, has_begun)
    for index in (source, *Ledger(client).job(job_id).job.targets):
        home = nodes.primary(index)
        nodes.move(index, 0, home, nodes.another(home))
    nodes.wait_for_health("yellow", source)
    end(nodes, ce2de, job_id, assert_all_there, "the primaries of source and target relocated")


def test_a_shard_without_a_replica_is_away_for_a_while(
    nodes: Nodes, source: str, ce2de: Run, start_worker: StartWorker, assert_all_there: AssertAllThere
) -> None:
    client = nodes.client(1)
    client.indices.put_settings(index=source, body={"number_of_replicas": 0})
    nodes.wait_for_health("green", source)
    job_id = begin(ce2de, start_worker, source)
    wait_for(client, job_id, has_begun)
    away = nodes.primary(source)
    nodes.servers.kill_node(away)
    time.sleep(5)
    nodes.servers.start_node(away)
    end(nodes, ce2de, job_id, assert_all_there, "the only copy of the source away")
    assert max(record.deaths for record in Ledger(client).slices(Ledger(client).job(job_id).job)) == 0


def test_the_alias_waits_for_replicas_that_the_source_has_too(
    nodes: Nodes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "PATIENCE_S", 1.0)
    client, encoder, queue = nodes.client(1), HashEncoder(), InlineQueue()
    create(client, name, 50, replicas=1)
    nodes.wait_for_health("green", name)
    allocate = "cluster.routing.allocation.enable"
    client.cluster.put_settings(body={"transient": {allocate: "primaries"}})
    try:
        request = JobRequest(name, TextSpec(("title",)), f"{name}-search", follow=False)
        job = start(client, request, encoder, queue)
        with pytest.raises(JobError, match=r"has 1 active copies of its shards, 2 were expected.*allocation"):
            queue.run(client, encoder)
        assert Ledger(client).job(job.job_id).job.state == FAILED
        assert not client.indices.exists_alias(name=f"{name}-search")
        done = cutover(client, encoder, job.job_id, "operator", accept_unreplicated=True)
        assert (done.state, nodes.copies(job.target)[0]["prirep"]) == (DONE, "p")
    finally:
        client.cluster.put_settings(body={"transient": {allocate: None}})
    nodes.wait_for_health("green", job.target)


def test_a_snapshot_restored_over_the_source_is_one_clear_error(
    nodes: Nodes, name: str, ce2de: Run, start_worker: StartWorker
) -> None:
    client = nodes.client(1)
    create(client, name, 300, replicas=0)
    repository = {"type": "fs", "settings": {"location": str(nodes.home / "snapshots" / name)}}
    client.snapshot.create_repository(repository=name, body=repository)
    try:
        client.snapshot.create(
            repository=name, snapshot="before", body={"indices": name}, params={"wait_for_completion": "true"}
        )
        start_worker()
        job_id = start_detached(ce2de, name, "--hold")
        assert wait_for(client, job_id, has_ended).job.state == READY
        helpers.bulk(client, [{"_index": name, "title": f"a later one {each}"} for each in range(50)])
        client.indices.close(index=name)
        body = {"indices": name, "include_global_state": False}
        client.snapshot.restore(
            repository=name, snapshot="before", body=body, params={"wait_for_completion": "true"}
        )
        client.indices.open(index=name)
        nodes.wait_for_health("green", name)
        for command in ("cutover", "verify"):
            refused = ce2de("reindex", command, job_id)
            assert refused.returncode == 1, refused.stdout
            assert "Traceback" not in refused.stderr
            assert name in refused.stderr
            assert "history" in refused.stderr, refused.stderr
        assert not client.indices.exists_alias(name=f"{name}-search")
    finally:
        client.snapshot.delete_repository(repository=name)
