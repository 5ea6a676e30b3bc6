"""The records of a reindex: a job, its parts and its slices."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import add
from typing import Any, Final, Literal, Self

from ce2de_os.index.carried import restorable
from ce2de_os.index.language_fields import LanguageSpec
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField

RUNNING, PAUSED, FINISHING, READY = "running", "paused", "finishing", "ready"
DONE, FAILED, CANCELLED, ROLLED_BACK = "done", "failed", "cancelled", "rolled_back"
ROLLING_BACK = "rolling_back"
FOLLOWING = "following"  # a standing job: it embeds every write and never ends by itself
WAITING = "waiting"  # a slice without a worker

STATES = (
    RUNNING, PAUSED, FINISHING, READY, DONE, FAILED, CANCELLED, ROLLING_BACK, ROLLED_BACK, FOLLOWING,
)  # fmt: skip
ACTIVE = (RUNNING, FINISHING, FOLLOWING)
"""States in which workers have work."""

ENDED = (DONE, FAILED, CANCELLED, ROLLED_BACK)
"""States of a job that `clean` may forget after some time."""

Mode = Literal["copy", "in_place"]
Truth = Literal["source", "switching", "target"]
Way = Literal["mirror", "handover"]

SOURCE: Final = "source"
SWITCHING: Final = "switching"
TARGET: Final = "target"
"""The side that applications write to. It decides what may be deleted or overwritten."""

MIRROR: Final = "mirror"
HANDOVER: Final = "handover"
"""The role of the alias: show a copy that follows the source, or take over the writes."""

MAX_BLOCK_S = 30.0
"""Longest time in seconds that a handover may block writes."""


@dataclass(frozen=True)
class Part:
    """One physical index of a job's source and what it becomes.

    Attributes:
        source: the index that is read.
        source_uuid: detects a source that was deleted and created again.
        target: the index that is written; the source itself when the job works in place.
        documents: in the source when the job was created.
        snapshot: each shard's global checkpoint at that time; operations beyond it are live writes.
        existed: whether the target was there before; then any document may be in it already, else only those
            beyond the snapshot, and its vector is looked for there first.
        restore: settings that the target gets back after the load.
        dropped: fields of another model's vectors, which are not copied.
        target_uuid: detects a target that was deleted and created again; ``None``: not known.
        source_history: history uuid of each shard of the source, which a restored snapshot changes.
        target_history: the same of the target.
    """

    source: str
    source_uuid: str
    target: str
    documents: int
    snapshot: tuple[int, ...] = ()
    existed: bool = False
    restore: Mapping[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    target_uuid: str | None = None
    source_history: tuple[str, ...] = ()
    target_history: tuple[str, ...] = ()

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> Self:
        """Build a part from its entry in the job's ledger document."""
        values = {key: source[key] for key in cls.__dataclass_fields__ if key in source}
        for name in ("snapshot", "dropped", "source_history", "target_history"):
            values[name] = tuple(values.get(name, ()))
        values["restore"] = restorable(values.get("restore", {}))
        return cls(**values)


@dataclass(frozen=True)
class Range:
    """Operations of one shard: ``after < _seq_no <= upto``; ``upto`` ``None``: open-ended."""

    part: int
    shard: int
    after: int
    upto: int | None


