"""Read documents of an index and their text, to embed, score or train on it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import partial
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.helpers import scan

from ce2de_os.index.admin import most_hits, patiently
from ce2de_os.index.client import WHOLE, backend_errors
from ce2de_os.reading import readable

_PAGE = 500  # documents in one answer
_KEEP_ALIVE = "10m"  # how long a reader may take for one page


def document_text(source: Mapping[str, Any], text_fields: Sequence[str]) -> str:
    """Return the text to embed: the values of ``text_fields``, one per line; ``""`` if there is none.

    Numbers count as their digits, lists as their elements; null and missing values, and objects, as nothing.
    """
    parts = (_text_of(value) for field in text_fields for value in values_at(source, field))
    return "\n".join(part for part in parts if part.strip())


def values_at(node: Any, path: str) -> list[Any]:  # noqa: ANN401 - any JSON value
    """Return all values at a dotted path, whether objects are nested or the field name has dots."""
    found: list[Any] = []
    waiting = [(node, path)]  # a list of our own: documents may be nested deeper than Python calls may be
    while waiting:
        node, path = waiting.pop()
        if isinstance(node, list):
            waiting += [(element, path) for element in reversed(node)]
        elif isinstance(node, Mapping):
            found += [node[path]] if path in node else []
            inner = [
                (value, path[len(key) + 1 :]) for key, value in node.items() if path.startswith(f"{key}.")
            ]
            waiting += reversed(inner)
    return found


def _text_of(value: Any) -> str:  # noqa: ANN401 - any JSON value
    parts, waiting = [], [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += reversed(one)
        elif text := _text_of_leaf(one):
            parts.append(text)
    return " ".join(parts)


def _text_of_leaf(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None or isinstance(value, Mapping):
        return ""
    # OpenSearch writes a number beyond a double, such as 1E400, as this word where it rebuilds a `_source`.
    return str(value).replace("inf", "Infinity")


def documents(
    client: OpenSearch, index: str, doc_ids: Sequence[str], text_fields: Sequence[str]
) -> dict[str, str]:
    """Read the texts of documents by id; those deleted or without text in these fields are absent.

    It searches, because ``_mget`` finds neither documents with a routing of their own nor any behind an
    alias over several indices. So a document is found only after the next refresh.

    Raises:
        BackendError: OpenSearch does not answer, or rejects the request.
    """
    found: dict[str, str] = {}
    wanted = list(dict.fromkeys(doc_ids))
    most = most_hits(client, index)
    page = max(1, min(_PAGE, most // 2))  # behind an alias two indices may hold the same id
    for start in range(0, len(wanted), page):
        ids = wanted[start : start + page]
        hits = patiently(partial(_by_id, client, index, ids, text_fields, min(most, 2 * page)))
        texts = {hit["_id"]: readable(document_text(hit.get("_source", {}), text_fields)) for hit in hits}
        found |= {doc_id: texts[doc_id] for doc_id in ids if texts.get(doc_id)}
    return found


def random_order(query: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Wrap ``query`` with scores that order its documents at random; equal ``seed``, equal order."""
    chance = {"random_score": {"seed": seed, "field": "_seq_no"}, "boost_mode": "replace"}
    return {"function_score": {"query": query, **chance}}


def stream_sources(
    client: OpenSearch, index: str, fields: Sequence[str], seed: int | None = None
) -> Generator[tuple[str, dict[str, Any]], None, None]:
    """Stream the ``doc_id`` of every document with its ``_source``, cut down to ``fields``.

    ``seed`` gives a random order, so that a reader that stops early has a sample; ``None`` means no order,
    which is faster: the cluster need not sort.

    It reads the index as it is at the first call (a scroll); later writes are not seen.

    Raises:
        IndexSchemaError: there is no such index.
        BackendError: OpenSearch does not answer, or rejects the request; begin again.
    """
    everything: dict[str, Any] = {"match_all": {}}
    query = everything if seed is None else random_order(everything, seed)
    body = {"query": query, "_source": list(fields)}
    with backend_errors(f"read '{index}'"):
        page = min(_PAGE, most_hits(client, index))
        hits = scan(
            client, query=body, index=index, size=page, scroll=_KEEP_ALIVE,
            preserve_order=seed is not None, allow_partial_search_results=False,
        )  # fmt: skip
        for hit in hits:
            yield hit["_id"], hit.get("_source") or {}


def field_texts(
    client: OpenSearch, index: str, fields: Sequence[str], seed: int | None = None
) -> Generator[tuple[str, str], None, None]:
    """Stream the ``doc_id`` and the text in ``fields`` of every document that has one.

    ``seed``, order and errors are those of `stream_sources`.
    """
    for doc_id, source in stream_sources(client, index, fields, seed):
        text = readable(document_text(source, fields))
        if text:
            yield doc_id, text


def _by_id(
    client: OpenSearch, index: str, ids: Sequence[str], text_fields: Sequence[str], size: int
) -> list[dict[str, Any]]:
    body = {"query": {"ids": {"values": list(ids)}}, "size": size, "_source": list(text_fields)}
    with backend_errors(f"fetch documents of '{index}'"):
        answer = client.search(index=index, body=body, params=WHOLE)
    hits: list[dict[str, Any]] = answer["hits"]["hits"]
    return hits
