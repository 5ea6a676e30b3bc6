"""Measure the speed of the exported student against its DE: the same texts, one run, one core each."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from ce2de_os.distill.report.peers import Peer
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.model.encoder import BATCH_TOKENS
from ce2de_os.reading import read_object
from ce2de_os.writing import replacing

SPEED_FILE = "speed.json"
ROUNDS = 5
BINS = (16, 32, 64, 128, 256, 512)
"""Upper ends of the length histogram, in tokens."""

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm", "bf16")
_LIBRARIES = ("onnxruntime", "torch", "tokenizers", "transformers")


@dataclass(frozen=True)
class Machine:
    """The machine of a measurement.

    Attributes:
        cpu: the model's name.
        flags: its instruction sets that matter to the two encoders.
        cores: as the operating system counts them; one was used.
        date: of the measurement, UTC.
        versions: of the libraries.
    """

    cpu: str
    flags: list[str]
    cores: int
    date: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Side:
    """One encoder: the median round, the fastest and the slowest, in documents a second."""

    name: str
    docs_per_s: float
    slowest: float
    fastest: float
    tokens_per_s: float


@dataclass(frozen=True)
class Speed:
    """A measurement.

    Attributes:
        student: the exported student.
        teacher: the DE in PyTorch.
        ratio: documents a second, student over DE: the median of the rounds' ratios.
        ratio_low: the smallest ratio of a round.
        ratio_high: the largest.
        texts: number of texts in each round.
        tokens: number of their tokens, special tokens included.
        histogram: texts by length, ``[longest, count]``; lengths are in tokens.
        waited: share of the time in which neither encoder had a core, because other processes took it.
        rounds: number of rounds that count; one more was for warm-up.
        batch_tokens: tokens in a batch of either side, padding included.
        machine: the machine of the measurement.
    """

    student: Side
    teacher: Side
    ratio: float
    ratio_low: float
    ratio_high: float
    waited: float
    texts: int
    tokens: int
    histogram: list[tuple[int, int]]
    rounds: int
    batch_tokens: int
    machine: Machine

    def save(self, path: Path) -> None:
        """Write it as JSON, completely or not at all."""
        with replacing(path) as file:
            file.write(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Speed:
        """Read a file of `save`.

        Raises:
            DataError: the file is missing or damaged.
        """
        try:
            raw: dict[str, Any] = read_object(path)
            sides = {name: Side(**raw[name]) for name in ("student", "teacher")}
            pairs = [(int(longest), int(count)) for longest, count in raw["histogram"]]
            return cls(**{**raw, **sides, "histogram": pairs, "machine": Machine(**raw["machine"])})
        except (DataError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{path}: not a speed measurement ({error!r}); measure it again") from error


def measure_speed(
    texts: Sequence[str],
    student: Peer,
    teacher: Peer,
    lengths: Sequence[int],
    *,
    rounds: int = ROUNDS,
    done: Callable[[int, int], None] = lambda rounds_done, total: None,
) -> Speed:
    """Encode the same documents with both, in turn, round after round, so that noise affects both alike.

    Tokenizing counts on both sides. PyTorch is held to one core here; the student's encoder must have been
    made with ``threads=1``.

    Args:
        texts: documents; real ones, because their lengths decide the speed.
        student: see `ce2de_os.distill.report.peers.student_peer`.
        teacher: see `ce2de_os.distill.report.peers.teacher_peer`.
        lengths: of the texts in tokens, as the student reads them (`OnnxEncoder.token_ids`).
        rounds: number of rounds that count.
        done: receives the progress.

    Raises:
        ConfigError: there is no text, or ``rounds`` is below 1.
    """
    if not texts or rounds < 1:
        raise ConfigError(f"got {len(texts)} texts and {rounds} rounds, expected at least one of each")
    seconds: dict[str, list[float]] = {"student": [], "teacher": []}
    computed = 0.0
    with _one_core():
        for number in range(rounds + 1):
            for side, peer in (("student", student), ("teacher", teacher)):
                started, started_cpu = time.perf_counter(), time.process_time()
                peer.encode_documents(texts)
                seconds[side].append(time.perf_counter() - started)
                computed += time.process_time() - started_cpu
            done(number + 1, rounds + 1)
    waited = max(0.0, 1 - computed / sum(map(sum, seconds.values())))
    counted = {side: times[1:] for side, times in seconds.items()}  # the first round warms up
    return summarize(counted, lengths, {"student": student.name, "teacher": teacher.name}, waited)


def summarize(
    seconds: Mapping[str, Sequence[float]], lengths: Sequence[int], names: Mapping[str, str], waited: float
) -> Speed:
    """Compute the figures of ``student`` and ``teacher`` from each round's seconds and the texts' lengths."""
    sides = {
        side: Side(
            name,
            round(len(lengths) / statistics.median(seconds[side]), 1),
            round(len(lengths) / max(seconds[side]), 1),
            round(len(lengths) / min(seconds[side]), 1),
            round(sum(lengths) / statistics.median(seconds[side])),
        )
        for side, name in names.items()
    }
    ratios = [slow / fast for slow, fast in zip(seconds["teacher"], seconds["student"], strict=True)]
    return Speed(
        **sides,
        ratio=round(statistics.median(ratios), 2),
        ratio_low=round(min(ratios), 2),
        ratio_high=round(max(ratios), 2),
        waited=round(waited, 3),
        texts=len(lengths),
        tokens=sum(lengths),
        histogram=histogram(lengths),
        rounds=len(ratios),
        batch_tokens=BATCH_TOKENS,
        machine=machine(),
    )


def histogram(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Count the texts with up to 16 tokens, 17 to 32, and so on up to the bin of the longest text."""
    longest = max(lengths)
    inner = [bound for bound in BINS if bound < longest]
    last = next((bound for bound in BINS if bound >= longest), longest)
    bounds = [0, *inner, last]
    return [(high, sum(low < length <= high for length in lengths)) for low, high in pairwise(bounds)]


def machine() -> Machine:
    """Describe the CPU by ``/proc/cpuinfo``, or by its architecture if there is no such file."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8", errors="replace") if cpuinfo.is_file() else ""
    fields = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.split("\n"))
    }
    known = set(fields.get("flags", fields.get("Features", "")).split())
    return Machine(
        fields.get("model name") or platform.processor() or platform.machine(),
        [flag for flag in _FLAGS if flag in known],
        os.cpu_count() or 1,
        datetime.now(tz=UTC).date().isoformat(),
        {name: version(name) for name in _LIBRARIES},
    )


@contextmanager
def _one_core() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
