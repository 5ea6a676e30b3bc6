"""Convert Haystack's filters to OpenSearch queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ce2de_os.errors import DataError

_RANGES = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_GROUPS = {"AND": "filter", "OR": "should", "NOT": "must_not"}
_NOTHING: dict[str, Any] = {"match_none": {}}
_OPERATORS = ("==", "!=", *_RANGES, "in", "not in", *_GROUPS)


def opensearch_filter(filters: object) -> Any:  # noqa: ANN401 - a query, or several
    """Convert ``filters`` to an OpenSearch query; OpenSearch's own queries are returned as they are.

    ``meta.lang`` and ``lang`` both mean the field ``lang``, and ``id`` the document's id. ``NOT`` of several
    conditions means: not all of them hold. ``==`` and ``in`` compare whole values, so they want keyword,
    number, date or boolean fields. As in Haystack, an ``OR`` of nothing and a comparison with ``None`` hold
    for no document.

    Raises:
        DataError: an operator is unknown, a key is missing, or a value is not of the operator's kind.
    """
    if isinstance(filters, list) and not any(map(_is_haystack, filters)):
        return filters  # OpenSearch's; the searcher checks them
    if not isinstance(filters, Mapping):
        raise DataError(
            f"filters: got {filters!r:.80}, expected one Haystack filter or OpenSearch query; join several "
            "with the operator AND"
        )
    return _query(filters) if _is_haystack(filters) else dict(filters)


def _is_haystack(filters: object) -> bool:
    return isinstance(filters, Mapping) and not filters.keys().isdisjoint(("operator", "conditions"))


def _query(filters: object) -> dict[str, Any]:
    if not isinstance(filters, Mapping) or "operator" not in filters:
        raise DataError(f"filters: got {filters!r:.80}, expected an object with 'operator'")
    operator = filters["operator"]
    if not isinstance(operator, str) or operator not in _OPERATORS:
        raise DataError(f"filters: got operator {operator!r:.40}, expected one of {', '.join(_OPERATORS)}")
    if operator in _GROUPS:
        return _group(operator, _value(filters, "conditions"))
    field = _value(filters, "field")
    if not isinstance(field, str) or not field:
        raise DataError(f"filters: got field {field!r:.80}, expected a name such as 'meta.lang'")
    field = "_id" if field == "id" else field.removeprefix("meta.")
    return _comparison(operator, field, _value(filters, "value"))


def _group(operator: str, conditions: object) -> dict[str, Any]:
    if not isinstance(conditions, list | tuple):
        raise DataError(f"filters: got conditions {conditions!r:.80}, expected a list")
    queries = [_query(condition) for condition in conditions]
    if operator == "OR" and not queries:
        return _NOTHING
    if operator == "NOT":
        return _bool("must_not", [_bool("filter", queries)])
    return _bool(_GROUPS[operator], queries)


def _comparison(operator: str, field: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    if operator in _RANGES:
        return _range(operator, field, value)
    compare = _among if operator in ("in", "not in") else _same
    same = compare(operator, field, value)
    return same if operator in ("==", "in") else _bool("must_not", [same])


def _range(operator: str, field: str, value: object) -> dict[str, Any]:
    if value is None:
        return _NOTHING
    if field == "_id" or isinstance(value, list | tuple | set | Mapping):
        raise DataError(
            f"filters: {operator} got {value!r:.80}, expected a number or a date in a field of meta"
        )
    return {"range": {field: {_RANGES[operator]: value}}}


def _among(operator: str, field: str, value: object) -> dict[str, Any]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise DataError(f"filters: {operator} got {value!r:.80}, expected a list of values")
    wanted = [one for one in value if one is not None]
    among = {"terms": {field: wanted}}
    return among if len(wanted) == len(value) else _bool("should", [among, _missing(field)])


def _same(operator: str, field: str, value: object) -> dict[str, Any]:
    if isinstance(value, list | tuple | set | Mapping):
        raise DataError(f"filters: {operator} got {value!r:.80}, expected one value; for several write 'in'")
    return _missing(field) if value is None else {"term": {field: value}}


def _value(filters: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - any JSON value
    if key not in filters:
        raise DataError(f"filters: '{key}' is missing next to the operator {filters['operator']!r:.40}")
    return filters[key]


def _missing(field: str) -> dict[str, Any]:
    return _bool("must_not", [{"exists": {"field": field}}])


def _bool(occurrence: str, queries: list[dict[str, Any]]) -> dict[str, Any]:
    return {"bool": {occurrence: queries}}
