"""Ends a process in which nothing moves any more: native code may hang, and hold Python's lock.

The watchdog is the interpreter's own thread in C, which needs no lock. The process then counts as dead:
Celery starts another one, and the slice is taken over as from any dead worker.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

HANGING_S = 900.0
"""Seconds without progress; a page takes a few, and one that waits for OpenSearch a few minutes."""

_limit_s: float | None = None
_output: IO[str] | None = None


@contextmanager
def watched(limit_s: float = HANGING_S) -> Iterator[None]:
    """End this process with all stacks on stderr where `beat` is not called for ``limit_s`` inside."""
    global _limit_s
    before, _limit_s = _limit_s, limit_s
    beat()
    try:
        yield
    finally:
        _limit_s = before
        faulthandler.cancel_dump_traceback_later()
        beat()


def beat() -> None:
    """Tell the watchdog, if there is one, that work moves on."""
    if _limit_s is not None:
        faulthandler.dump_traceback_later(_limit_s, exit=True, file=_file())


def _file() -> IO[str]:
    """Return the file for the stacks: Celery replaces stderr by a logger, which has no file."""
    global _output
    if _output is None:
        try:
            _output = os.fdopen(os.dup(2), "w", encoding="utf-8")
        except OSError:
            _output = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    return _output
