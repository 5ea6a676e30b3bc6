"""`ce2de local` where nothing runs, and how it tells its progress."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ce2de_os.cli import local
from ce2de_os.errors import LocalServerError
from ce2de_os.local.servers import NodeStatus, Status


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path / "instance")


def test_status_of_nothing_is_exit_code_1_and_says_how_to_start(home: str) -> None:
    outcome = CliRunner().invoke(local.command, ["status", "--home", home])
    assert outcome.exit_code == 1
    assert "not running" in outcome.stdout
    assert f"ce2de local up --home {home}" in outcome.stdout


def test_status_as_json(home: str) -> None:
    outcome = CliRunner().invoke(local.command, ["status", "--json", "--home", home])
    assert outcome.exit_code == 1
    found = json.loads(outcome.stdout)
    assert (found["running"], found["opensearch_url"], found["home"]) == (False, None, home)


def test_down_of_nothing_is_no_error(home: str) -> None:
    outcome = CliRunner().invoke(local.command, ["down", "--home", home])
    assert outcome.exit_code == 0
    assert "Nothing was running." in outcome.stderr


def test_env_of_nothing_prints_no_line_that_a_shell_could_run(home: str) -> None:
    outcome = CliRunner().invoke(local.command, ["env", "--home", home])
    assert isinstance(outcome.exception, LocalServerError)
    assert "run: ce2de local up" in str(outcome.exception)
    assert outcome.stdout == ""


def test_the_home_may_come_from_the_environment(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CE2DE_HOME", home)
    outcome = CliRunner().invoke(local.command, ["status", "--json"])
    assert json.loads(outcome.stdout)["home"] == home


def test_without_a_terminal_each_step_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with local.start_progress() as progress:
        for done in (0, 50_000_000, 100_000_000):
            progress("Downloading OpenSearch", done, 100_000_000)
        progress("Starting OpenSearch 3.6.0", 0, 0)
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["Downloading OpenSearch (100 MB) …", "Starting OpenSearch 3.6.0 …"]
    assert printed.out == ""


def test_the_status_of_a_cluster_names_each_node() -> None:
    nodes = (NodeStatus(1, "http://127.0.0.1:20001", 7), NodeStatus(2, "http://127.0.0.1:20003", None))
    found = Status(
        Path("/h"),
        "3.6.0",
        "http://127.0.0.1:20001",
        7,
        "yellow",
        "redis+socket:///h/redis/run/redis.sock",
        9,
        0,
        nodes,
    )
    assert list(local._status_lines(found, ""))[:3] == [
        "OpenSearch 3.6.0  2 nodes, health yellow",
        "  node 1          http://127.0.0.1:20001, pid 7",
        "  node 2          not running",
    ]
    assert not found.is_running


def test_the_help_teaches_a_cluster() -> None:
    told = CliRunner().invoke(local.command, ["--help"]).stdout
    for line in ("ce2de local up --nodes 3", "ce2de local stop-node 2 --kill", "ce2de local start-node 2"):
        assert line in told


@pytest.mark.parametrize("command", ["stop-node", "start-node"])
def test_a_node_of_servers_that_were_never_up(home: str, command: str) -> None:
    outcome = CliRunner().invoke(local.command, [command, "1", "--home", home])
    assert isinstance(outcome.exception, LocalServerError)
    assert "run: ce2de local up" in str(outcome.exception)
