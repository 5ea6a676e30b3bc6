"""What an instance remembers, where it lives, and which ports it takes."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from ce2de_os.errors import LocalServerError
from ce2de_os.local import state
from ce2de_os.local.process import Process, birth
from ce2de_os.local.state import Node, State

STATE = State("3.6.0", "1g", (Node(20001, 20002, Process(7, "boot/1")),))


def test_a_saved_state_is_read_back(tmp_path: Path) -> None:
    STATE.save(tmp_path / "state.json")
    assert state.load(tmp_path / "state.json") == STATE


def test_no_file_means_no_state(tmp_path: Path) -> None:
    assert state.load(tmp_path / "state.json") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": "3.6.0"}'])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text, encoding="utf-8")
    with pytest.raises(LocalServerError, match=r"state\.json: damaged .* delete this file"):
        state.load(tmp_path / "state.json")


def test_a_file_of_an_instance_that_knew_one_node_only_is_read(tmp_path: Path) -> None:
    before = {"version": "3.6.0", "heap": "1g", "opensearch_port": 20001, "transport_port": 20002}
    before |= {"redis_port": 20003, "opensearch": {"pid": 7, "birth": "boot/1"}, "redis": None}
    (tmp_path / "state.json").write_text(json.dumps(before), encoding="utf-8")
    assert state.load(tmp_path / "state.json") == STATE


def test_one_node_can_be_replaced_and_the_others_stay() -> None:
    three = State("3.6.0", "384m", (Node(2, 3), Node(4, 5), Node(6, 7)))
    changed = three.with_node(2, Node(8, 9))
    assert changed.nodes == (Node(2, 3), Node(8, 9), Node(6, 7))


def test_the_nodes_that_run_are_known_by_number() -> None:
    alive = Process(os.getpid(), str(birth(os.getpid())))
    three = State("3.6.0", "384m", (Node(2, 3, Process(7, "died")), Node(4, 5), Node(6, 7, alive)))
    assert list(three.running) == [3]
    assert not three.is_up


def checkout(folder: Path) -> Path:
    folder.mkdir()
    (folder / "pyproject.toml").write_text("")
    return folder


def test_two_checkouts_have_two_homes_though_their_names_are_equal(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (checkout(tmp_path / name / "project") for name in "ab")
    cache = tmp_path / "cache"
    assert state.default_home(cache, first) != state.default_home(cache, second)
    assert state.default_home(cache, first).parent == cache / "instances"


def test_a_checkout_has_one_home_from_wherever_in_it(tmp_path: Path) -> None:
    root = checkout(tmp_path / "project")
    (root / "deep" / "down").mkdir(parents=True)
    assert state.default_home(tmp_path, root / "deep" / "down") == state.default_home(tmp_path, root)


def test_outside_of_checkouts_there_is_one_home(tmp_path: Path) -> None:
    assert state.default_home(tmp_path, Path("/")) == tmp_path / "instances" / "default"


def test_free_ports_are_kept_and_taken_ones_replaced() -> None:
    first, second = state.usable_ports([0, 0])
    assert first != second
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", second))
        taken.listen()
        kept, replaced = state.usable_ports([first, second])
    assert kept == first
    assert replaced != second


def test_ports_are_outside_of_the_range_of_outgoing_connections() -> None:
    assert all(20000 <= port < 32000 for port in state.usable_ports([0] * 20))