@dataclass(frozen=True)
class Job:
    """A reindex of ``source``; at its end ``alias`` moves to the targets.

    Attributes:
        source: the requested name: an index, an alias, a data stream or a pattern.
        mode: ``copy`` fills new indices; ``in_place`` adds a vector field to the source's own.
        parts: the physical indices.
        alias: moves to the targets; ``None`` for none, which only ``in_place`` allows.
        text: the text to embed.
        vector: the field for the vectors.
        fingerprint: the model's; also ``model``, its name, and ``space``.
        ranges: the slices, by number.
        languages: languages that get a text field each; ``None``: none.
        hold: whether the alias waits for ``ce2de reindex cutover`` when all is verified.
        accept_refused: whether the alias may move although documents were rejected.
        pipeline: ingest pipeline for the written documents; ``None``: none.
        base64: whether vectors are written as base64 text, which the cluster was seen to take.
        docs_per_s: most documents per second, all workers together; ``None``: no limit.
        state: ``running``, ``paused``, ``finishing`` (verifying), ``ready`` (verified, the alias not moved),
            ``done``, ``failed``, ``cancelled``, ``rolled_back``, or ``following`` of a standing job.
        owner: who finishes the job, until ``lease_until_s`` of the cluster's clock.
        truth: which side applications write to: ``source``; ``target`` after a handover; ``switching`` while
            it moves, and then the switch can only be completed or undone.
        way: ``mirror`` (applications write to the source, the job keeps copying) or ``handover``
            (applications write through the alias). ``None`` in place, where there is one index.
        block: whether a handover blocks writes for its last step; ``max_block_s``: for how long at most.
        follow: whether a standing job keeps the vectors up to date afterwards.
        accept_unreplicated: whether the alias may move before the replicas are there.
        standing: whether this is a standing job.
        before: how each index was in the alias before it moved; ``None``: it has not moved.
        fences: for each target, the last operation of each shard before applications write there.
        turn: what the request must hand over that moves the alias, see `cutover.turn`; ``None``:
            none is under way.
        blocked_at_s: when writes were blocked, by the cluster's clock; ``blocked_s``: for how long they were.
        fresh_at_s: of a standing job, when everything written until then had its vector.
        connection_at_s: of a standing job, when the pipelines of `ce2de connect` were last looked at;
            ``None``: there are none.
        connection_right: whether they gave the model's vectors; ``None``: unknown.
        connection_error: what is wrong with them, or why that is unknown.
        unordered: documents that were written on both sides at once, so that their order is unknown.
        report: what the verification found, ``None`` before it.
        error: why the job failed, ``None`` if it did not.
    """

    job_id: str
    source: str
    mode: Mode
    parts: tuple[Part, ...]
    alias: str | None
    text: TextSpec
    vector: VectorField
    fingerprint: str
    model: str
    space: str
    ranges: tuple[Range, ...]
    created_at_s: float
    languages: LanguageSpec | None = None
    hold: bool = False
    accept_refused: bool = False  # a stored name, as `Counts.refused`: the word is rejected elsewhere
    pipeline: str | None = None
    base64: bool = False
    docs_per_s: float | None = None
    state: str = RUNNING
    owner: str | None = None
    lease_until_s: float = 0.0
    finished_at_s: float | None = None
    truth: Truth = "source"
    way: Way | None = None
    block: bool = True
    max_block_s: float = MAX_BLOCK_S
    follow: bool = True
    accept_unreplicated: bool = False
    standing: bool = False
    before: Mapping[str, Mapping[str, Any]] | None = None
    fences: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    turn: str | None = None
    blocked_at_s: float | None = None
    blocked_s: float | None = None
    fresh_at_s: float | None = None
    connection_at_s: float | None = None
    connection_right: bool | None = None
    connection_error: str | None = None
    unordered: tuple[str, ...] = ()
    report: Mapping[str, Any] | None = None
    error: str | None = None

    @property
    def previous(self) -> tuple[str, ...]:
        """The indices that the alias pointed to before it moved."""
        return tuple(sorted(self.before or ()))

    @property
    def sources(self) -> tuple[str, ...]:
        """The indices that are read."""
        return tuple(part.source for part in self.parts)

    @property
    def documents(self) -> int:
        """In the source when the job was created."""
        return sum(part.documents for part in self.parts)

    @property
    def targets(self) -> tuple[str, ...]:
        """The indices that are written."""
        return tuple(part.target for part in self.parts)

    @property
    def target(self) -> str:
        """The targets as one name, which OpenSearch takes too: separated by commas."""
        return ",".join(self.targets)

    @property
    def hash_field(self) -> str:
        """The field that names each document's embedded text."""
        return self.vector.hash_field

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> Self:
        """Build a job from its ledger document."""
        values = {key: source[key] for key in cls.__dataclass_fields__ if key in source}
        values["parts"] = tuple(Part.from_source(entry) for entry in source["parts"])
        values["ranges"] = tuple(Range(*entry) for entry in source["ranges"])
        values["text"] = TextSpec.from_source(source["text"])
        values["vector"] = VectorField.from_source(source["vector"])
        values["unordered"] = tuple(source.get("unordered", ()))
        fences = source.get("fences", {})
        values["fences"] = {name: tuple(shards) for name, shards in fences.items()}
        if source.get("languages"):
            values["languages"] = LanguageSpec.from_source(source["languages"])
        return cls(**values)

    def to_source(self) -> dict[str, Any]:
        """Return the job as its ledger document."""
        ranges = [[bounds.part, bounds.shard, bounds.after, bounds.upto] for bounds in self.ranges]
        parts = [dict(vars(part)) for part in self.parts]  # asdict would copy every value of a large job
        vector, text = self.vector.to_source(), self.text.to_source()
        languages = None if self.languages is None else self.languages.to_source()
        return {
            "kind": "job", **vars(self), "parts": parts, "ranges": ranges, "vector": vector, "text": text,
            "languages": languages,
        }  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """Sums over the pages of a slice; a document that changes counts each time it is read.

    Attributes:
        documents: read.
        embedded: texts that the model encoded; ``tokens`` in them, special ones included.
        reused: documents whose vector was known from an equal text.
        unchanged: documents that carried the right vector already.
        without_text: documents that have no text and get no vector.
        other_languages: documents with text in none of the job's languages, or too short to detect it.
        unknown_languages: documents whose language field holds no known language.
        already_newer: writes that found a newer version in the target.
        refused: documents written to the dead-letter index.
        rejected: writes that OpenSearch was too busy for (429) and that were sent again.
        written: documents written to the target.
        read_s: seconds spent reading; ``encode_s`` and and ``write_s``: the same. They overlap.
    """

    documents: int = 0
    embedded: int = 0
    tokens: int = 0
    reused: int = 0
    unchanged: int = 0
    without_text: int = 0
    other_languages: int = 0
    unknown_languages: int = 0
    already_newer: int = 0
    refused: int = 0
    rejected: int = 0
    written: int = 0
    read_s: float = 0.0
    encode_s: float = 0.0
    write_s: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(add, vars(self).values(), vars(other).values()))


