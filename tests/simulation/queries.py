"""Queries: each becomes a function that scores a document, or gives ``None`` if it does not match."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.simulation.refusals import NotModelledError
from tests.simulation.shards import Doc

Score = Callable[[Doc], float | None]
_WORD = re.compile(r"\w+")


def values(doc: Doc, field: str) -> list[Any]:
    """The values of a field, in a flat list without nulls."""
    if field == "_seq_no":
        return [doc.seq_no]
    if field == "_id":
        return [doc.doc_id]
    if field == "_routing":
        return [] if doc.routing is None else [doc.routing]
    return _at(doc.source, field)


def _at(node: Any, path: str) -> list[Any]:
    if isinstance(node, list):
        return [value for element in node for value in _at(element, path)]
    if not isinstance(node, Mapping):
        return []
    if path in node:
        value = node[path]
        flat = value if isinstance(value, list) else [value]
        return [one for one in flat if one is not None]
    head, _, rest = path.partition(".")
    return _at(node[head], rest) if rest and head in node else []


def compiled(query: Mapping[str, Any]) -> Score:
    """A query as a function of a document."""
    if len(query) != 1:
        raise NotModelledError(f"query with {sorted(query)}")
    ((kind, body),) = query.items()
    maker = _KINDS.get(kind)
    if maker is None:
        raise NotModelledError(f"query {kind}")
    return maker(body)


def _match_all(_body: Mapping[str, Any]) -> Score:
    return lambda _doc: 1.0


def _match_none(_body: Mapping[str, Any]) -> Score:
    return lambda _doc: None


def _range(body: Mapping[str, Any]) -> Score:
    ((field, bounds),) = body.items()
    unknown = set(bounds) - {"gt", "gte", "lt", "lte"}
    if unknown:
        raise NotModelledError(f"range with {sorted(unknown)}")
    low, high = bounds.get("gt"), bounds.get("lt")
    least, most = bounds.get("gte"), bounds.get("lte")

    def inside(value: Any) -> bool:
        return (
            (low is None or value > low)
            and (high is None or value < high)
            and (least is None or value >= least)
            and (most is None or value <= most)
        )

    return lambda doc: 1.0 if any(map(inside, values(doc, field))) else None


def _ids(body: Mapping[str, Any]) -> Score:
    wanted = set(body["values"])
    return lambda doc: 1.0 if doc.doc_id in wanted else None


def _term(body: Mapping[str, Any]) -> Score:
    ((field, value),) = body.items()
    wanted = value["value"] if isinstance(value, Mapping) else value
    return lambda doc: 1.0 if wanted in values(doc, field) else None


def _terms(body: Mapping[str, Any]) -> Score:
    ((field, wanted),) = body.items()
    return lambda doc: 1.0 if any(one in wanted for one in values(doc, field)) else None


def _exists(body: Mapping[str, Any]) -> Score:
    field = body["field"]
    return lambda doc: 1.0 if values(doc, field) else None


def _nested(body: Mapping[str, Any]) -> Score:
    return compiled(body["query"])  # of one condition only, so it does not matter which element has it


def _bool(body: Mapping[str, Any]) -> Score:
    unknown = set(body) - {"must", "filter", "should", "must_not", "minimum_should_match"}
    if unknown:
        raise NotModelledError(f"bool with {sorted(unknown)}")
    clauses = {key: _several(body.get(key, ())) for key in ("must", "filter", "should", "must_not")}
    least = int(body.get("minimum_should_match", 0 if clauses["must"] or clauses["filter"] else 1))

    def score(doc: Doc) -> float | None:
        if any(clause(doc) is not None for clause in clauses["must_not"]):
            return None
        if any(clause(doc) is None for clause in clauses["filter"]):
            return None
        scores = [clause(doc) for clause in clauses["must"]]
        if None in scores:
            return None
        found = [one for one in (clause(doc) for clause in clauses["should"]) if one is not None]
        if clauses["should"] and len(found) < least:
            return None
        return float(sum(one for one in scores if one is not None) + sum(found))

    return score


def _several(queries: Any) -> list[Score]:
    return [compiled(one) for one in ([queries] if isinstance(queries, Mapping) else queries)]


def _function_score(body: Mapping[str, Any]) -> Score:
    if set(body) - {"query", "random_score", "boost_mode"}:
        raise NotModelledError(f"function_score with {sorted(body)}")
    inner, seed = compiled(body.get("query", {"match_all": {}})), body["random_score"].get("seed", 0)

    def score(doc: Doc) -> float | None:
        if inner(doc) is None:
            return None
        return random.Random(f"{seed} {doc.seq_no}").random()

    return score


def _constant_score(body: Mapping[str, Any]) -> Score:
    return compiled(body["filter"])


def _multi_match(body: Mapping[str, Any]) -> Score:
    return _words(str(body["query"]), body["fields"])


def _match(body: Mapping[str, Any]) -> Score:
    ((field, value),) = body.items()
    return _words(str(value["query"] if isinstance(value, Mapping) else value), [field])


def _words(query: str, fields: Iterable[str]) -> Score:
    wanted = set(_WORD.findall(query.lower()))

    def score(doc: Doc) -> float | None:
        there = {
            word
            for field in fields
            for value in values(doc, field)
            for word in _WORD.findall(str(value).lower())
        }
        return float(len(wanted & there)) or None

    return score


_KINDS: dict[str, Callable[[Any], Score]] = {
    "match_all": _match_all, "match_none": _match_none, "range": _range, "ids": _ids, "term": _term,
    "terms": _terms, "exists": _exists, "nested": _nested, "bool": _bool, "function_score": _function_score,
    "constant_score": _constant_score, "multi_match": _multi_match, "match": _match,
}  # fmt: skip
