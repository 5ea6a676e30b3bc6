"""Remove dead letters whose documents are in the target by now: they were changed or written again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import IndexSchemaError
from ce2de_os.reindex import dead_letters
from ce2de_os.reindex.dead_letters import DeadLetter
from ce2de_os.reindex.job import Job, Part
from ce2de_os.reindex.slices.source import SourceDocument
from ce2de_os.reindex.syncing.late_writes import current_of

_BATCH = 200


def forget_arrived(client: OpenSearch, job: Job) -> int:
    """Delete dead letters whose documents are right by now, or gone from the source; return their number."""
    removed = 0
    letters = sorted(dead_letters.letters(client, job.job_id), key=lambda letter: letter.part)
    for number, part in enumerate(job.parts):
        mine = [letter for letter in letters if letter.part == number]
        for start in range(0, len(mine), _BATCH):
            try:
                arrived = _arrived(client, job, part, mine[start : start + _BATCH])
            except IndexSchemaError:
                break  # the index is away, maybe for a moment; it says nothing about its documents
            dead_letters.remove(client, arrived)
            removed += len(arrived)
    return removed


def _arrived(client: OpenSearch, job: Job, part: Part, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    places = [SourceDocument(one.doc_id, -1, 0, 0, one.routing, {}) for one in letters]
    # Of a copy only the versions count, and a rejected document may be as large as a request.
    here = current_of(client, part.source, places, job.hash_field if job.mode == "copy" else "*")
    there = current_of(client, part.target, places, job.vector.origin_field) if job.mode == "copy" else here
    return [
        letter
        for letter, source, target in zip(letters, here, there, strict=True)
        if (_is_copied if job.mode == "copy" else _is_embedded)(job, source, target)
    ]


def _is_copied(job: Job, source: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
    if not source.get("found"):
        return not target.get("found")
    origin = (target.get("_source") or {}).get(job.vector.origin_field) or {}
    return bool(origin.get("seq_no") == source["_seq_no"])


def _is_embedded(job: Job, source: Mapping[str, Any], _: Mapping[str, Any]) -> bool:
    if not source.get("found"):
        return True
    content = source["_source"]
    text = job.text.text_of(content)
    wanted = job.text.hash_of(text, job.fingerprint) if text else None
    return bool(content.get(job.hash_field) == wanted)
