"""Find the documents that were written on both sides of a handover, so that their order is unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.deep_json import equal
from ce2de_os.index import admin
from ce2de_os.index.admin import patiently
from ce2de_os.index.bulk import Action, CreateAction, ReplaceAction
from ce2de_os.reindex.compare import differences
from ce2de_os.reindex.drift import own_fields
from ce2de_os.reindex.identity import settle, source_checkpoints
from ce2de_os.reindex.job import Job, Part
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.slices.source import SourceDocument, read_page
from ce2de_os.reindex.syncing.late_writes import current_of
from ce2de_os.reindex.syncing.repair import cursors

_PAGE = 256
_NEW = 1
"""The version of a document that never was in the source before, so that the target cannot know it."""


def written_on_both_sides(
    client: OpenSearch, ledger: Ledger, job: Job, number: int, *, staying: bool = False
) -> list[str]:
    """Return the ids of a part's documents that the source has changed since the handover, as the target has.

    Both must be blocked. What the job itself has copied back is equal on both sides, so it is none of them.
    With ``staying``, applications go on with the target: then every change of the source is one, for it is
    not behind the alias.
    """
    part, upto = job.parts[number], cursors(ledger, job, number)
    patiently(lambda: settle(client, [part.source]))
    newest = patiently(lambda: source_checkpoints(client, part))
    if all(newest[shard] <= upto[shard] for shard in newest):
        return []  # the usual case: it takes no writes
    for name in (part.source, part.target):
        patiently(lambda: admin.refresh(client, name))  # noqa: B023
    fences = dict(enumerate(job.fences[part.target])) if not staying else dict.fromkeys(newest, -1)
    found = [
        *_changed(client, job, part, upto, newest, fences, staying),
        *_deleted(client, job, part, upto, fences),
    ]
    return list(dict.fromkeys(found))


def unequal(
    client: OpenSearch, job: Job, part: Part, documents: Sequence[SourceDocument]
) -> list[tuple[SourceDocument, Mapping[str, Any], Mapping[str, Any]]]:
    """Return the documents that source and target hold differently now, each with both entries."""
    ours = own_fields(job.vector)
    found: list[tuple[SourceDocument, Mapping[str, Any], Mapping[str, Any]]] = []
    for start in range(0, len(documents), _PAGE):
        batch = documents[start : start + _PAGE]
        here = current_of(client, part.source, batch, "*")
        there = current_of(client, part.target, batch, "*")
        found += [
            entry
            for entry in zip(batch, here, there, strict=True)
            if not equal(_content(entry[1], ours), _content(entry[2], ours))
        ]
    return found


def unordered_since(
    client: OpenSearch, job: Job, part: Part, actions: Sequence[Action], conflicts: set[str]
) -> list[str]:
    """Return the ids that another client has written in the source while the writes were carried out.

    A conflict of equal documents is none: the answer to a first request was lost, and it was repeated.
    """
    there = _places([one for one in actions if one.doc_id in conflicts])
    found = [document.doc_id for document, _, _ in unequal(client, job, part, there)]
    made = _places([one for one in actions if isinstance(one, CreateAction) and one.doc_id not in conflicts])
    # Versions count on over a delete. After a repeated request any version but the first may be a
    # document that another client deleted in between; else one that was deleted before the handover has 2.
    least = 2 if len(found) < len(conflicts) else 3
    entries = zip(made, current_of(client, part.source, made), strict=True)
    return found + [document.doc_id for document, entry in entries if entry.get("_version", 1) >= least]


def deleted_since(client: OpenSearch, part: Part, actions: Sequence[Action], *, copied: bool) -> list[str]:
    """Return the ids of documents that the source had after the writes, and has no more.

    Without ``copied``, the writes may not have been carried out, so only what it had before them counts.
    """
    kinds = (ReplaceAction, CreateAction) if copied else (ReplaceAction,)
    there = _places([one for one in actions if isinstance(one, kinds)])
    entries = zip(there, current_of(client, part.source, there), strict=True)
    return [document.doc_id for document, entry in entries if not entry.get("found")]


def _places(actions: Sequence[Action]) -> list[SourceDocument]:
    return [SourceDocument(one.doc_id, -1, 0, 0, one.routing, {}) for one in actions]


def _content(entry: Mapping[str, Any], ours: frozenset[str]) -> dict[str, Any] | None:
    if not entry.get("found"):
        return None
    return {name: value for name, value in entry["_source"].items() if name not in ours}


def _changed(
    client: OpenSearch,
    job: Job,
    part: Part,
    upto: Mapping[int, int],
    newest: Mapping[int, int],
    fences: Mapping[int, int],
    staying: bool,
) -> Iterator[str]:
    """Yield the documents that the source has at a newer version than it had at the handover."""
    for shard, checkpoint in newest.items():
        for batch in _pages(client, part.source, shard, upto[shard], checkpoint):
            for document, here, there in unequal(client, job, part, batch):
                known = (
                    there["_seq_no"] > fences[shard] if there.get("found") else here.get("_version") != _NEW
                )
                if staying or known:
                    yield document.doc_id


def _pages(
    client: OpenSearch, index: str, shard: int, after: int, upto: int
) -> Iterator[list[SourceDocument]]:
    while after < upto:
        batch = patiently(lambda: read_page(client, index, shard, after, upto, _PAGE, with_source=False))  # noqa: B023
        if not batch:
            return
        yield batch
        after = batch[-1].seq_no


def _deleted(
    client: OpenSearch, job: Job, part: Part, upto: Mapping[int, int], fences: Mapping[int, int]
) -> Iterator[str]:
    """Yield the documents that the source has deleted, and that the target has changed."""
    for batch in differences(client, part, job.vector.origin_field, upto):
        for one in batch.surplus:
            if not one.foreign and one.seq_no > fences[one.shard]:
                yield one.doc_id
