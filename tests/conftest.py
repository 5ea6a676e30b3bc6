"""Fixtures for every test: a clean environment, and real servers that start once for the whole run."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from opensearchpy import OpenSearch

from ce2de_os.config import OpenSearchSettings, Settings
from ce2de_os.index.client import connect
from ce2de_os.local.servers import Endpoints, LocalServers
from ce2de_os.reindex.ledger import LEDGER_INDEX
from ce2de_os.reindex.setup.naming import ROLLOVER

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when haystack is imported
# Several processes test at once; with a thread for each core in every one, PyTorch is many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Servers that live for minutes: half the CPU time to start.
os.environ["CE2DE_JAVA_OPTIONS"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

_KEPT = ("CE2DE_CACHE", "CE2DE_JAVA_OPTIONS")  # downloads lie in the cache


_FAULTS = {
    "test_faults",
    "test_follow_workers",
    "test_journal",
    "test_journal_itself",
    "test_workers",
}
"""Modules whose tests mostly wait; they run beside the others, and take as long as these."""

_OWN_SERVERS = {"test_security", "test_three_nodes"}
"""Modules that ask nothing of the common servers, so that any process can run them without starting these."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--servers-home", help="Use the instance in this folder, and leave it running.")
    parser.addoption("--older-servers-home", help="The same for the tests that need OpenSearch 2.19 too.")
    parser.addoption("--ml-servers-home", help="The same for the tests that need ml-commons.")
    parser.addoption(
        "--three-servers-home", help="The same for the tests that need a cluster of three nodes."
    )
    parser.addoption("--screenshots", action="store_true", help="Take the pictures of docs/images anew.")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Tests on common servers follow each other in two processes, each with its own; the others by file.

    A scheduler of ours, since xdist 3.8 does not see its groups with pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByServers(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            folder, *rest = nodeid.split("::")[0].removeprefix("tests/").split("/")
            name = Path(rest[-1] if rest else folder).stem
            if folder == "simulation":
                return nodeid  # hundreds of seeds each, on no server
            if folder == "unit" or name in _OWN_SERVERS:
                return name
            return "faults" if name in _FAULTS else folder

    config.option.loadscopereorder = False  # the long ones come first by name
    return ByServers(config, log)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the developer's settings."""
    for name in list(os.environ):
        if name.startswith("CE2DE_") and name not in _KEPT:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def instances() -> Path:
    """Where tests put instances: a folder that the account running OpenSearch can enter, unlike tmp_path."""
    return Settings.from_env().local.cache / "instances"


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, instances: Path) -> Iterator[LocalServers]:
    """Running servers of this test run's own."""
    given = request.config.getoption("--servers-home")
    if given:
        shared = LocalServers(home=Path(given))
        shared.up()
        yield shared
        return
    remove_leftovers(instances)
    own = LocalServers(home=instances / f"tests-{os.getpid()}")
    own.up()
    yield own
    remove(own)


@pytest.fixture
def endpoints(servers: LocalServers) -> Endpoints:
    """Where the servers answer; started again if a test before left one stopped."""
    return servers.endpoints() or servers.up()


@pytest.fixture
def client(endpoints: Endpoints) -> Iterator[OpenSearch]:
    with connect(OpenSearchSettings(url=endpoints.opensearch_url)) as opensearch:
        yield opensearch


@pytest.fixture
def index_name(client: OpenSearch) -> Iterator[str]:
    """A name that nothing has yet; jobs and indices whose names contain it are deleted afterwards."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    yield name
    _forget_jobs(client, name)
    for index in client.indices.get(index=f"{name}*", expand_wildcards="all"):
        client.indices.delete(index=index)


def _forget_jobs(client: OpenSearch, name: str) -> None:
    """Remove the records of jobs; a standing job would keep the workers of later tests busy."""
    client.indices.refresh(index=LEDGER_INDEX, params={"ignore_unavailable": "true"})
    client.delete_by_query(
        index=LEDGER_INDEX,
        body={"query": {"wildcard": {"job_id": f"*{name}*"}}},
        params={"conflicts": "proceed", "ignore_unavailable": "true"},
    )
    client.transport.perform_request("DELETE", f"/_index_template/{ROLLOVER}{name}*", {"ignore": [404]})


def remove(servers: LocalServers) -> None:
    """Stop ``servers`` and delete their data."""
    servers.down()
    shutil.rmtree(servers.home, ignore_errors=True)


def remove_leftovers(instances: Path) -> None:
    """Instances of test runs that were killed."""
    for home in instances.glob("tests-*"):
        if not _is_alive(int(home.name.split("-")[1])):
            remove(LocalServers(home=home))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
