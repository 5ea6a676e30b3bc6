"""Make a target equal to its source: remove what is surplus, write what is lost or stale.

Most documents are right after the load and the catching up. What remains are deletes, which leave nothing to
read, and documents whose version in the target was raised by other writers, so that a copy looks too old.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from opensearchpy import OpenSearch

from ce2de_os.index import admin
from ce2de_os.index.admin import patiently
from ce2de_os.index.bulk import Action, BulkWriter, CreateAction, Refusal, ReplaceAction, WriteAction
from ce2de_os.reindex import dead_letters
from ce2de_os.reindex.compare import Batch, Lost, Stale, differences
from ce2de_os.reindex.compare.removal import delete_surplus
from ce2de_os.reindex.dead_letters import DeadLetter
from ce2de_os.reindex.held_job import HeldJob
from ce2de_os.reindex.job import Job, Part
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.slices.embedding import DocumentEncoder, embed
from ce2de_os.reindex.slices.source import SourceDocument
from ce2de_os.reindex.syncing.late_writes import current_of

logger = logging.getLogger(__name__)

_PASSES = 3
_BATCH = 200

Proved = dict[int, Mapping[int, int]]
"""For each part, by number, the ``_seq_no`` of each source shard up to which both sides were found equal."""


def repair(
    client: OpenSearch, encoder: DocumentEncoder, held: HeldJob, proved: Proved, only: Part | None = None
) -> int:
    """Bring the targets to where the job's cursors are; returns how many documents differ in the end.

    Documents in the dead-letter index do not count. ``proved`` is what the last call found; it makes this one
    fast, and is brought up to date. ``only`` limits the call to one part; ``None``: all.
    """
    left = 0
    for number, part in enumerate(held.job.parts):
        if only is None or part is only:
            left += _repair_part(client, encoder, held, number, proved)
    return left


def cursors(ledger: Ledger, job: Job, number: int) -> dict[int, int]:
    """Return, for each shard, up to which operation the target of a part is up to date."""
    return {
        record.range.shard: record.cursor
        for record in patiently(lambda: ledger.slices(job))
        if record.range.part == number and record.range.upto is None
    }


def _repair_part(
    client: OpenSearch, encoder: DocumentEncoder, held: HeldJob, number: int, proved: Proved
) -> int:
    part, field = held.job.parts[number], held.job.vector.origin_field
    found = 0
    for _ in range(_PASSES):
        known = _refused(client, held.job, number)
        if known:
            proved.pop(number, None)  # what is lacking would hide what is surplus, if only counted
        upto = cursors(held.ledger, held.job, number)
        found = 0
        for batch in differences(client, part, field, upto, known, held.keep, proved.get(number)):
            found += len(batch.surplus) + len(batch.lost) + len(batch.stale)
            _mend(client, encoder, held, number, batch)
        if not found:
            if not known:
                proved[number] = upto
            return 0
        patiently(lambda: admin.refresh(client, part.target))
    return found


def _refused(client: OpenSearch, job: Job, number: int) -> set[tuple[str, str | None]]:
    letters = patiently(lambda: list(dead_letters.letters(client, job.job_id)))
    return {(letter.doc_id, letter.routing) for letter in letters if letter.part == number}


def _mend(client: OpenSearch, encoder: DocumentEncoder, held: HeldJob, number: int, batch: Batch) -> None:
    part = held.job.parts[number]
    removed = delete_surplus(client, part, batch.surplus)
    missing: list[Lost | Stale] = [*batch.lost, *batch.stale]
    for start in range(0, len(missing), _BATCH):
        _write(client, encoder, held, number, missing[start : start + _BATCH])
        held.keep()
    keys = {"action": "repaired", "job": held.job.job_id, "target": part.target, "removed": removed}
    if removed or missing:
        logger.info("Target brought up to date", extra={**keys, "written": len(missing)})


def _write(
    client: OpenSearch, encoder: DocumentEncoder, held: HeldJob, number: int, wanted: Sequence[Lost | Stale]
) -> None:
    """Write documents as the source has them now, whatever version the target has."""
    job, part = held.job, held.job.parts[number]
    documents = _as_they_are(client, part, wanted)
    if not documents:
        return
    actions = embed(client, encoder, job, part, documents).actions
    writes: list[Action] = []
    for action, entry in zip(actions, current_of(client, part.target, documents), strict=True):
        if not isinstance(action, WriteAction):
            continue
        if entry.get("found"):
            where = (entry["_seq_no"], entry["_primary_term"])
            writes.append(ReplaceAction(action.doc_id, *where, action.routing, action.source))
        else:
            writes.append(CreateAction(action.doc_id, action.routing, action.source))
    with BulkWriter(client, pipeline=job.pipeline, guarded=True) as writer:
        report = patiently(lambda: writer.write(part.target, writes))
    _set_aside(client, held, number, documents, report.refused)


def _as_they_are(client: OpenSearch, part: Part, wanted: Sequence[Lost | Stale]) -> list[SourceDocument]:
    """Read documents by id, without waiting for a refresh; those that are gone by now are absent."""
    places = [SourceDocument(one.doc_id, one.shard, one.seq_no, 0, one.routing, {}) for one in wanted]
    return [
        SourceDocument(
            one.doc_id,
            one.shard,
            entry["_seq_no"],
            entry["_primary_term"],
            one.routing,
            entry["_source"],
            entry["raw"],
        )
        for one, entry in zip(wanted, current_of(client, part.source, places, "*"), strict=True)
        if entry.get("found")
    ]


def _set_aside(
    client: OpenSearch,
    held: HeldJob,
    number: int,
    documents: Sequence[SourceDocument],
    refused: Sequence[Refusal],
) -> None:
    routing = {document.doc_id: document.routing for document in documents}
    part, now_s = held.job.parts[number], held.ledger.now()
    letters = [
        DeadLetter(
            held.job.job_id, number, part.source, one.doc_id, routing.get(one.doc_id), one.status, one.kind,
            one.reason, now_s,
        )
        for one in refused
    ]  # fmt: skip
    patiently(lambda: dead_letters.add(client, letters))
