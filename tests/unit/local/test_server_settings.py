"""The files and the command lines that the servers get."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ce2de_os.config import LocalSettings
from ce2de_os.errors import ConfigError, LocalServerError
from ce2de_os.local import lockfile, opensearch_server, redis_server
from ce2de_os.local.java import Java
from ce2de_os.local.servers import LocalServers


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


def test_a_path_of_any_kind_stays_one_yaml_value() -> None:
    text = opensearch_server.settings(Path('/a: "b" # ü'), 1, 2)
    (line,) = [line for line in text.splitlines() if line.startswith("path.data")]
    assert json.loads(line.partition(": ")[2]) == '/a: "b" # ü/data'


@pytest.mark.parametrize(
    ("version", "major", "expected"), [("2.19.1", 17, True), ("2.19.1", 11, False), ("3.6.0", 25, False)]
)
def test_the_security_manager_is_allowed_where_it_exists(version: str, major: int, expected: bool) -> None:
    assert ("-Djava.security.manager=allow" in command(version, major)) is expected


def test_redis_listens_on_the_loopback_device_and_cannot_be_made_to_write_elsewhere() -> None:
    text = redis_server.settings(Path("/home of redis"), 20003)
    assert "bind 127.0.0.1" in text
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
        servers.start_redis()
