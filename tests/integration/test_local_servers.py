"""A real OpenSearch and Redis: they answer, keep their state, stop, and live side by side."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import LocalServerError
from ce2de_os.local import lockfile
from ce2de_os.local.download import download, is_intact
from ce2de_os.local.lockfile import LockedFile
from ce2de_os.local.servers import Endpoints, LocalServers
from tests.integration.redis_client import local_redis

MAPPINGS = {
    "properties": {
        "text": {"type": "text"},
        "vector": {
            "type": "knn_vector",
            "dimension": 2,
            "space_type": "innerproduct",
            "method": {"name": "hnsw", "engine": "lucene"},
        },
    }
}
PIPELINES = {
    "min-max": {"normalization-processor": {}},
    "rrf": {"score-ranker-processor": {"combination": {"technique": "rrf"}}},
}


@pytest.fixture
def two_documents(client: OpenSearch, index_name: str) -> str:
    client.indices.create(index=index_name, body={"settings": {"index.knn": True}, "mappings": MAPPINGS})
    client.index(index=index_name, id="a", body={"text": "red fox", "vector": [1, 0]})
    client.index(index=index_name, id="b", body={"text": "blue sea", "vector": [0, 1]}, refresh=True)
    return index_name


@pytest.mark.parametrize("processor", PIPELINES.values(), ids=PIPELINES)
def test_a_hybrid_query_runs(client: OpenSearch, two_documents: str, processor: dict) -> None:
    legs = [{"match": {"text": "fox"}}, {"knn": {"vector": {"vector": [1, 0], "k": 2}}}]
    body = {
        "query": {"hybrid": {"queries": legs}},
        "search_pipeline": {"phase_results_processors": [processor]},
    }
    hits = client.search(index=two_documents, body=body)["hits"]["hits"]
    assert [hit["_id"] for hit in hits] == ["a", "b"]


def test_the_version_is_the_promised_one(client: OpenSearch, endpoints: Endpoints) -> None:
    assert client.info()["version"]["number"] == endpoints.version


def test_the_addresses_stay_when_both_run_already(servers: LocalServers, endpoints: Endpoints) -> None:
    assert servers.up() == endpoints


def test_data_and_ports_survive_down_and_up(
    servers: LocalServers, endpoints: Endpoints, client: OpenSearch, two_documents: str
) -> None:
    with local_redis(endpoints.broker_url) as redis:
        redis.set("kept", "yes")
    servers.down()
    assert servers.endpoints() is None
    assert processes_of(servers) == []
    again = servers.up()
    assert (again.opensearch_url, again.broker_url) == (endpoints.opensearch_url, endpoints.broker_url)
    assert client.get(index=two_documents, id="a")["_source"]["text"] == "red fox"
    with local_redis(again.broker_url) as redis:
        assert redis.get("kept") == b"yes"


def test_killed_servers_are_noticed_and_started_again(
    servers: LocalServers, endpoints: Endpoints, client: OpenSearch, two_documents: str
) -> None:
    os.kill(endpoints.opensearch_pid, signal.SIGKILL)
    os.kill(endpoints.redis_pid, signal.SIGKILL)
    wait_until_gone(servers)
    assert not servers.status().is_running
    assert servers.up().opensearch_url == endpoints.opensearch_url
    assert client.count(index=two_documents)["count"] == 2


def test_two_starts_at_once_make_one_instance_beside_the_first(
    servers: LocalServers, endpoints: Endpoints
) -> None:
    other = LocalServers(home=servers.home.with_name(f"{servers.home.name}-other"))
    try:
        with ThreadPoolExecutor() as pool:
            up = ("local", "up", "--heap", "512m", "--home", other.home)
            outcomes = list(pool.map(ce2de, [up, up]))
        assert [outcome.returncode for outcome in outcomes] == [0, 0]
        assert outcomes[0].stdout == outcomes[1].stdout
        assert endpoints.opensearch_url not in outcomes[0].stdout
        assert servers.endpoints() == endpoints
        assert ce2de(("local", "down", "--home", other.home)).returncode == 0
        assert processes_of(other) == []
        assert ce2de(("local", "status", "--home", other.home)).returncode == 1
    finally:
        other.down()
        shutil.rmtree(other.home)


def test_one_server_can_be_stopped_alone(servers: LocalServers, endpoints: Endpoints) -> None:
    servers.stop_redis()
    found = servers.status()
    assert (found.redis_pid, found.opensearch_pid) == (None, endpoints.opensearch_pid)
    assert servers.endpoints() is None
    servers.up()
    assert servers.status().broker_url == endpoints.broker_url


def test_redis_is_closed_to_other_accounts(endpoints: Endpoints) -> None:
    path = Path(endpoints.broker_url.removeprefix("redis+socket://"))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with local_redis(endpoints.broker_url) as redis:
        assert redis.info("server")["tcp_port"] == 0


def test_the_command_line_shows_the_same_as_the_library(servers: LocalServers, endpoints: Endpoints) -> None:
    shown = json.loads(ce2de(("local", "status", "--json", "--home", servers.home)).stdout)
    assert shown["running"] is True
    assert shown["opensearch_url"] == endpoints.opensearch_url
    lines = ce2de(("local", "env", "--home", servers.home)).stdout.splitlines()
    assert lines == [
        f"export CE2DE_OPENSEARCH_URL={endpoints.opensearch_url}",
        f"export CE2DE_BROKER_URL={endpoints.broker_url}",
    ]


def test_another_version_is_refused_while_one_runs(servers: LocalServers, endpoints: Endpoints) -> None:
    other = next(version for version in lockfile.VERSIONS if version != endpoints.version)
    refused = ce2de(("local", "up", "--home", servers.home, "--version", other))
    assert refused.returncode == 1
    assert "run 'ce2de local down' first" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.fixture
def smallest_file() -> LockedFile:
    return min(lockfile.read(lockfile.VERSIONS[0]).files, key=lambda file: file.size_bytes)


def test_a_download_with_another_checksum_is_refused_and_not_kept(
    smallest_file: LockedFile, tmp_path: Path
) -> None:
    with pytest.raises(LocalServerError, match=f"{smallest_file.name}: got sha256 {smallest_file.sha256}"):
        download([replace(smallest_file, sha256="0" * 64)], tmp_path, lambda *_: None)
    assert not (tmp_path / smallest_file.name).exists()


def test_a_damaged_file_in_the_cache_is_fetched_again(smallest_file: LockedFile, tmp_path: Path) -> None:
    (tmp_path / smallest_file.name).write_bytes(b"damaged")
    download([smallest_file], tmp_path, lambda *_: None)
    assert is_intact(tmp_path / smallest_file.name, smallest_file)


def ce2de(args: tuple[str | Path, ...]) -> subprocess.CompletedProcess[str]:
    program = "from ce2de_os.cli import main; main()"
    return subprocess.run([sys.executable, "-c", program, *args], capture_output=True, text=True)


def processes_of(servers: LocalServers) -> list[str]:
    """The command lines that name the instance's folder; a zombie has none."""
    lines = (_command_line(path) for path in Path("/proc").glob("[0-9]*/cmdline"))
    return [line for line in lines if f"{servers.home}/" in line]


def _command_line(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_until_gone(servers: LocalServers) -> None:
    deadline = time.monotonic() + 10
    while processes_of(servers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(servers) == []
