from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ce2de_os.worker import resources


def test_a_process_knows_itself() -> None:
    assert resources.owner() == resources.owner()
    assert not resources.is_gone(resources.owner())


def test_an_earlier_process_with_the_same_number_is_gone() -> None:
    host, birth, pid = resources.owner().rsplit(":", 2)
    assert int(pid) == os.getpid()
    assert resources.is_gone(f"{host}:{birth[::-1]}x:{pid}")


def test_of_others_only_the_dead_of_this_host_are_gone() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host, birth, _ = resources.owner().rsplit(":", 2)
    assert resources.is_gone(f"{host}:{birth}:{ended.pid}")
    assert not resources.is_gone(f"{host}:{birth}:{os.getppid()}")
    assert not resources.is_gone(f"elsewhere:{birth}:{ended.pid}")
    assert not resources.is_gone(f"cutover at elsewhere:{ended.pid}")


def test_the_same_number_in_another_container_of_this_host_is_not_gone() -> None:
    """Containers may share the host's name and boot, and still number their processes on their own."""
    host, boot, namespace, birth, _ = resources.owner().split(":")
    assert namespace
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert resources.is_gone(f"{host}:{boot}:{namespace}:{birth}:{ended.pid}")
    assert not resources.is_gone(f"{host}:{boot}:4026539999:{birth}:{ended.pid}")
    assert not resources.is_gone(f"{host}:{boot}:{birth}:{ended.pid}"), "an owner of an older version"


def test_without_proc_nobody_is_known_to_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    host, boot, _, birth, _ = resources.owner().split(":")
    monkeypatch.setattr(resources, "_host", lambda: f"{host}:{boot}:{resources._UNKNOWN}")
    assert not resources.is_gone(f"{host}:{boot}:{resources._UNKNOWN}:{birth}:999999")
