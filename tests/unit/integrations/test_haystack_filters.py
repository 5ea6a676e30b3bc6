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
        (condition("==", "d1", "id"), {"term": {"_id": "d1"}}),
        (condition("in", ["d1"], "id"), {"terms": {"_id": ["d1"]}}),
        (condition("==", "own", "meta.id"), {"term": {"id": "own"}}),
        ({"operator": "OR", "conditions": []}, {"match_none": {}}),
        ({"operator": "AND", "conditions": []}, {"bool": {"filter": []}}),
        (condition(">", None), {"match_none": {}}),
        (
            condition("in", [1990, None]),
            {
                "bool": {
                    "should": [
                        {"terms": {"year": [1990]}},
                        {"bool": {"must_not": [{"exists": {"field": "year"}}]}},
                    ]
                }
            },
        ),
        ([{"term": {"lang": "en"}}], [{"term": {"lang": "en"}}]),  # OpenSearch's too
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
        (condition("in", "it"), "in got 'it', expected a list of values"),
        (condition("in", None), "in got None, expected a list of values"),
        (condition("not in", {"a": 1}), "expected a list of values"),
        (condition("==", ["it"]), "== got .*, expected one value; for several write 'in'"),
        (condition(">", [1]), "> got .*, expected a number or a date"),
        (condition("<", "d1", "id"), "expected a number or a date in a field of meta"),
        ({"operator": "AND", "conditions": condition("==", 1)}, "got conditions {.*, expected a list"),
        ({"operator": "AND", "conditions": None}, "got conditions None, expected a list"),
        ({"operator": "AND", "conditions": ["x"]}, "got 'x', expected an object with 'operator'"),
        ({"operator": "AND", "conditions": [{"term": {"a": 1}}]}, "expected an object with 'operator'"),
        ({"operator": ["AND"], "conditions": []}, "got operator .*, expected one of"),
        ({"conditions": []}, "expected an object with 'operator'"),
        (condition("==", 1, None), "got field None, expected a name"),
        ([condition("==", 1)], "expected one Haystack filter or OpenSearch query; join several"),
        ("lang", "got 'lang', expected one Haystack filter"),
        ({"operator": "==", "field": "x"}, "'value' is missing next to the operator '=='"),
    ],
)
def test_what_is_wrong_is_named(filters, told):
    with pytest.raises(DataError, match=told):
        opensearch_filter(filters)
