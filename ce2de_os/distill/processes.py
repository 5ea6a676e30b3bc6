"""Coordinate one process, or several started by ``accelerate launch`` or ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState


def is_main() -> bool:
    """Return whether this process writes the files and shows messages."""
    return bool(_state().is_main_process)


@contextmanager
def main_first() -> Iterator[None]:
    """Run the block in the main process first; the others run it afterwards and find its files."""
    with _state().main_process_first():
        yield


def set_mixed_precision(precision: str) -> None:
    """Set the next training to ``precision`` (``"bf16"`` or ``"fp32"``), whatever the last one had.

    transformers and accelerate keep the format of a process's first training in the environment and in a
    global state, and would silently reuse it.
    """
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if precision == "bf16" else "no"
    AcceleratorState._reset_state()


def wait_for_everyone() -> None:
    """Wait until all processes are here."""
    _state().wait_for_everyone()


def _state() -> PartialState:
    # Without this flag processes on CPUs do not find each other.
    return PartialState(cpu=not torch.cuda.is_available())
