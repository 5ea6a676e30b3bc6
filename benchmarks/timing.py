"""Interleaved rounds, and what is told of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

Measured = TypeVar("Measured")


_clock: Callable[[], float] = time.perf_counter


class Spread(NamedTuple):
    """Median, least and greatest of repeated measurements."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Compute the spread of ``values``, at least one."""
        return cls(statistics.median(values), min(values), max(values))


def interleaved(arms: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, list[Measured]]:
    """Run all arms in turn, ``rounds`` times: noise of the machine affects all of them alike.

    One round more runs first and is dropped: it builds kernels, fills caches and grows memory pools.
    """
    found: dict[str, list[Measured]] = {name: [] for name in arms}
    for number in range(rounds + 1):
        for name, measure in arms.items():
            value = measure()
            if number:
                found[name].append(value)
    return found


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes, on the clock that `count_cpu_time` has chosen."""
    started = _clock()
    work()
    return _clock() - started


def count_cpu_time() -> None:
    """From now on count this process's CPU time: the way on a busy machine, and good for one thread only."""
    global _clock
    _clock = time.process_time


def ratios(slow: Sequence[float], fast: Sequence[float]) -> Spread:
    """How many times ``fast`` fits into ``slow``, round by round, so that common noise cancels out."""
    return Spread.of([left / right for left, right in zip(slow, fast, strict=True)])
