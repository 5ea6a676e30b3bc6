"""Searches: what was refreshed, filtered, sorted, cut and shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from tests.simulation.aggregations import aggregated
from tests.simulation.indices import Index, Names
from tests.simulation.queries import compiled, values
from tests.simulation.refusals import NotModelledError, RefusedError
from tests.simulation.shards import Doc

_BODY = {
    "size", "from", "query", "sort", "seq_no_primary_term", "version", "track_total_hits", "_source", "aggs",
    "aggregations", "search_after", "docvalue_fields", "timeout", "stored_fields", "explain",
}  # fmt: skip
_PARAMS = {
    "preference", "allow_partial_search_results", "scroll", "size", "sort", "routing", "request_cache",
    "ignore_unavailable", "expand_wildcards", "allow_no_indices", "track_total_hits", "rest_total_hits_as_int",
    "filter_path", "timeout", "_source",
}  # fmt: skip
_SHARDS = re.compile(r"_shards:(\d+(?:,\d+)*)")

Hit = tuple[Index, int, Doc, float | None]


class Searches:
    """Answers searches; open scrolls are kept."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._scrolls: dict[str, tuple[list[dict[str, Any]], int]] = {}

    def count(
        self, expression: str, body: Mapping[str, Any] | None, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Answer ``_count``."""
        found = self._found(expression, (body or {}).get("query"), params)
        return {"count": len(found), "_shards": _shards(1)}

    def search(
        self, expression: str, body: Mapping[str, Any] | None, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Answer ``_search``."""
        body = body or {}
        unknown = (set(body) - _BODY) | (set(params) - _PARAMS)
        if unknown:
            raise NotModelledError(f"search with {sorted(unknown)}")
        found = self._found(expression, body.get("query"), params)
        size = int(params.get("size", body.get("size", 10)))
        start = int(body.get("from", 0))
        if start + size > 10_000 and "scroll" not in params:
            raise RefusedError(
                400, "search_phase_execution_exception",
                "Result window is too large, from + size must be less than or equal to: [10000] but was "
                f"[{size}]",
            )  # fmt: skip
        total = len(found)
        keys = _sort_keys(params.get("sort") or body.get("sort"))
        ordered = _ordered(found, keys, body.get("search_after"))
        scored = keys is None and "query" in body
        shown = ordered if "scroll" in params else ordered[start : start + size]
        hits = [_shown(hit, body, keys, scored) for hit in shown]
        answer: dict[str, Any] = {"took": 1, "timed_out": False, "_shards": _shards(1)}
        if "scroll" in params:
            scroll_id = f"scroll-{len(self._scrolls)}"
            self._scrolls[scroll_id] = (hits[size:], size)
            answer["_scroll_id"], hits = scroll_id, hits[:size]
        answer["hits"] = {"max_score": None, "hits": hits}
        if body.get("track_total_hits", True) is not False:
            answer["hits"]["total"] = {"value": total, "relation": "eq"}
        asked = body.get("aggs") or body.get("aggregations")
        if asked:
            answer["aggregations"] = aggregated([doc for _, _, doc, _ in found], asked)
        return answer

    def scroll(self, scroll_id: str) -> dict[str, Any]:
        """The next page of a scroll."""
        rest, size = self._scrolls[scroll_id]
        self._scrolls[scroll_id] = (rest[size:], size)
        return {"_scroll_id": scroll_id, "took": 1, "_shards": _shards(1), "hits": {"hits": rest[:size]}}

    def clear(self, scroll_ids: Sequence[str]) -> None:
        """Forget scrolls."""
        for scroll_id in scroll_ids:
            self._scrolls.pop(scroll_id, None)

    def _found(
        self, expression: str, query: Mapping[str, Any] | None, params: Mapping[str, Any]
    ) -> list[Hit]:
        score = compiled(query) if query else None
        preference = str(params.get("preference", ""))
        chosen = _SHARDS.search(preference)
        wanted = None if chosen is None else {int(number) for number in chosen[1].split(",")}
        strict = str(params.get("ignore_unavailable", "")).lower() != "true"
        hidden = (
            "hidden" in str(params.get("expand_wildcards", "")) or params.get("expand_wildcards") == "all"
        )
        found: list[Hit] = []
        for index in self._names.find(expression, hidden=hidden, strict=strict):
            index.refresh(self._names.now())
            filters = self._names.filters(expression, index)
            allowed = [compiled(one) for one in filters] if filters else None
            for number, shard in enumerate(index.shards):
                if wanted is not None and number not in wanted:
                    continue
                for doc in shard.visible:
                    points = 1.0 if score is None else score(doc)
                    if points is None or (allowed and all(one(doc) is None for one in allowed)):
                        continue
                    found.append((index, number, doc, points))
        return found


def _sort_keys(asked: Any) -> list[tuple[str, bool]] | None:
    if asked is None:
        return None
    keys = []
    for one in [asked] if isinstance(asked, (str, Mapping)) else asked:
        if isinstance(one, str):
            name, _, order = one.partition(":")
            keys.append((name, order == "desc"))
            continue
        ((name, how),) = one.items()
        order = how.get("order", "asc") if isinstance(how, Mapping) else how
        keys.append((name, order == "desc"))
    return keys


def _ordered(found: list[Hit], keys: list[tuple[str, bool]] | None, after: Sequence[Any] | None) -> list[Hit]:
    if keys is None:
        return sorted(found, key=lambda hit: -(hit[3] or 0.0))
    ordered = found
    for name, backwards in reversed(keys):
        ordered = sorted(ordered, key=lambda hit: _rank(hit, name, backwards))
    if after is not None:
        if len(keys) != 1:
            raise NotModelledError("search_after with several keys")
        name, backwards = keys[0]
        return [hit for hit in ordered if _after(_value(hit, name), after[0], backwards)]
    return ordered


def _rank(hit: Hit, name: str, backwards: bool) -> tuple[bool, Any]:
    value = _value(hit, name)
    if value is None:
        return True, 0
    return False, (-value if backwards and not isinstance(value, str) else value)


def _after(value: Any, bound: Any, backwards: bool) -> bool:
    return bool(value < bound if backwards else value > bound)


def _value(hit: Hit, name: str) -> Any:
    if name in ("_doc", "_shard_doc"):
        return 0
    if name == "_score":
        return hit[3]
    return next(iter(values(hit[2], name)), None)


def _shown(
    hit: Hit, body: Mapping[str, Any], keys: list[tuple[str, bool]] | None, scored: bool
) -> dict[str, Any]:
    index, shard, doc, score = hit
    found: dict[str, Any] = {"_index": index.name, "_id": doc.doc_id, "_score": score if scored else None}
    if doc.routing is not None:
        found["_routing"] = doc.routing
    if body.get("seq_no_primary_term"):
        found |= {"_seq_no": doc.seq_no, "_primary_term": doc.term}
    if body.get("explain"):
        found |= {"_shard": f"[{index.name}][{shard}]", "_node": "node-1"}
    if body.get("version"):
        found["_version"] = doc.version
    wanted = body.get("_source", True)
    if wanted is not False and "stored_fields" not in body:
        found["_source"] = source_of(doc, wanted)
    if body.get("docvalue_fields"):
        named = [one["field"] if isinstance(one, Mapping) else one for one in body["docvalue_fields"]]
        found["fields"] = {name: values(doc, name) for name in named if values(doc, name)}
    if keys is not None:
        found["sort"] = [_value(hit, name) for name, _ in keys]
    return found


def source_of(doc: Doc, wanted: Any) -> dict[str, Any]:
    """The ``_source``, which nobody may change, or a copy of the fields that are wanted."""
    source = doc.source
    if wanted is True:
        return source
    if isinstance(wanted, str):
        wanted = wanted.split(",")
    includes = wanted if isinstance(wanted, list) else wanted.get("includes", ["*"])
    excludes = [] if isinstance(wanted, list) else wanted.get("excludes", [])
    return _kept(source, "", list(includes), list(excludes))


def _kept(node: Mapping[str, Any], prefix: str, includes: list[str], excludes: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.items():
        path = f"{prefix}{key}"
        if any(fnmatchcase(path, one) for one in excludes):
            continue
        if any(fnmatchcase(path, one) or path.startswith(f"{one}.") for one in includes):
            found[key] = value
        elif isinstance(value, Mapping) and any(one.startswith(f"{path}.") for one in includes):
            found[key] = _kept(value, f"{path}.", includes, excludes)
    return found


def _shards(total: int) -> dict[str, int]:
    return {"total": total, "successful": total, "skipped": 0, "failed": 0}
