"""What a process remembers of a job between its tasks: its speed, its page size, and its own updates."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from threading import Lock

from ce2de_os.reindex.job import Job

FIRST_PAGE = 16
"""Documents in the first page of a process; it shows how large they are."""

SMOOTHING_S = 60.0
"""Rates are means over about this long."""

MOST_RUNS = 10_000
"""Most runs of own updates that are remembered for a shard."""


class Tempo:
    """How fast a worker goes, smoothed: the rate of a minute ago counts a third of the present one.

    Pages differ, so the rate of the last one alone would make the time left jump.
    """

    def __init__(self) -> None:
        self._documents = self._seconds = 0.0
        self._at_s = time.monotonic()

    def add(self, documents: int) -> None:
        """Count documents that were written since the last call."""
        now_s = time.monotonic()
        passed_s, self._at_s = now_s - self._at_s, now_s
        kept = math.exp(-passed_s / SMOOTHING_S)
        self._documents = self._documents * kept + documents
        self._seconds = self._seconds * kept + passed_s

    def rest(self) -> None:
        """Leave out the time in which there was nothing to do."""
        self._at_s = time.monotonic()

    @property
    def docs_per_s(self) -> float:
        """Documents written per second."""
        return self._documents / max(1e-3, self._seconds)


class OwnUpdates:
    """The ``_seq_no`` of this process's updates of one shard: those documents are right as they are.

    Reading them again would cost as much as a tenth of the encoding. What is forgotten is read again.
    """

    def __init__(self) -> None:
        self._last: dict[int, int] = {}  # of each run of numbers without a gap, by its first one
        self._first: dict[int, int] = {}  # and the other way round
        self._changing = Lock()

    def add(self, numbers: Iterable[int]) -> None:
        """Remember updates."""
        with self._changing:
            if len(self._last) > MOST_RUNS:
                self._last.clear()
                self._first.clear()
            for number in sorted(numbers):
                first = self._first.pop(number - 1, number)
                last = self._last.pop(number + 1, number)
                self._last[first], self._first[last] = last, first

    def past(self, after: int, upto: int) -> int:
        """Return the last own update up to ``upto`` that follows ``after`` without a gap, else ``after``.

        Updates up to there are forgotten.
        """
        with self._changing:
            last = self._last.pop(after + 1, after)
            self._first.pop(last, None)
            if last > upto:
                self._last[upto + 1], self._first[last] = last, upto + 1
            return min(last, upto)


class JobMemory:
    """A process's memory of one job.

    Attributes:
        tempo: how fast it goes.
        page_documents: the size of the next page.
        updates: its own updates, by the number of the slice.
    """

    def __init__(self) -> None:
        self.tempo, self.page_documents = Tempo(), FIRST_PAGE
        self.updates: defaultdict[int, OwnUpdates] = defaultdict(OwnUpdates)


def memory_of(job: Job) -> JobMemory:
    """Return this process's memory of a job; it outlives the job's tasks."""
    return _memory(job.job_id, job.created_at_s)


@cache
def _memory(job_id: str, created_at_s: float) -> JobMemory:
    """Make the memory of a job; a job that is deleted and started anew under its name is another one."""
    return JobMemory()
