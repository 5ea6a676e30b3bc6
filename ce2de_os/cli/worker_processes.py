"""Celery workers as child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ce2de_os.config import Settings
from ce2de_os.errors import Ce2deError
from ce2de_os.worker.queue import CeleryQueue

START_S = 60.0
STOP_S = 8.0
_PING_S = 1.0


@contextmanager
def worker_processes(
    number: int, settings: Settings, logs: Path, app: str = "ce2de_os.worker.app"
) -> Iterator[None]:
    """Run ``number`` workers of one process each during the block; ``logs`` is the folder for their logs.

    Raises:
        BrokerUnavailableError: the broker does not answer.
        Ce2deError: a worker does not start.
    """
    names = [f"demo{index}@localhost" for index in range(1, number + 1)]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for name in names:
            processes.append(_start(app, name, settings, logs / f"{name.partition('@')[0]}.log"))
        _wait_until_alive(set(names), processes, settings, logs)
        yield
    finally:
        _stop(processes)


def _start(app: str, name: str, settings: Settings, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "celery", "-A", app, "worker"]
    # Workers on one machine need no gossip between them.
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*command, "--concurrency", "1", "--hostname", name, *options],
            env=settings.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C goes to the command, which then stops its workers
        )


def _wait_until_alive(
    names: set[str], processes: list[subprocess.Popen[bytes]], settings: Settings, logs: Path
) -> None:
    queue = CeleryQueue(settings.broker_url)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        if names <= set(queue.fingerprints(_PING_S)):
            return
    raise Ce2deError(f"a Celery worker did not start within {START_S:.0f} s; its log is in {logs}")


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_S
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        with suppress(ProcessLookupError):  # the worker's own child processes are in its group
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
