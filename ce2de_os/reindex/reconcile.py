"""Deletes: documents that are gone from the source go from the target too."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.helpers import scan

from ce2de_os.index.admin import patiently
from ce2de_os.index.bulk import DeleteAction, write_documents
from ce2de_os.index.client import backend_errors
from ce2de_os.reindex.job import Part

_BATCH = 1000


def reconcile(client: OpenSearch, part: Part) -> int:
    """Delete what the target holds and the source does not; returns how many documents that were.

    A document that comes back meanwhile is written again by whoever reads it, with a newer version. Both
    indices must have been refreshed.
    """
    deleted = 0
    hits = _target_ids(client, part.target)
    while batch := list(islice(hits, _BATCH)):
        gone = _gone(client, part.source, batch)
        if gone:
            deleted += patiently(lambda: write_documents(client, part.target, gone)).written  # noqa: B023
    return deleted


def _target_ids(client: OpenSearch, index: str) -> Iterator[dict[str, Any]]:
    body = {"query": {"match_all": {}}, "seq_no_primary_term": True, "_source": False, "sort": ["_doc"]}
    with backend_errors(f"list the documents of '{index}'"):
        yield from scan(client, index=index, query=body, size=_BATCH, allow_partial_search_results=False)


def _gone(client: OpenSearch, source: str, batch: list[dict[str, Any]]) -> list[DeleteAction]:
    ids = [hit["_id"] for hit in batch]
    body = {"query": {"ids": {"values": ids}}, "size": len(ids), "_source": False}

    def present() -> set[str]:
        with backend_errors(f"look up documents of '{source}'"):
            answer = client.search(index=source, body=body, params={"allow_partial_search_results": "false"})
        return {hit["_id"] for hit in answer["hits"]["hits"]}

    found = patiently(present)
    return [
        DeleteAction(hit["_id"], hit.get("_routing"), hit["_seq_no"], hit["_primary_term"])
        for hit in batch
        if hit["_id"] not in found
    ]
