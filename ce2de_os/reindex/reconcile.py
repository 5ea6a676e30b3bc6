"""Deletes: documents that are gone from the source go from the target too."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from opensearchpy import OpenSearch

from ce2de_os.index import admin
from ce2de_os.index.admin import patiently
from ce2de_os.index.bulk import DeleteAction, write_documents
from ce2de_os.index.client import backend_errors
from ce2de_os.reindex.job import Part
from ce2de_os.reindex.source import SourceDocument, read_page

_BATCH = 1000


def reconcile(client: OpenSearch, part: Part, keep: Callable[[], None] | None = None) -> int:
    """Delete what the target holds and the source does not; returns how many documents that were.

    A document that comes back meanwhile is written again by whoever reads it, with a newer version. Both
    indices must have been refreshed. ``keep`` is called after each batch, to keep a lease; ``None``: nothing.
    """
    deleted = 0
    for batch in _batches(client, part.target):
        gone = _gone(client, part.source, batch)
        if gone:
            deleted += patiently(lambda: write_documents(client, part.target, gone, guarded=True)).written  # noqa: B023
        if keep is not None:
            keep()
    return deleted


def _batches(client: OpenSearch, index: str) -> Iterator[list[SourceDocument]]:
    """Every document without its fields; no scroll is held open, which a restart of OpenSearch would end."""
    for shard, checkpoint in patiently(lambda: admin.checkpoints(client, index)).items():
        after = -1
        while after < checkpoint:
            batch = patiently(
                lambda: read_page(client, index, shard, after, checkpoint, _BATCH, with_source=False)  # noqa: B023
            )
            if not batch:
                break
            yield batch
            after = batch[-1].seq_no


def _gone(client: OpenSearch, source: str, batch: list[SourceDocument]) -> list[DeleteAction]:
    ids = [document.doc_id for document in batch]
    body = {"query": {"ids": {"values": ids}}, "size": len(ids), "_source": False}

    def present() -> set[str]:
        with backend_errors(f"look up documents of '{source}'"):
            params = {"preference": "_primary", "allow_partial_search_results": "false"}
            answer = client.search(index=source, body=body, params=params)
        return {hit["_id"] for hit in answer["hits"]["hits"]}

    found = patiently(present)
    return [
        DeleteAction(document.doc_id, document.routing, document.seq_no, document.primary_term)
        for document in batch
        if document.doc_id not in found
    ]
