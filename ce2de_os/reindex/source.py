"""Read a source index in the order of its ``_seq_no``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opensearchpy import OpenSearch

from ce2de_os.index.client import backend_errors


class SourceDocument(NamedTuple):
    """A document as the source holds it; ``routing`` is ``None`` if it has none of its own."""

    doc_id: str
    shard: int
    seq_no: int
    primary_term: int
    routing: str | None
    source: dict[str, Any]


def read_page(
    client: OpenSearch,
    index: str,
    shard: int,
    after: int,
    upto: int,
    size: int,
    *,
    with_source: bool = True,
) -> list[SourceDocument]:
    """Read the next ``size`` documents of a shard with ``after < _seq_no <= upto``; fewer means the end.

    The order is total, so a reader can go on from one integer; no scroll or point in time is held open.
    """
    body = {
        "size": size,
        "query": {"range": {"_seq_no": {"gt": after, "lte": upto}}},
        "sort": [{"_seq_no": "asc"}],
        "seq_no_primary_term": True,
        "track_total_hits": False,
        "_source": with_source,
    }
    with backend_errors(f"read '{index}' shard {shard}"):
        answer = client.search(
            index=index,
            body=body,
            # A partial answer would lose documents without a word, and so would a replica that gets its
            # segments copied (segment replication) and is behind its primary.
            params={"preference": f"_shards:{shard}|_primary", "allow_partial_search_results": "false"},
        )
    return [_document(shard, hit) for hit in answer["hits"]["hits"]]


def read_documents_by_id(client: OpenSearch, index: str, doc_ids: Sequence[str]) -> list[SourceDocument]:
    """The documents of these ids that are there, in any order; an id may be there under several routings."""
    body: dict[str, Any] = {
        "size": len(doc_ids),
        "query": {"ids": {"values": list(doc_ids)}},
        "seq_no_primary_term": True,
        "track_total_hits": True,
        "explain": True,  # what else tells a document's shard
    }
    params = {"allow_partial_search_results": "false", "preference": "_primary"}
    with backend_errors(f"read '{index}'"):
        hits = client.search(index=index, body=body, params=params)["hits"]
        if hits["total"]["value"] > len(doc_ids):
            body["size"] = hits["total"]["value"]
            hits = client.search(index=index, body=body, params=params)["hits"]
    return [_document(_shard(hit), hit) for hit in hits["hits"]]


def _shard(hit: Mapping[str, Any]) -> int:
    """The number in ``[articles][0]``."""
    return int(str(hit["_shard"]).rpartition("[")[2].rstrip("]"))


def _document(shard: int, hit: Mapping[str, Any]) -> SourceDocument:
    return SourceDocument(
        hit["_id"], shard, hit["_seq_no"], hit["_primary_term"], hit.get("_routing"), hit.get("_source", {})
    )
