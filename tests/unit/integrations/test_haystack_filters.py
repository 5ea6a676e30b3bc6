from __future__ import annotations

import pytest

from ce2de_os.errors import DataError
from ce2de_os.integrations.haystack_filters import opensearch_filter


def condition(operator, value, field="meta.year"):
    return {"field": field, "operator": operator, "value": value}


TERM = {"term": {"year": 1990}}


@pytest.mark.parametrize(
    ("filters", "query"),
    [
        ({"term": {"lang": "en"}}, {"term": {"lang": "en"}}),  # OpenSearch's already
        (condition("==", 1990), TERM),
        (condition("==", 1990, "year"), TERM),
        (condition("==", None), {"bool": {"must_not": [{"exists": {"field": "year"}}]}}),
        (condition("!=", 1990), {"bool": {"must_not": [TERM]}}),
        (condition(">=", 1990), {"range": {"year": {"gte": 1990}}}),
        (condition("<", 1990), {"range": {"year": {"lt": 1990}}}),
        (condition("in", [1990]), {"terms": {"year": [1990]}}),
        (condition("not in", [1990]), {"bool": {"must_not": [{"terms": {"year": [1990]}}]}}),
        ({"operator": "AND", "conditions": [condition("==", 1990)]}, {"bool": {"filter": [TERM]}}),
        ({"operator": "OR", "conditions": [condition("==", 1990)]}, {"bool": {"should": [TERM]}}),
        (
            {"operator": "NOT", "conditions": [condition("==", 1990)]},
            {"bool": {"must_not": [{"bool": {"filter": [TERM]}}]}},
        ),
    ],
)
def test_filters(filters, query):
    assert opensearch_filter(filters) == query


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        (condition("like", "x"), "got operator 'like', expected one of ==, !="),
        ({"operator": "AND"}, "'conditions' is missing next to the operator 'AND'"),
        ({"operator": "==", "field": "x"}, "'value' is missing next to the operator '=='"),
    ],
)
def test_what_is_wrong_is_named(filters, told):
    with pytest.raises(DataError, match=told):
        opensearch_filter(filters)
