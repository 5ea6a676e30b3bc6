"""Copy the writes that still reached the sources while the alias moved, for a handover without a block.

A target's document is overwritten only while it is as the job wrote it: the job's writes carry the source's
``_seq_no`` + 1 as version, and every write of an application raises it. What an application wrote through the
alias in between is newer, or cannot be ordered; then it stays, and its id is reported.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.index import admin
from ce2de_os.index.admin import patiently
from ce2de_os.index.bulk import (
    Action,
    CreateAction,
    DeleteAction,
    ReplaceAction,
    WriteAction,
    write_documents,
)
from ce2de_os.index.client import backend_errors, entries_of
from ce2de_os.index.raw import mget
from ce2de_os.reindex.compare import differences
from ce2de_os.reindex.held_job import HeldJob
from ce2de_os.reindex.identity import source_checkpoints
from ce2de_os.reindex.job import Part, Slice
from ce2de_os.reindex.slices.embedding import DocumentEncoder, embed
from ce2de_os.reindex.slices.source import SourceDocument, read_page

QUIET_S = 35.0
"""Seconds without writes in the sources: more than a client's usual timeout of 30 seconds."""

_LOOK_S = 1.0
_FIRST = 1
"""The version of a document that is new, so that no application can have deleted it from the target."""

_PAGE = 256
MOST_UNORDERED = 1000
"""Most ids of such documents that the record keeps."""


def copy_late_writes(client: OpenSearch, encoder: DocumentEncoder, held: HeldJob) -> None:
    """Copy operations of the sources until no more come; record documents that cannot be ordered."""
    cursors = {
        (one.range.part, one.range.shard): one
        for one in held.ledger.slices(held.job)
        if one.range.upto is None
    }
    quiet_since_s = time.monotonic()
    while True:
        looked_at_s = time.monotonic()
        if any(_copy(client, encoder, held, record) for record in cursors.values()):
            quiet_since_s = time.monotonic()
        elif looked_at_s - quiet_since_s >= QUIET_S:
            break  # the last look was after the quiet time, however long this worker was asleep
        cursors = {key: held.ledger.slice(one.job_id, one.number).slice for key, one in cursors.items()}
        held.keep()
        time.sleep(_LOOK_S)
    for part in held.job.parts:
        _delete_late(client, held, part)


def _copy(client: OpenSearch, encoder: DocumentEncoder, held: HeldJob, record: Slice) -> int:
    """Copy what is new in one shard; return the number of operations."""
    part = held.job.parts[record.range.part]
    checkpoint = patiently(lambda: source_checkpoints(client, part))[record.range.shard]
    if checkpoint <= record.cursor:
        return 0
    patiently(lambda: admin.refresh(client, part.source))
    after = record.cursor
    while True:
        documents = patiently(
            lambda: read_page(client, part.source, record.range.shard, after, checkpoint, _PAGE)  # noqa: B023
        )
        _write(client, encoder, held, part, documents)
        if len(documents) < _PAGE:
            break
        after = documents[-1].seq_no
    held.ledger.change_slice(held.ledger.slice(record.job_id, record.number), cursor=checkpoint)
    return checkpoint - record.cursor


def _write(
    client: OpenSearch, encoder: DocumentEncoder, held: HeldJob, part: Part, documents: list[SourceDocument]
) -> None:
    if not documents:
        return
    actions = embed(client, encoder, held.job, part, documents).actions
    found = current_of(client, part.target, documents, held.job.vector.origin_field)
    versions = [entry.get("_version") for entry in current_of(client, part.source, documents)]
    writes: list[Action] = []
    unordered = []
    for action, entry, version in zip(actions, found, versions, strict=True):
        if not isinstance(action, WriteAction):
            continue
        if not entry.get("found") and version != _FIRST:
            unordered.append(action.doc_id)  # an application may have deleted it from the target since
        elif not entry.get("found"):
            writes.append(CreateAction(action.doc_id, action.routing, action.source))
        elif is_ours(entry, held.job.vector.origin_field):
            writes.append(
                ReplaceAction(
                    action.doc_id, entry["_seq_no"], entry["_primary_term"], action.routing, action.source
                )
            )
        else:
            unordered.append(action.doc_id)
    report = patiently(lambda: write_documents(client, part.target, writes))
    _record(held, [*unordered, *report.conflicts])


def _delete_late(client: OpenSearch, held: HeldJob, part: Part) -> None:
    """Delete what was deleted from the source in between, where no application has touched it since."""
    field = held.job.vector.origin_field
    for batch in differences(client, part, field, keep=held.keep):
        gone = [
            SourceDocument(one.doc_id, -1, one.seq_no, one.primary_term, one.routing, {})
            for one in batch.surplus
            if not one.foreign
        ]
        found = current_of(client, part.target, gone, field)
        there = [(one, entry) for one, entry in zip(gone, found, strict=True) if entry.get("found")]
        deletes = [
            DeleteAction(document.doc_id, document.routing, entry["_seq_no"], entry["_primary_term"])
            for document, entry in there
            if is_ours(entry, field)
        ]
        report = patiently(lambda: write_documents(client, part.target, deletes))  # noqa: B023
        changed = [document.doc_id for document, entry in there if not is_ours(entry, field)]
        _record(held, [*changed, *report.conflicts])


def current_of(
    client: OpenSearch, index: str, documents: Sequence[SourceDocument], *fields: str
) -> list[dict[str, Any]]:
    """Read what an index holds now under the ids of documents, in their order, with some ``fields``.

    An entry has the form of an ``_mget`` answer, and its ``_source`` unchanged as text under ``raw``.
    """
    if not documents:
        return []
    wanted = [{"_id": one.doc_id, **({"routing": one.routing} if one.routing else {})} for one in documents]

    def fetch() -> list[dict[str, Any]]:
        action = f"look up documents of '{index}'"
        params = {"_source_includes": ",".join(fields)} if fields else {"_source": "false"}
        with backend_errors(action):
            found = mget(client, index, wanted, params)
        entries_of(action, {"docs": [entry for entry, _ in found]})
        return [{**entry, "raw": raw} for entry, raw in found]

    return patiently(fetch)


def is_ours(entry: Mapping[str, Any], origin_field: str) -> bool:
    """Return whether a target's document is as the job wrote it: no application has changed it since."""
    origin = (entry.get("_source") or {}).get(origin_field)
    return isinstance(origin, Mapping) and entry.get("_version") == int(origin["seq_no"]) + 1


def _record(held: HeldJob, unordered: list[str]) -> None:
    new = [doc_id for doc_id in unordered if doc_id not in held.job.unordered]
    if new:
        held.change(unordered=(*held.job.unordered, *new)[:MOST_UNORDERED])