@dataclass(frozen=True)
class Slice:
    """A slice: everything up to ``cursor`` is in the target.

    Attributes:
        state: ``waiting``, ``running`` (a worker has the lease), ``done`` or ``failed``.
        cursor: the last ``_seq_no`` that is written.
        owner: the worker that has the lease.
        lease_until_s: its end, by the cluster's clock; then any worker may take the slice over.
        deaths: workers that crashed on it since its cursor last moved; ``failures``: pages that failed since.
        condemned: dead letters in a row because of that, with no success between them.
        page_limit: most documents in a page while documents crash workers or fail; ``None``: no limit.
        careful: remaining documents for which that limit holds.
        read_limit: most documents in a page while larger ones cannot be read; ``None``: no limit.
        retry_at_s: when its worker retries, because OpenSearch did not answer; 0: no retry.
        doing: progress inside a page that takes long; ``None``: pages are short.
        docs_per_s: of the newest pages.
        last_error: the newest error or refusal.
    """

    job_id: str
    number: int
    range: Range
    cursor: int
    state: str = WAITING
    owner: str | None = None
    lease_until_s: float = 0.0
    deaths: int = 0
    failures: int = 0
    condemned: int = 0
    page_limit: int | None = None
    careful: int = 0
    read_limit: int | None = None
    retry_at_s: float = 0.0
    doing: str | None = None
    docs_per_s: float = 0.0
    counts: Counts = field(default_factory=Counts)
    last_error: str | None = None

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> Self:
        """Build a slice from its ledger document."""
        values = {key: source[key] for key in cls.__dataclass_fields__ if key in source}
        values["range"] = Range(**_known(Range, source["range"]))
        values["counts"] = Counts(**_known(Counts, source["counts"]))
        return cls(**values)

    def to_source(self) -> dict[str, Any]:
        """Return the slice as its ledger document."""
        return {
            "kind": "slice",
            **vars(self),
            "range": dict(vars(self.range)),
            "counts": dict(vars(self.counts)),
        }


def _known(kind: type, source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that this version knows; a newer version may have written more."""
    return {key: value for key, value in source.items() if key in kind.__dataclass_fields__}  # type: ignore[attr-defined]


def job_id_for(source: str, *identity: object) -> str:
    """Name a job, always alike: starting it again finds and resumes it."""
    digest = hashlib.sha256("\n".join((source, *map(repr, identity))).encode()).hexdigest()
    name = re.sub(r"[^a-z0-9_.-]+", "", source.lower()).strip(".-") or "job"
    return f"{name}-{digest[:8]}"
