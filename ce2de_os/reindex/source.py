"""Read a source index in the order of its ``_seq_no``, and take the text out of a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opensearchpy import OpenSearch

from ce2de_os.index.client import backend_errors


class SourceDocument(NamedTuple):
    """A document as the source holds it; ``routing`` is ``None`` if it has none of its own."""

    doc_id: str
    seq_no: int
    version: int
    routing: str | None
    source: dict[str, Any]


def read_page(
    client: OpenSearch, index: str, shard: int, after: int, upto: int, size: int
) -> list[SourceDocument]:
    """Read the next ``size`` documents of a shard with ``after < _seq_no <= upto``; fewer means the end.

    The order is total, so a reader can go on from one integer; no scroll or point in time is held open.
    """
    body = {
        "size": size,
        "query": {"range": {"_seq_no": {"gt": after, "lte": upto}}},
        "sort": [{"_seq_no": "asc"}],
        "version": True,
        "seq_no_primary_term": True,
        "track_total_hits": False,
    }
    with backend_errors(f"read '{index}' shard {shard}"):
        answer = client.search(
            index=index,
            body=body,
            # A partial answer would lose documents without a word.
            params={"preference": f"_shards:{shard}", "allow_partial_search_results": "false"},
        )
    return [_document(hit) for hit in answer["hits"]["hits"]]


def _document(hit: Mapping[str, Any]) -> SourceDocument:
    return SourceDocument(hit["_id"], hit["_seq_no"], hit["_version"], hit.get("_routing"), hit["_source"])


def document_text(source: Mapping[str, Any], text_fields: Sequence[str]) -> str:
    """The text that is embedded: the values of ``text_fields``, one to a line; ``""`` if there is none.

    Numbers count as their digits, lists as their elements; null and missing values, and objects, as nothing.
    """
    parts = (_text_of(value) for field in text_fields for value in field_values(source, field))
    return "\n".join(part for part in parts if part.strip())


def field_values(node: Any, path: str) -> list[Any]:  # noqa: ANN401 - any JSON value
    """All values at a dotted path, whether the document nests objects or spells the dots out."""
    if isinstance(node, list):
        return [value for element in node for value in field_values(element, path)]
    if not isinstance(node, Mapping):
        return []
    found = [node[path]] if path in node else []
    for key, value in node.items():
        if path.startswith(f"{key}."):
            found += field_values(value, path[len(key) + 1 :])
    return found


def _text_of(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(part for part in map(_text_of, value) if part)
    if isinstance(value, bool) or value is None or isinstance(value, Mapping):
        return ""
    return str(value)
