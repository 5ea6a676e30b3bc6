"""Stop a process that hangs: native code may hang while it holds Python's lock.

The watchdog is the interpreter's own thread in C, which needs no lock. The process then counts as dead:
Celery starts another one, and another worker takes the slice over.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

HANGING_S = 900.0
"""Longest time without progress, in seconds; a page takes a few, and minutes if OpenSearch is busy."""

_limit_s: float | None = None
_output: IO[str] | None = None


@contextmanager
def watched(limit_s: float = HANGING_S) -> Iterator[None]:
    """Stop this process, with all stacks on stderr, if `beat` is not called for ``limit_s`` inside."""
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
    """Report progress to the watchdog, if there is one."""
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
