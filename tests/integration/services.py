"""A `ce2de serve` of a test's own, which can be killed and started again at the same address."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from ce2de_os.local.state import usable_ports

PATIENCE_S = 60.0


class Service:
    """A service process; ``options`` are those of `ce2de serve`."""

    def __init__(self, log: Path, *options: str, scheme: str = "http") -> None:
        (self.port,) = usable_ports([0])
        self._log, self._options, self._scheme = log, options, scheme
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """The address."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "ce2de_os", "serve", "--port", str(self.port), *self._options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))
        deadline = time.monotonic() + PATIENCE_S
        while b"Listening" not in self._log.read_bytes().rpartition(b"--- killed")[2]:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        """End it without any warning."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            with self._log.open("ab") as log:
                log.write(b"--- killed\n")
