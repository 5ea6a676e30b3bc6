"""A cluster of three nodes: one goes away, comes back, or hands its shards over, while a job runs."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest
from opensearchpy import OpenSearch, helpers

from ce2de_os.local.servers import LocalServers
from tests.integration.indexes import articles
from tests.integration.nodes import Nodes

pytestmark = pytest.mark.timeout(300)


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
    assert ce2de("local", "stop-node", str(victim), "--kill", "--home", str(nodes.home)).returncode == 0
    shown = ce2de("local", "status", "--json", "--home", str(nodes.home))
    assert shown.returncode == 1
    assert [node["pid"] is None for node in json.loads(shown.stdout)["nodes"]] == [
        number == victim for number in (1, 2, 3)
    ]
    assert survivor.count(index=name)["count"] == 100
    assert nodes.primary(name) != victim
    started = ce2de("local", "start-node", str(victim), "--home", str(nodes.home))
    assert started.returncode == 0, started.stderr
    nodes.wait_for_health("green", name)
    assert ce2de("local", "status", "--home", str(nodes.home)).returncode == 0


def create(client: OpenSearch, name: str, documents: int, replicas: int, **settings: object) -> None:
    settings |= {"number_of_replicas": replicas}
    client.indices.create(index=name, body={"settings": settings})
    actions = (
        {"_index": name, "_id": str(number), **each} for number, each in enumerate(articles(documents))
    )
    helpers.bulk(client, actions, refresh=True)


def ce2de(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ce2de_os", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
