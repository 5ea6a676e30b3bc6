"""Workers that are killed, or stopped for a moment, exactly when they reach a step of a job's end.

The product writes each step to its debug log. A worker of ``apps.mortal`` reads there where it is, and does
what the test's order says: die by SIGKILL, take the whole worker with it, or wait until the test lets it go
on, which has killed something else meanwhile. An order is carried out once, by whichever process comes first.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from ce2de_os.reindex.cutover import steps
from ce2de_os.reindex.cutover.steps import STEPS, Step

MORTAL = "tests.integration.apps.mortal"
_FOLDER = "MORTAL_FOLDER"
_LONGEST_WAIT_S = 240.0
_PATIENCE_S = 180.0

DIE, DIE_WITH_ALL, WAIT = "die", "die_with_all", "wait"


class Orders:
    """What the workers of ``folder`` are to do at which step; the test writes, the workers read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def at(self, step: Step | None, action: str = DIE, occurrence: int = 1) -> None:
        """Order ``action`` when ``step`` is reached for the ``occurrence``-th time from now on.

        ``None``: nothing is to be done; the steps are noted all the same.
        """
        order = {"id": uuid.uuid4().hex, "step": step, "action": action, "occurrence": occurrence}
        partial = self.folder / "order.partial"
        partial.write_text(json.dumps(order))
        partial.replace(self.folder / "order.json")

    def reached(self) -> list[str]:
        """The steps that were reached since the order was given."""
        noted = self._file("steps")
        return noted.read_text().split() if noted.exists() else []

    def is_done(self) -> bool:
        """Whether a worker has come to the order's step."""
        return self._file("done").exists()

    def wait_until_done(self) -> None:
        """Wait until a worker has come to the order's step: it is dead then, or waits for `let_go`."""
        deadline = time.monotonic() + _PATIENCE_S
        while not self.is_done():
            if time.monotonic() > deadline:
                pytest.fail(f"no worker came to {self.order()}; reached: {self.reached()}")
            time.sleep(0.05)

    def let_go(self) -> None:
        """Let a worker that waits go on."""
        self._file("go").touch()

    def order(self) -> dict[str, Any]:
        path = self.folder / "order.json"
        found: dict[str, Any] = (
            json.loads(path.read_text()) if path.exists() else {"id": "none", "step": None}
        )
        return found

    def carry_out(self, step: str) -> None:
        """Called by a worker at each step."""
        order = self.order()
        with self._file("steps", order).open("a") as noted:
            noted.write(f"{step}\n")
        if step != order["step"]:
            return
        with self._file("met", order).open("a") as met:  # one byte each time, of whatever process
            met.write(".")
            met.flush()
            number = os.fstat(met.fileno()).st_size
        if number != order["occurrence"]:
            return
        self._file("done", order).touch()
        if order["action"] == DIE:
            os.kill(os.getpid(), signal.SIGKILL)
        elif order["action"] == DIE_WITH_ALL:
            os.killpg(os.getpgrp(), signal.SIGKILL)
        else:
            deadline = time.monotonic() + _LONGEST_WAIT_S
            while not self._file("go", order).exists() and time.monotonic() < deadline:
                time.sleep(0.02)

    def _file(self, kind: str, order: Mapping[str, Any] | None = None) -> Path:
        return self.folder / f"{(order or self.order())['id']}.{kind}"


class _Obedience(logging.Filter):
    """Sees the record of every step."""

    def __init__(self, orders: Orders) -> None:
        super().__init__()
        self._orders = orders

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "action", None) == "step":
            self._orders.carry_out(record.step)
        return True


def obey() -> None:
    """Let this process, and those that it forks, do what the orders say."""
    logger = logging.getLogger(steps.__name__)
    logger.setLevel(logging.DEBUG)
    logger.addFilter(_Obedience(Orders(Path(os.environ[_FOLDER]))))


def mortal_cli(orders: Orders, *arguments: str, env: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start the CLI so that it obeys too: ``cutover`` finishes a job in its own process."""
    program = "from tests.integration.killing import obey; obey(); from ce2de_os.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env={**env, _FOLDER: str(orders.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


class MortalWorkers:
    """``number`` workers of one process each that obey ``orders``; started again when one was killed."""

    def __init__(self, folder: Path, env: Mapping[str, str], number: int = 1) -> None:
        self.orders, self._folder = Orders(folder / "orders"), folder
        self._env = {**env, _FOLDER: str(self.orders.folder)}
        self._started = 0
        self._workers: list[subprocess.Popen[bytes]] = []
        self._number = number

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()

    def mend(self) -> None:
        """Start workers until there are as many as wanted."""
        self._workers = [worker for worker in self._workers if worker.poll() is None]
        while len(self._workers) < self._number:
            self._workers.append(self._start())

    def said(self) -> str:
        """The end of each worker's log."""
        logs = sorted(self._folder.glob("mortal-*.log"))
        return "".join(f"{log.name}: {log.read_text()[-3000:]}" for log in logs)

    def _start(self) -> subprocess.Popen[bytes]:
        self._started += 1
        name = f"mortal-{self._started}"
        command = [sys.executable, "-m", "celery", "-A", MORTAL, "worker", "--concurrency", "1"]
        command += ["--loglevel", "INFO", "--hostname", f"{name}-{os.getpid()}@%h"]
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, env=self._env, stdout=log, stderr=log, start_new_session=True)


def steps_but(*others: Step) -> tuple[Step, ...]:
    """All steps in their order, but some."""
    return tuple(step for step in STEPS if step not in others)
