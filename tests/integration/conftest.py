"""Jobs that real workers do, and servers beside the default ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opensearchpy import OpenSearch

from ce2de_os.config import OpenSearchSettings
from ce2de_os.index.client import connect
from ce2de_os.local.servers import Endpoints, LocalServers
from ce2de_os.reindex.job import DONE
from ce2de_os.reindex.ledger import Ledger
from tests.conftest import remove
from tests.integration.jobs import Run, StartWorker, Tally, tally
from tests.integration.redis_client import local_redis

OLDER = "2.19.1"


@pytest.fixture
def environment(endpoints: Endpoints) -> dict[str, str]:
    return {
        **os.environ,
        "CE2DE_OPENSEARCH_URL": endpoints.opensearch_url,
        "CE2DE_BROKER_URL": endpoints.broker_url,
    }


@pytest.fixture
def ce2de(environment: dict[str, str]) -> Run:
    def run(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ce2de_os", *arguments]
        return subprocess.run(
            command, env={**environment, **extra}, capture_output=True, text=True, timeout=500, check=False
        )

    return run


@pytest.fixture
def start_worker(environment: dict[str, str], tmp_path: Path) -> Iterator[StartWorker]:
    started: list[subprocess.Popen[bytes]] = []

    def start(app: str = "ce2de_os.worker.app", **extra: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "--concurrency", "1"]
        with (tmp_path / f"worker-{len(started)}.log").open("wb") as log:
            worker = subprocess.Popen(
                [*command, "--loglevel", "INFO", "--hostname", f"w{len(started)}-{os.getpid()}@%h"],
                env={**environment, **extra},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
    for log in sorted(tmp_path.glob("worker-*.log")):
        sys.stderr.write(f"{log.name}: {log.read_text()[-3000:]}")  # shown if the test fails


@pytest.fixture
def assert_all_there(client: OpenSearch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Tally]:
    """Count every document of a finished job, tell the numbers, and accept none that is wrong."""

    def check(job_id: str, fault: str, served: OpenSearch = client) -> Tally:
        job = Ledger(served).job(job_id).job
        assert job.state == DONE, job.error
        assert sorted(served.indices.get_alias(name=job.alias)) == sorted(job.targets)
        found = tally(served, job)
        with capsys.disabled():
            sys.stdout.write(
                f"\n{fault}: of {found.documents} documents {found.lost} lost, {found.duplicate} duplicate, "
                f"{found.stale} stale, {found.set_aside} set aside\n"
            )
        assert (found.lost, found.duplicate, found.stale) == (0, 0, 0)
        return found

    return check


@pytest.fixture
def narrow_endpoints(instances: Path) -> Iterator[Endpoints]:
    """Servers of their own: one thread for writes and room for one request to wait."""
    home = instances / f"tests-{os.getpid()}-narrow"
    narrow = {"thread_pool.write.size": 1, "thread_pool.write.queue_size": 1}
    own = LocalServers(home=home, node_settings=narrow)
    yield own.up(heap="512m")
    remove(own)


@pytest.fixture
def narrow_client(narrow_endpoints: Endpoints) -> Iterator[OpenSearch]:
    settings = OpenSearchSettings(url=narrow_endpoints.opensearch_url)
    with OpenSearch(**{**settings.client_kwargs(), "pool_maxsize": 16}) as client:
        yield client


@pytest.fixture(scope="session")
def older_endpoints(request: pytest.FixtureRequest, instances: Path) -> Iterator[Endpoints]:
    given = request.config.getoption("--older-servers-home")
    servers = LocalServers(home=Path(given) if given else instances / f"tests-{os.getpid()}-older")
    yield servers.up(version=OLDER, heap="768m")
    if not given:
        remove(servers)


@pytest.fixture
def repository(client: OpenSearch, servers: LocalServers) -> Iterator[str]:
    """A repository for snapshots."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    location = str(servers.home / "snapshots" / name)
    client.snapshot.create_repository(
        repository=name, body={"type": "fs", "settings": {"location": location}}
    )
    yield name
    client.snapshot.delete_repository(repository=name)


@pytest.fixture(scope="module")
def three_servers(request: pytest.FixtureRequest, instances: Path) -> Iterator[LocalServers]:
    """A cluster of three nodes; a test takes it from `three_nodes`, which puts it in order."""
    given = request.config.getoption("--three-servers-home")
    servers = LocalServers(home=Path(given) if given else instances / f"tests-{os.getpid()}-three", nodes=3)
    servers.up()
    yield servers
    if not given:
        remove(servers)


@pytest.fixture
def three_nodes(three_servers: LocalServers) -> Iterator[LocalServers]:
    """Three nodes that run; what a test stopped is started again, and its indices, jobs and messages go."""
    three_servers.up()
    yield three_servers
    endpoints = three_servers.up()
    with local_redis(endpoints.broker_url) as redis:
        redis.flushdb()
    with connect(OpenSearchSettings(url=endpoints.opensearch_url)) as opensearch:
        for index in opensearch.indices.get(index="t-*,ce2de-*", expand_wildcards="all"):
            opensearch.indices.delete(index=index)


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


@pytest.fixture
def small_client(instances: Path) -> Iterator[OpenSearch]:
    """A server of its own that takes requests of 1 MB at most, as some services and proxies do."""
    home = instances / f"tests-{os.getpid()}-small"
    own = LocalServers(home=home, node_settings={"http.max_content_length": "1mb"})
    with connect(OpenSearchSettings(url=own.up(heap="512m").opensearch_url)) as client:
        yield client
    remove(own)
