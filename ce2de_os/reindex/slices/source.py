"""Read a source index in the order of its ``_seq_no``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opensearchpy import OpenSearch

from ce2de_os.errors import IndexSchemaError
from ce2de_os.index import admin
from ce2de_os.index.client import WHOLE, backend_errors
from ce2de_os.index.json_text import JsonText
from ce2de_os.index.raw import search

_WINDOW = re.compile(r"Result window is too large.*less than or equal to: \[(\d+)\]")


class SourceDocument(NamedTuple):
    """A document as the source holds it; ``routing`` is ``None`` if it has none of its own.

    ``raw`` is its ``_source`` byte for byte, so that numbers keep their digits; ``""``: it was not read.
    """

    doc_id: str
    shard: int
    seq_no: int
    primary_term: int
    routing: str | None
    source: dict[str, Any]
    raw: JsonText = JsonText()


def read_page(
    client: OpenSearch,
    index: str,
    shard: int,
    after: int,
    upto: int,
    size: int,
    *,
    with_source: bool = True,
    fields: Sequence[str] | None = None,
) -> list[SourceDocument]:
    """Read the next ``size`` documents of a shard with ``after < _seq_no <= upto``; fewer means the end.

    The order is total, so a reader can resume from one integer; no scroll or point in time is held open.
    ``fields`` are those of ``_source`` to read, by dotted path; ``None``: all of them. An index may allow
    fewer hits in one answer (``index.max_result_window``); then the page is put together from several.
    """
    wanted: list[str] | bool = list(fields) if fields and with_source else with_source
    try:
        return _read(client, index, shard, after, upto, size, wanted)
    except IndexSchemaError as error:
        window = _WINDOW.search(str(error))
        if window is None or not 0 < int(window[1]) < size:
            raise
    documents: list[SourceDocument] = []
    while len(documents) < size:
        room = min(int(window[1]), size - len(documents))
        found = _read(client, index, shard, documents[-1].seq_no if documents else after, upto, room, wanted)
        documents += found
        if len(found) < room:
            break
    return documents


def _read(
    client: OpenSearch, index: str, shard: int, after: int, upto: int, size: int, wanted: list[str] | bool
) -> list[SourceDocument]:
    body = {
        "size": size,
        "query": {"range": {"_seq_no": {"gt": after, "lte": upto}}},
        "sort": [{"_seq_no": "asc"}],
        "seq_no_primary_term": True,
        "track_total_hits": False,
        "_source": wanted,
    }
    # A partial answer would lose documents silently, and so would a replica that gets its segments
    # copied (segment replication) and is behind its primary.
    params = {"preference": f"_shards:{shard}|_primary", **WHOLE}
    with backend_errors(f"read '{index}' shard {shard}"):
        found = search(client, index, body, params)
    return [_document(shard, hit, raw) for hit, raw in found]


def read_documents_by_id(client: OpenSearch, index: str, doc_ids: Sequence[str]) -> list[SourceDocument]:
    """Read the documents with these ids, in any order; one id may exist under several routings.

    Raises:
        IndexSchemaError: an answer may hold fewer documents than the index has shards.
    """
    info = admin.describe(client, index)
    shards, most = int(info.settings["number_of_shards"]), info.most_hits
    batch = most // shards  # in each shard an id exists once
    if not batch:
        raise IndexSchemaError(
            f"'{index}' allows {most} hits in an answer (index.max_result_window) and has {shards} shards; "
            "raise that setting"
        )
    return [
        document
        for start in range(0, len(doc_ids), batch)
        for document in _by_id(client, index, doc_ids[start : start + batch], shards)
    ]


def _by_id(client: OpenSearch, index: str, doc_ids: Sequence[str], shards: int) -> list[SourceDocument]:
    body: dict[str, Any] = {
        "size": len(doc_ids) * shards,
        "query": {"ids": {"values": list(doc_ids)}},
        "seq_no_primary_term": True,
        "explain": True,  # the only way to learn a document's shard
    }
    params = {"preference": "_primary", **WHOLE}
    with backend_errors(f"read '{index}'"):
        found = search(client, index, body, params)
    return [_document(shard_of(hit), hit, raw) for hit, raw in found]


def shard_of(hit: Mapping[str, Any]) -> int:
    """Return the shard of a hit; the search must have asked for ``explain``."""
    return int(str(hit["_shard"]).rpartition("[")[2].rstrip("]"))


def _document(shard: int, hit: Mapping[str, Any], raw: JsonText) -> SourceDocument:
    place = shard, hit["_seq_no"], hit["_primary_term"], hit.get("_routing")
    return SourceDocument(hit["_id"], *place, hit.get("_source", {}), raw)
