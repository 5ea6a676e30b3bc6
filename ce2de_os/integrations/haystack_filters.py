"""Convert Haystack's filters to OpenSearch queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ce2de_os.errors import DataError

_RANGES = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_GROUPS = {"AND": "filter", "OR": "should", "NOT": "must_not"}
_OPERATORS = ("==", "!=", *_RANGES, "in", "not in", *_GROUPS)


def opensearch_filter(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Convert ``filters`` to an OpenSearch query; an OpenSearch query is returned as it is.

    ``meta.lang`` and ``lang`` both mean the field ``lang``. ``NOT`` of several conditions means: not all of
    them hold. ``==`` and ``in`` compare whole values, so they need keyword, number, date or boolean fields.

    Raises:
        DataError: an operator is unknown, or a key is missing.
    """
    if "operator" not in filters:
        return dict(filters)
    operator = filters["operator"]
    if operator in _GROUPS:
        return _group(operator, _value(filters, "conditions"))
    field = str(_value(filters, "field")).removeprefix("meta.")
    return _comparison(operator, field, _value(filters, "value"))


def _group(operator: str, conditions: list[Mapping[str, Any]]) -> dict[str, Any]:
    queries = [opensearch_filter(condition) for condition in conditions]
    if operator == "NOT":
        return _bool("must_not", [_bool("filter", queries)])
    return _bool(_GROUPS[operator], queries)


def _comparison(operator: str, field: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    if operator in ("==", "!="):
        same = {"term": {field: value}} if value is not None else _bool("must_not", [_exists(field)])
        return same if operator == "==" else _bool("must_not", [same])
    if operator in ("in", "not in"):
        among = {"terms": {field: list(value)}}
        return among if operator == "in" else _bool("must_not", [among])
    if operator in _RANGES:
        return {"range": {field: {_RANGES[operator]: value}}}
    raise DataError(f"filters: got operator {operator!r:.40}, expected one of {', '.join(_OPERATORS)}")


def _value(filters: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - any JSON value
    if key not in filters:
        raise DataError(f"filters: '{key}' is missing next to the operator {filters['operator']!r:.40}")
    return filters[key]


def _exists(field: str) -> dict[str, Any]:
    return {"exists": {"field": field}}


def _bool(occurrence: str, queries: list[dict[str, Any]]) -> dict[str, Any]:
    return {"bool": {occurrence: queries}}
