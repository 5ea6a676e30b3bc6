"""One part of a job under verification, with the known facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.index import admin
from ce2de_os.index.client import WHOLE, backend_errors
from ce2de_os.index.documents import random_order
from ce2de_os.reindex import dead_letters, standing
from ce2de_os.reindex.compare.sides import Key
from ce2de_os.reindex.job import HANDOVER, Job, Part
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.slices.source import shard_of

SAMPLE = 64
_SEED = 20251


@dataclass(frozen=True)
class Subject:
    """A part under verification.

    Attributes:
        upto: for each shard of the source, up to which ``_seq_no`` it has been worked on.
        refused: id and routing of its documents in the dead-letter index.
    """

    client: OpenSearch
    job: Job
    part: Part
    upto: Mapping[int, int]
    refused: frozenset[Key]

    def is_awaited(self, hit: Mapping[str, Any]) -> bool:
        """Return whether a sampled document of the target may still lack what the job adds.

        A copy is written whole, so it lacks nothing; in place a document is there before the job has seen it.
        """
        if self.job.mode == "copy":
            return False
        return key_of(hit) in self.refused or hit["_seq_no"] > self.upto.get(shard_of(hit), -1)

    @cached_property
    def most_hits(self) -> Mapping[str, int]:
        """The most hits in one answer of source and target, read once."""
        names = dict.fromkeys((self.part.source, self.part.target))  # a set would ask in any order
        return {name: admin.most_hits(self.client, name) for name in names}

    @cached_property
    def some(self) -> list[dict[str, Any]]:
        """Some of the target's documents, read once."""
        return self.sample({"match_all": {}})

    def sample(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Read some of the target's matching documents, the same ones each time."""
        body = {
            "size": min(SAMPLE, self.most_hits[self.part.target]),
            "query": random_order(query, _SEED),
            "seq_no_primary_term": True,
            "explain": True,  # the only way to learn a document's shard
        }
        with backend_errors(f"sample '{self.part.target}'"):
            answer = self.client.search(index=self.part.target, body=body, params=WHOLE)
        hits: list[dict[str, Any]] = answer["hits"]["hits"]
        return hits


def subjects(client: OpenSearch, job: Job) -> list[Subject]:
    """Return all parts of a job."""
    letters = list(dead_letters.letters(client, job.job_id))
    cursors = _cursors(client, job)
    return [
        Subject(
            client, job, part, cursors[number],
            frozenset((one.doc_id, one.routing) for one in letters if one.part == number),
        )
        for number, part in enumerate(job.parts)
    ]  # fmt: skip


def key_of(hit: Mapping[str, Any]) -> Key:
    """Return a document's id and routing."""
    return hit["_id"], hit.get("_routing")


def _cursors(client: OpenSearch, job: Job) -> list[Mapping[int, int]]:
    """Return up to which operation each part's shards have been processed."""
    ledger, worked = Ledger(client), job
    if job.way == HANDOVER and job.mode == "in_place" and not job.standing:
        followers = standing.followers_of(ledger, job)
        if not followers:  # no worker changes them any more, so all must be right
            return [admin.checkpoints(client, part.source) for part in job.parts]
        worked = followers[0]
    found: dict[str, dict[int, int]] = {part.source: {} for part in job.parts}
    for record in ledger.slices(worked):
        source = worked.parts[record.range.part].source
        if record.range.upto is None and source in found:
            found[source][record.range.shard] = record.cursor
    return [found[part.source] for part in job.parts]
