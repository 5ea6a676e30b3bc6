"""Read search answers in which every ``_source`` is unchanged, byte for byte.

Python's numbers are not JSON's: ``1.10`` becomes 1.1, and of 24 digits 17 are left. Documents
to copy are therefore cut out of the answer as text; Python's own values are for looking only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.client.utils import _make_path

from ce2de_os.deep_json import decode
from ce2de_os.index.json_text import JsonText, without_comments

_KEY = '"_source":'
_SPACE = " \t\n\r"

Hit = dict[str, Any]


def search(
    client: OpenSearch, index: str, body: Mapping[str, Any], params: Mapping[str, str]
) -> list[tuple[Hit, JsonText]]:
    """Search, and return the hits, each with its ``_source`` as unchanged text; ``""`` if it has none."""
    text = _as_text(client, "POST", _make_path(index, "_search"), body, params)
    return hits(text)


def mget(
    client: OpenSearch, index: str, docs: list[dict[str, Any]], params: Mapping[str, str]
) -> list[tuple[Hit, JsonText]]:
    """Get documents by id, each with its ``_source`` as unchanged text; ``""`` if it is absent."""
    text = _as_text(client, "POST", _make_path(index, "_mget"), {"docs": docs}, params)
    answer, sources = _parsed(text)
    return [_hit(entry, sources) for entry in answer["docs"]]


def hits(text: str) -> list[tuple[Hit, JsonText]]:
    """Return the hits in the text of a search's answer."""
    answer, sources = _parsed(text)
    return [_hit(hit, sources) for hit in answer["hits"]["hits"]]


def _parsed(text: str) -> tuple[Any, list[tuple[Any, JsonText]]]:
    try:
        return _read(text)
    except json.JSONDecodeError:  # a document may have comments: OpenSearch takes and keeps them
        return _read(without_comments(text))


def _read(text: str) -> tuple[Any, list[tuple[Any, JsonText]]]:
    """Parse an answer; each ``_source`` becomes a number, an index into the list of sources."""
    sources: list[tuple[Any, JsonText]] = []
    pieces, done = [], 0
    # In a string its quotes would be escaped; a key inside a document is skipped with the document.
    while (found := text.find(_KEY, done)) >= 0:
        begin = _after_space(text, found + len(_KEY))
        value, end = decode(text, begin)
        sources.append((value, on_one_line(text[begin:end])))
        pieces += [text[done:begin], str(len(sources) - 1)]
        done = end
    return json.loads("".join([*pieces, text[done:]])), sources


def on_one_line(text: str) -> JsonText:
    """Remove the line ends from JSON, of which a document may have some between its values."""
    return JsonText(text.replace("\n", " ").replace("\r", " ") if "\n" in text or "\r" in text else text)


def without(raw: str, names: Iterable[str]) -> JsonText:
    """Return a JSON object without these top-level fields; the text of all others is unchanged."""
    left_out = set(names)
    kept = [piece for name, piece in _fields(raw) if name not in left_out]
    return JsonText(f"{{{','.join(kept)}}}")


def with_fields(raw: str, fields: str) -> JsonText:
    """Return a JSON object with the fields of another one after its own."""
    inner, more = raw.strip()[1:-1], fields[1:-1]
    return JsonText(f"{{{inner},{more}}}" if inner.strip() and more else f"{{{inner}{more}}}")


def _fields(raw: str) -> Iterator[tuple[str, str]]:
    """Yield each field of a JSON object: its name, and the unchanged text of name and value."""
    at = _after_space(raw, raw.index("{") + 1)
    while raw[at] != "}":
        name, end = decode(raw, at)
        value_at = _after_space(raw, raw.index(":", end) + 1)
        _, end = decode(raw, value_at)
        yield name, raw[at:end]
        at = _after_space(raw, end)
        at = _after_space(raw, at + 1) if raw[at] == "," else at


def _hit(hit: Hit, sources: list[tuple[Any, JsonText]]) -> tuple[Hit, JsonText]:
    if "_source" not in hit:
        return hit, JsonText()
    value, raw = sources[hit["_source"]]
    return {**hit, "_source": value}, raw


def _after_space(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


class _Text:
    """A serializer that leaves an answer as it is."""

    def loads(self, text: str, _mimetype: str | None = None) -> str:
        """Return the text itself."""
        return text


def _as_text(
    client: OpenSearch, method: str, path: str, body: Mapping[str, Any], params: Mapping[str, str]
) -> str:
    """Send a request over the client's own connections and return its answer unread."""
    transport = copy(client.transport)
    transport.deserializer = _Text()  # type: ignore[assignment]
    answer: str = transport.perform_request(method, path, params=dict(params), body=dict(body))
    return answer
