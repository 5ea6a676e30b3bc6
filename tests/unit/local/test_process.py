"""Starting, recognising and stopping processes, on harmless ones."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ce2de_os.errors import LocalServerError
from ce2de_os.local import process
from ce2de_os.local.process import Account, Process


def start(script: str, folder: Path) -> Process:
    return process.start(["/bin/sh", "-c", script], folder / "log", folder, account=None)


def wait_for(condition: object, timeout_s: float = 5) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_started_process_is_alive_until_it_is_stopped(tmp_path: Path) -> None:
    sleeper = start("exec sleep 60", tmp_path)
    assert sleeper.is_alive
    sleeper.stop(timeout_s=5)
    assert not sleeper.is_alive


def test_it_is_no_child_of_ours_and_has_a_session_of_its_own(tmp_path: Path) -> None:
    sleeper = start("exec sleep 60", tmp_path)
    try:
        assert os.getsid(sleeper.pid) != os.getsid(0)
        with pytest.raises(ChildProcessError):
            os.waitpid(sleeper.pid, os.WNOHANG)
    finally:
        sleeper.stop(timeout_s=5)


def test_one_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    stubborn = start("trap '' TERM; echo ready; while :; do sleep 0.05; done", tmp_path)
    wait_for(lambda: (tmp_path / "log").read_text() == "ready\n")
    stubborn.stop(timeout_s=0.2)
    assert not stubborn.is_alive


def test_a_stale_pid_that_now_belongs_to_another_process_is_left_alone(tmp_path: Path) -> None:
    stranger = start("exec sleep 60", tmp_path)
    try:
        stale = Process(stranger.pid, birth="another boot/42")
        assert not stale.is_alive
        stale.stop(timeout_s=1)
        assert stranger.is_alive
    finally:
        stranger.stop(timeout_s=5)


def test_a_pid_that_does_not_exist_is_not_alive() -> None:
    assert process.birth(2**22 + 1) is None


def test_the_environment_does_not_leak_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1m")
    printer = start("env", tmp_path)
    wait_for(lambda: not printer.is_alive)
    assert "JAVA_TOOL_OPTIONS" not in (tmp_path / "log").read_text()


def test_a_server_that_dies_is_reported_with_its_deepest_cause(tmp_path: Path) -> None:
    dead = start("echo 'Caused by: first'; echo 'Caused by: port in use'; echo more", tmp_path)
    with pytest.raises(
        LocalServerError, match=r"Thing stopped while it started; .*log: Caused by: port in use$"
    ):
        process.wait_until("Thing", dead, lambda: False, tmp_path / "log")


def test_of_a_log_without_end_only_the_end_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.truncate(2**40)
        file.seek(2**40)
        file.write(b"\nCaused by: a full disk\nmore\n")
    assert process._last_words(log) == "Caused by: a full disk"


def test_a_folder_that_the_account_cannot_enter_is_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(LocalServerError, match=r"'nobody'.* cannot enter .*`home` or CE2DE_CACHE"):
        process.check_reachable(closed / "data", Account("nobody", 65534, 65534))


def test_roots_umask_does_not_close_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    before = os.umask(0o077)
    try:
        process.make_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o755


def test_an_ordinary_user_needs_no_other_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert process.service_account() is None
    process.check_reachable(tmp_path, None)
