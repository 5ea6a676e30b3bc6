"""Whether security masks fields of a source for this user: a copy would keep the masked values for good.

Who may not read the roles can still notice it. The security plugin masks what a user reads, and lets no query
of this user match in a masked field. So a document that is not found by its own value in an indexed field,
broken up by the field's own analyzer, has another value than is shown. Seen on OpenSearch 2.19.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendError, BackendUnavailableError, IndexSchemaError
from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.client import WHOLE, backend_errors
from ce2de_os.index.documents import values_at

WHO = "/_plugins/_security/authinfo"
_SAMPLE = 50  # documents to look at
_WITNESSES = 3  # of them for each field
_MOST_CHARS = 2000  # of a value, so that its words are no more clauses than a query may have
_AT_ONCE = 50  # fields in one request

_Values = list[tuple[str, str]]  # ids of documents and their values


def masked_fields(client: OpenSearch, source: IndexInfo) -> list[str]:
    """Return the fields that are masked for this user, as far as it can be seen.

    Only fields of text and keywords that are indexed, not inside of nested objects, are looked at.

    Raises:
        BackendUnavailableError: OpenSearch does not answer.
    """
    if not _has_security(client):
        return []
    fields = dict(_searchable(source.mappings))
    body = {"size": min(_SAMPLE, source.most_hits), "_source": list(fields)}
    with backend_errors(f"read documents of '{source.name}'"):
        hits = client.search(index=source.name, body=body, params=WHOLE)["hits"]["hits"]
    seen = {path: _witnesses(hits, path, field) for path, field in fields.items()}
    asked = [(path, found) for path, found in seen.items() if found]
    masked: list[str] = []
    for start in range(0, len(asked), _AT_ONCE):
        masked += _not_found(client, source, fields, asked[start : start + _AT_ONCE])
    return masked


def _has_security(client: OpenSearch) -> bool:
    try:
        with backend_errors("ask who we are"):
            answer = client.transport.perform_request("GET", WHO)
    except BackendUnavailableError:
        raise
    except BackendError:  # a cluster without the plugin does not know this address
        return False
    return isinstance(answer, Mapping) and bool(answer.get("user_name"))


def _searchable(mappings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, field in mappings.get("properties", {}).items():
        if field.get("type") in ("text", "keyword") and field.get("index", True) is True:
            yield f"{prefix}{name}", field
        elif field.get("type", "object") == "object" and field.get("enabled", True) is True:
            yield from _searchable(field, f"{prefix}{name}.")


def _witnesses(hits: Sequence[Mapping[str, Any]], path: str, field: Mapping[str, Any]) -> _Values:
    """Return some documents with a value in the field that is short enough to be indexed and asked for."""
    most = min(_MOST_CHARS, int(field.get("ignore_above", _MOST_CHARS)))
    found = []
    for hit in hits:
        values = [
            one for one in values_at(hit.get("_source", {}), path) if isinstance(one, str) and one.strip()
        ]
        if values and values[0].strip() and len(values[0]) <= most:
            found.append((hit["_id"], values[0]))
    return found[:_WITNESSES]


def _not_found(
    client: OpenSearch,
    source: IndexInfo,
    fields: Mapping[str, Mapping[str, Any]],
    asked: Sequence[tuple[str, _Values]],
) -> list[str]:
    """Return the fields none of whose documents is found by its own value."""
    own_default = any(name.startswith("analysis.analyzer.default.") for name in source.settings)
    default = {"analyzer": "default"} if own_default else {}
    looks = {
        str(number): {
            "filter": {"bool": {"should": [_own(path, {**default, **fields[path]}, one) for one in values]}}
        }
        for number, (path, values) in enumerate(asked)
    }
    ids = sorted({doc_id for _, values in asked for doc_id, _ in values})
    body = {"size": 0, "query": {"ids": {"values": ids}}, "aggs": looks}
    try:
        with backend_errors(f"search '{source.name}'"):
            found = client.search(index=source.name, body=body, params=WHOLE)["aggregations"]
    except IndexSchemaError:  # an analyzer of the index makes more of a value than a query may have
        return []
    return [path for number, (path, _) in enumerate(asked) if found[str(number)]["doc_count"] == 0]


def _own(path: str, field: Mapping[str, Any], one: tuple[str, str]) -> dict[str, Any]:
    doc_id, value = one
    if field["type"] == "keyword":
        query: dict[str, Any] = {"term": {path: value}}
    else:
        analyzer = {"analyzer": field["analyzer"]} if "analyzer" in field else {}
        query = {"match": {path: {"query": value, "zero_terms_query": "all", **analyzer}}}
    return {"bool": {"filter": [{"ids": {"values": [doc_id]}}, query]}}
