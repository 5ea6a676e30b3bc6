"""A request and its answer in one line, for people who replay a seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

_JOB = ("state", "truth", "owner", "cursor", "before", "fences", "error", "blocked_at_s", "last_error")
_CHARS = 300


def told(method: str, path: str, params: Mapping[str, Any], body: Any, status: int, answer: Any) -> str:
    """What was asked and answered, as short as it goes."""
    path = unquote(path)
    head = f"{method} {path}"
    if status >= 400 and isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        return f"{head} {_short(params)} -> {status} {answer['error']['type']}: {answer['error']['reason'][:120]}"
    if "/_bulk" in path:
        return f"{head} -> {', '.join(_items(body, answer))}"
    if "/_search" in path or "/_msearch" in path:
        return f"{head} {_asked(body)} -> {_hits(answer)}"
    if "ce2de-ledger" in path and "/_doc/" in path:
        given = _record(answer.get("_source", {})) if method == "GET" else _record(body)
        where = f" if {params['if_seq_no']}" if "if_seq_no" in params else ""
        return f"{head}{where} {given} -> {status} _seq_no {answer.get('_seq_no')}"
    if "_mget" in path:
        found = (f"{one['_id']}@{one.get('_seq_no')}v{one.get('_version')}" for one in answer["docs"])
        return f"{head} -> {', '.join(found)}"
    if "_stats" in path:
        shards = {
            name: {
                number: copies[0]["seq_no"]["global_checkpoint"]
                for number, copies in one.get("shards", {}).items()
            }
            for name, one in answer["indices"].items()
        }
        return f"{head} -> {shards}"
    if path in ("/_aliases",):
        return f"{head} {_short(body['actions'])} -> {status}"
    return f"{head} {_short(body) if body else ''} -> {status} {_short(answer)[:120] if method != 'HEAD' else ''}"


def _record(source: Any) -> str:
    record = dict(source) if isinstance(source, Mapping) else {}
    return " ".join(f"{key}={record[key]}" for key in _JOB if record.get(key) is not None)


def _items(body: Any, answer: Mapping[str, Any]) -> list[str]:
    text = body.decode() if isinstance(body, bytes) else body
    headers = [
        line
        for line in map(json.loads, filter(None, text.split("\n")))
        if len(line) == 1 and next(iter(line)) in ("index", "create", "update", "delete")
    ]
    found = []
    for header, item in zip(headers, answer["items"], strict=False):
        ((verb, given),) = header.items()
        result = item[verb]
        demand = {key: given[key] for key in ("version", "if_seq_no") if key in given}
        error = result.get("error", {}).get("type", "")
        found.append(
            f"{verb} {given.get('_id')} {demand or ''} {result['status']} {error}@{result.get('_seq_no')}"
        )
    return found


def _asked(body: Any) -> str:
    given = body if isinstance(body, Mapping) else {}
    return _short({key: given[key] for key in ("query", "aggs", "size") if key in given})[:160]


def _hits(answer: Any) -> str:
    if "responses" in answer:
        return " | ".join(_hits(one) for one in answer["responses"])
    hits = [f"{hit['_id']}@{hit.get('_seq_no', '')}" for hit in answer.get("hits", {}).get("hits", ())]
    sums = _short(answer["aggregations"]) if "aggregations" in answer else ""
    return f"{', '.join(hits)} {sums}".strip() or "nothing"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _CHARS else f"{text[:_CHARS]}…"
