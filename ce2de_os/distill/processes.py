"""One process, or several started by ``accelerate launch`` or ``torchrun``: who writes, and who waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import PartialState


def is_main() -> bool:
    """Whether this process writes the files and talks to people."""
    return bool(_state().is_main_process)


@contextmanager
def main_first() -> Iterator[None]:
    """The main process does the block first; the others then find its files."""
    with _state().main_process_first():
        yield


def wait_for_everyone() -> None:
    """Go on when all processes are here."""
    _state().wait_for_everyone()


def _state() -> PartialState:
    # Without this flag processes on CPUs do not find each other.
    return PartialState(cpu=not torch.cuda.is_available())
