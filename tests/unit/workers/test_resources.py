from __future__ import annotations

import os
import subprocess
import sys

from workers import resources


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
