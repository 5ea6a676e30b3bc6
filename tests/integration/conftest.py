"""The older OpenSearch beside the default one, for what must be the same in both."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from opensearchpy import OpenSearch

from ce2de_os.config import OpenSearchSettings
from ce2de_os.index.client import connect
from ce2de_os.local.servers import Endpoints, LocalServers
from tests.conftest import remove

OLDER = "2.19.1"


@pytest.fixture(scope="session")
def older_endpoints(request: pytest.FixtureRequest, instances: Path) -> Iterator[Endpoints]:
    given = request.config.getoption("--older-servers-home")
    servers = LocalServers(home=Path(given) if given else instances / f"tests-{os.getpid()}-older")
    yield servers.up(version=OLDER, heap="768m")
    if not given:
        remove(servers)


@pytest.fixture(scope="module", params=["default", OLDER])
def cluster_url(request: pytest.FixtureRequest) -> str:
    """The address of each cluster in turn."""
    if request.param == OLDER:
        return request.getfixturevalue("older_endpoints").opensearch_url
    return request.getfixturevalue("servers").up().opensearch_url


@pytest.fixture(scope="module")
def cluster(cluster_url: str) -> Iterator[OpenSearch]:
    with connect(OpenSearchSettings(url=cluster_url)) as opensearch:
        yield opensearch


@pytest.fixture
def cluster_index(cluster: OpenSearch) -> Iterator[str]:
    """A name that nothing in the cluster has yet; what begins with it is deleted afterwards."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    yield name
    for index in cluster.indices.get(index=f"{name}*", expand_wildcards="all"):
        cluster.indices.delete(index=index)
