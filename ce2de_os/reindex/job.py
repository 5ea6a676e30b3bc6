"""The records of a reindex: a job and its slices."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

RUNNING, FINISHING, DONE, FAILED, WAITING = "running", "finishing", "done", "failed", "waiting"

SLICE_OPERATIONS = 1000
"""Least number of ``_seq_no`` in a slice; fewer would only cost messages."""

MAX_SLICES = 256
"""Most slices of a job whose index has fewer shards than that, so that the ledger stays small."""


@dataclass(frozen=True)
class Range:
    """Operations of one shard: ``after < _seq_no <= upto``; ``upto`` ``None`` means "and whatever comes"."""

    shard: int
    after: int
    upto: int | None


@dataclass(frozen=True)
class Job:
    """A reindex of ``source`` into ``target``; ``alias`` moves to ``target`` at the end.

    Attributes:
        state: ``running``, ``finishing`` (verifying and moving the alias), ``done`` or ``failed``.
        source_uuid: tells a source that was deleted and created again.
        documents: in the source when the job was created.
        ranges: the slices, by number.
        restore: settings that the target gets back after the load.
        lease_until_s: until when ``owner`` finishes the job, seconds since the epoch.
        previous: where the alias pointed before it moved.
        report: what the verification found, ``None`` before it.
        error: why the job failed, ``None`` if it did not.
    """

    job_id: str
    source: str
    source_uuid: str
    target: str
    alias: str
    text_fields: tuple[str, ...]
    vector_field: str
    fingerprint: str
    documents: int
    ranges: tuple[Range, ...]
    restore: Mapping[str, Any]
    created_at_s: float
    state: str = RUNNING
    owner: str | None = None
    lease_until_s: float = 0.0
    finished_at_s: float | None = None
    previous: tuple[str, ...] = ()
    report: Mapping[str, Any] | None = None
    error: str | None = None

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> Self:
        """Build a job from its ledger document."""
        values = {key: source[key] for key in cls.__dataclass_fields__ if key in source}
        values["text_fields"] = tuple(source["text_fields"])
        values["previous"] = tuple(source.get("previous", ()))
        values["ranges"] = tuple(Range(**entry) for entry in source["ranges"])
        return cls(**values)

    def to_source(self) -> dict[str, Any]:
        """The ledger document."""
        return {"kind": "job", **asdict(self)}


@dataclass(frozen=True)
class Counts:
    """Sums over the pages of a slice; a document that changes meanwhile counts each time it is written."""

    documents: int = 0
    embedded: int = 0
    without_text: int = 0
    already_newer: int = 0
    refused: int = 0
    read_s: float = 0.0
    encode_s: float = 0.0
    write_s: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{key: value + getattr(other, key) for key, value in asdict(self).items()})


@dataclass(frozen=True)
class Slice:
    """A slice: everything up to ``cursor`` is in the target.

    Attributes:
        state: ``waiting``, ``running`` (somebody has the lease), ``done`` or ``failed``.
        cursor: the last ``_seq_no`` that is written.
        owner: who has the lease.
        lease_until_s: until when, seconds since the epoch; later anybody may take the slice over.
        attempts: times it was taken since its cursor last moved.
        last_error: the newest error or refusal.
    """

    job_id: str
    number: int
    range: Range
    cursor: int
    state: str = WAITING
    owner: str | None = None
    lease_until_s: float = 0.0
    attempts: int = 0
    counts: Counts = field(default_factory=Counts)
    last_error: str | None = None

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> Self:
        """Build a slice from its ledger document."""
        values = {key: source[key] for key in cls.__dataclass_fields__ if key in source}
        values["range"] = Range(**source["range"])
        values["counts"] = Counts(**source["counts"])
        return cls(**values)

    def to_source(self) -> dict[str, Any]:
        """The ledger document."""
        return {"kind": "slice", **asdict(self)}


def job_id_for(source: str, target: str, alias: str, text_fields: tuple[str, ...]) -> str:
    """A name that the same job always gets: starting it again finds and resumes it."""
    identity = "\n".join((source, target, alias, *text_fields))
    return f"{source}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def cut(checkpoints: Mapping[int, int]) -> tuple[Range, ...]:
    """Cut every shard's operations into slices of equal size; each shard's last slice has an open end.

    ``checkpoints`` maps a shard to its global checkpoint, -1 for an empty shard.
    """
    per_shard = max(1, MAX_SLICES // max(1, len(checkpoints)))
    ranges = []
    for shard, checkpoint in sorted(checkpoints.items()):
        operations = checkpoint + 1
        parts = max(1, min(per_shard, operations // SLICE_OPERATIONS))
        bounds = [operations * part // parts - 1 for part in range(parts)]
        for after, upto in zip(bounds, [*bounds[1:], None], strict=True):
            ranges.append(Range(shard, after, upto))
    return tuple(ranges)
