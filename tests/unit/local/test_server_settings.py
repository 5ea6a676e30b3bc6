"""The files and the command lines that the servers get."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ce2de_os.config import LocalSettings
from ce2de_os.errors import ConfigError, LocalServerError
from ce2de_os.local import cluster, lockfile, memory, opensearch_server, redis_server
from ce2de_os.local.java import Java
from ce2de_os.local.servers import LocalServers
from ce2de_os.local.state import Node, State


def command(version: str, major: int) -> list[str | Path]:
    lock = lockfile.read(version)
    return opensearch_server.command(
        Java(Path("/jdk/bin/java"), major), lock, Path("/dist"), Path("/home"), "1g"
    )


def test_opensearch_listens_on_the_loopback_device_only() -> None:
    lines = dict(
        line.split(": ", 1) for line in opensearch_server.settings(Path("/h"), 20001, 20002).splitlines()
    )
    assert json.loads(lines["network.host"]) == "127.0.0.1"
    assert (lines["http.port"], lines["transport.port"]) == ("20001", "20002")


def test_one_node_is_a_cluster_of_its_own() -> None:
    assert opensearch_server.cluster_settings(1, [20002]) == {}
    assert 'discovery.type: "single-node"' in opensearch_server.settings(Path("/h"), 20001, 20002)


def test_several_nodes_look_for_each_other_on_the_loopback_device_only() -> None:
    extra = opensearch_server.cluster_settings(2, [20002, 20004, 20006])
    lines = dict(
        line.split(": ", 1)
        for line in opensearch_server.settings(Path("/h"), 20003, 20004, extra).splitlines()
    )
    assert json.loads(lines["network.host"]) == "127.0.0.1"
    assert json.loads(lines["node.name"]) == "node-2"
    assert json.loads(lines["discovery.seed_hosts"]) == [
        f"127.0.0.1:{port}" for port in (20002, 20004, 20006)
    ]
    assert json.loads(lines["cluster.initial_cluster_manager_nodes"]) == ["node-1", "node-2", "node-3"]


def test_a_path_of_any_kind_stays_one_yaml_value() -> None:
    text = opensearch_server.settings(Path('/a: "b" # ü'), 1, 2)
    (line,) = [line for line in text.splitlines() if line.startswith("path.data")]
    assert json.loads(line.partition(": ")[2]) == '/a: "b" # ü/data'


@pytest.mark.parametrize(
    ("version", "major", "expected"), [("2.19.1", 17, True), ("2.19.1", 11, False), ("3.6.0", 25, False)]
)
def test_the_security_manager_is_allowed_where_it_exists(version: str, major: int, expected: bool) -> None:
    assert ("-Djava.security.manager=allow" in command(version, major)) is expected


def test_redis_listens_on_its_socket_alone_and_cannot_be_made_to_write_elsewhere() -> None:
    text = redis_server.settings(Path("/home of redis"))
    assert "port 0\n" in text
    assert 'unixsocket "/home of redis/run/redis.sock"' in text
    assert "unixsocketperm 600" in text
    assert 'dir "/home of redis/data"' in text
    assert 'rename-command CONFIG ""' in text


@pytest.mark.parametrize("heap", ["1", "g", "0g", "1.5g", "1tb", "1g -Dx=y"])
def test_a_heap_that_is_no_size_is_refused(tmp_path: Path, heap: str) -> None:
    servers = LocalServers(tmp_path / "home", LocalSettings(cache=tmp_path))
    with pytest.raises(ConfigError, match="expected a size such as 512m or 2g"):
        servers.up(heap=heap)


def test_servers_that_were_never_up_have_no_endpoints_and_nothing_to_stop(tmp_path: Path) -> None:
    servers = LocalServers(tmp_path / "home", LocalSettings(cache=tmp_path))
    servers.down()
    assert servers.endpoints() is None
    assert not servers.status().is_running
    assert not servers.home.exists()
    with pytest.raises(LocalServerError, match="no servers here yet; run: ce2de local up"):
        servers.stop_node(1)


@pytest.mark.parametrize("nodes", [0, -1, 6])
def test_a_number_of_nodes_that_makes_no_sense_is_refused(tmp_path: Path, nodes: int) -> None:
    with pytest.raises(ConfigError, match=f"nodes: got {nodes}, expected 1 to 5"):
        LocalServers(tmp_path / "home", LocalSettings(cache=tmp_path), nodes=nodes)


def data_of(home: Path, state: State) -> None:
    (home / "opensearch-3.6.0" / "data" / "nodes").mkdir(parents=True)
    state.save(home / "state.json")


def test_another_number_of_nodes_is_refused_where_data_lies(tmp_path: Path) -> None:
    data_of(tmp_path, State("3.6.0", "1g"))
    servers = LocalServers(tmp_path, LocalSettings(cache=tmp_path), nodes=3)
    with pytest.raises(LocalServerError, match=r"got `nodes=3`, but the cluster here has 1.* `home`"):
        servers.up()


def test_the_number_of_nodes_may_change_while_there_is_no_data(tmp_path: Path) -> None:
    failed = State("3.6.0", "1g")
    changed = cluster.resized(failed, 3, tmp_path)
    assert (len(changed.nodes), changed.heap) == (3, "384m")
    assert cluster.resized(failed, None, tmp_path) == failed


def test_ml_commons_cannot_be_added_while_the_node_runs() -> None:
    plain = State("3.6.0", "1g", 20003)
    with pytest.raises(LocalServerError, match="running here without ml-commons; run 'ce2de local down'"):
        cluster.refuse_change(plain, None, None, ml=True)
    cluster.refuse_change(State("3.6.0", "1g", 20003, ml=True), None, None)


@pytest.mark.parametrize("number", [0, 4])
def test_a_node_that_is_none_of_the_cluster_is_refused(tmp_path: Path, number: int) -> None:
    data_of(tmp_path, State("3.6.0", "384m", (Node(), Node(), Node())))
    servers = LocalServers(tmp_path, LocalSettings(cache=tmp_path))
    for act in (servers.stop_node, servers.kill_node, servers.start_node):
        with pytest.raises(ConfigError, match=f"node: got {number}, expected 1 to 3"):
            act(number)


def test_memory_that_is_short_is_told_with_the_numbers(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 8000000 kB\nMemAvailable:  1000000 kB\n", encoding="ascii")
    assert memory.shortage(1, "384m", meminfo) is None
    told = str(memory.shortage(3, "384m", meminfo))
    assert told.startswith("memory is short: 3 nodes with a heap of 384m take about 2.1 GB, 1.0 GB are free")
    assert memory.shortage(3, "384m", tmp_path / "elsewhere") is None
