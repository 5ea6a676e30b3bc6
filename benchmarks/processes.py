"""The student in several processes of one thread each, as workers run it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.timing import Spread, interleaved, ratios
from ce2de_os import OnnxEncoder

_loaded: list[OnnxEncoder] = []


def throughput(artifact: Path, texts: Sequence[str], processes: int, rounds: int) -> dict[str, Spread]:
    """Texts a second of one process and of several together, and the ratio, each process with all texts.

    Returns:
        ``"one"`` and ``"together"`` in texts a second, and ``"ratio"``, measured round by round.
    """
    context = multiprocessing.get_context("spawn")  # a fork would share the parent's thread pools
    with ProcessPoolExecutor(processes, context, initializer=_load, initargs=(artifact,)) as pool:

        def work(count: int) -> float:
            started = time.perf_counter()
            list(pool.map(_encode, [list(texts)] * count))
            return time.perf_counter() - started

        # The round that is dropped starts the processes.
        taken = interleaved({"together": lambda: work(processes), "one": lambda: work(1)}, rounds)
    one = [len(texts) / value for value in taken["one"]]
    together = [processes * len(texts) / value for value in taken["together"]]
    return {"one": Spread.of(one), "together": Spread.of(together), "ratio": ratios(together, one)}


def _load(artifact: Path) -> None:
    _loaded.append(OnnxEncoder(artifact, threads=1))


def _encode(texts: list[str]) -> None:
    _loaded[0].encode_documents(texts)
