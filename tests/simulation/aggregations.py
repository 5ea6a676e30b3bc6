"""Aggregations over the documents that a search found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.simulation.queries import compiled, values
from tests.simulation.refusals import NotModelledError, RefusedError
from tests.simulation.shards import Doc

_MOST_BUCKETS = 65_535


def aggregated(docs: Sequence[Doc], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to ``aggs``."""
    return {name: _one(docs, body) for name, body in asked.items()}


def _one(docs: Sequence[Doc], body: Mapping[str, Any]) -> dict[str, Any]:
    below = body.get("aggs") or body.get("aggregations") or {}
    kinds = [key for key in body if key not in ("aggs", "aggregations")]
    if len(kinds) != 1:
        raise NotModelledError(f"aggregation with {kinds}")
    maker = _KINDS.get(kinds[0])
    if maker is None:
        raise NotModelledError(f"aggregation {kinds[0]}")
    return maker(docs, body[kinds[0]], below)


def _bucket(docs: Sequence[Doc], below: Mapping[str, Any], **key: Any) -> dict[str, Any]:
    return {**key, "doc_count": len(docs), **aggregated(docs, below)}


def _numbers(docs: Sequence[Doc], body: Mapping[str, Any]) -> list[float]:
    return [float(value) for doc in docs for value in values(doc, body["field"])]


def _sum(docs: Sequence[Doc], body: Mapping[str, Any], _below: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": float(sum(_numbers(docs, body)))}


def _least(docs: Sequence[Doc], body: Mapping[str, Any], _below: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": min(_numbers(docs, body), default=None)}


def _most(docs: Sequence[Doc], body: Mapping[str, Any], _below: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": max(_numbers(docs, body), default=None)}


def _count(docs: Sequence[Doc], body: Mapping[str, Any], _below: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": sum(len(values(doc, body["field"])) for doc in docs)}


def _stats(docs: Sequence[Doc], body: Mapping[str, Any], _below: Mapping[str, Any]) -> dict[str, Any]:
    found = _numbers(docs, body)
    total = float(sum(found))
    return {
        "count": len(found), "min": min(found, default=None), "max": max(found, default=None),
        "avg": total / len(found) if found else None, "sum": total,
    }  # fmt: skip


def _extended(docs: Sequence[Doc], body: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    squares = float(sum(one * one for one in _numbers(docs, body)))
    return {**_stats(docs, body, below), "sum_of_squares": squares}


def _histogram(docs: Sequence[Doc], body: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    _known("histogram", body, {"field", "interval", "offset", "min_doc_count", "hard_bounds"})
    interval, offset = float(body["interval"]), float(body.get("offset", 0))
    bounds = body.get("hard_bounds", {})
    groups: dict[float, list[Doc]] = {}
    for doc in docs:
        for value in values(doc, body["field"]):
            key = math.floor((value - offset) / interval) * interval + offset
            if bounds.get("min", -math.inf) <= key <= bounds.get("max", math.inf):
                groups.setdefault(key, []).append(doc)
    keys = sorted(groups)
    least = int(body.get("min_doc_count", 0))
    if not least and keys:
        keys = [keys[0] + step * interval for step in range(round((keys[-1] - keys[0]) / interval) + 1)]
    if len(keys) > _MOST_BUCKETS:
        raise RefusedError(503, "search_phase_execution_exception", "Trying to create too many buckets.")
    buckets = [_bucket(groups.get(key, []), below, key=key) for key in keys]
    return {"buckets": [bucket for bucket in buckets if bucket["doc_count"] >= least]}


def _range(docs: Sequence[Doc], body: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    _known("range", body, {"field", "ranges", "keyed"})
    buckets = {}
    for bounds in body["ranges"]:
        low, high = bounds.get("from", -math.inf), bounds.get("to", math.inf)
        inside = [doc for doc in docs if any(low <= value < high for value in values(doc, body["field"]))]
        key = bounds.get("key") or f"{_told(low)}-{_told(high)}"
        edges = {name: float(bounds[name]) for name in ("from", "to") if name in bounds}
        buckets[key] = _bucket(inside, below, key=key, **edges)
    if body.get("keyed"):
        return {"buckets": buckets}
    return {
        "buckets": sorted(
            buckets.values(), key=lambda one: (one.get("from", -math.inf), one.get("to", math.inf))
        )
    }


def _terms(docs: Sequence[Doc], body: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    _known("terms", body, {"field", "size", "order", "min_doc_count"})
    counted = Counter(value for doc in docs for value in set(values(doc, body["field"])))
    by_key = body.get("order") == {"_key": "asc"}
    ordered = sorted(counted, key=lambda key: (0 if by_key else -counted[key], key))
    shown = ordered[: int(body.get("size", 10))]
    buckets = [
        _bucket([doc for doc in docs if key in values(doc, body["field"])], below, key=key) for key in shown
    ]
    return {"sum_other_doc_count": sum(counted[key] for key in ordered[len(shown) :]), "buckets": buckets}


def _filter(docs: Sequence[Doc], body: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    score = compiled(body)
    return _bucket([doc for doc in docs if score(doc) is not None], below)


def _filters(docs: Sequence[Doc], body: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    _known("filters", body, {"filters"})
    if isinstance(body["filters"], Mapping):
        return {"buckets": {key: _filter(docs, one, below) for key, one in body["filters"].items()}}
    return {"buckets": [_filter(docs, one, below) for one in body["filters"]]}


def _missing(docs: Sequence[Doc], body: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    return _bucket([doc for doc in docs if not values(doc, body["field"])], below)


def _known(kind: str, body: Mapping[str, Any], names: set[str]) -> None:
    unknown = set(body) - names
    if unknown:
        raise NotModelledError(f"{kind} with {sorted(unknown)}")


def _told(bound: float) -> str:
    return "*" if math.isinf(bound) else str(float(bound))


_Maker = Callable[[Sequence[Doc], Any, Mapping[str, Any]], dict[str, Any]]
_KINDS: dict[str, _Maker] = {
    "sum": _sum, "min": _least, "max": _most, "value_count": _count, "stats": _stats, "extended_stats": _extended,
    "histogram": _histogram, "range": _range, "terms": _terms, "filter": _filter, "filters": _filters,
    "missing": _missing,
}  # fmt: skip
