"""What callers who are not trusted may ask of an index."""

from __future__ import annotations

import pytest

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.server.search import question_of

FILTER = {"term": {"lang": "en"}}


def test_options_are_those_of_a_question():
    question = question_of(
        {"text": "copy", "top_k": 3, "mode": "bm25", "filters": [FILTER, {"range": {"year": {"gte": 2020}}}],
         "fields": ["title^3", "body"], "source": False, "sort": ["year"], "min_score": 0.5}
    )  # fmt: skip
    question.check()
    assert (question.text, question.top_k, question.mode, question.source) == ("copy", 3, "bm25", False)
    assert question.filter_list == [FILTER, {"range": {"year": {"gte": 2020}}}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"top_k": 101}, "top_k: got 101, expected at most 100"),
        ({"top_k": 0}, "top_k: got 0, expected at least 1"),
        ({"top_k": "3"}, "top_k: got '3', expected a number"),
        ({"from_": 5000}, "from_: got 5000, expected at most 1,000"),
        ({"candidates": 10**6}, "candidates: got 1000000, expected at most 1,000"),
        ({"rerank_depth": 1e9}, "rerank_depth: got 1000000000.0, expected at most 100"),
        ({"lexical": {"match_all": {}}}, "lexical: no such option here"),
        ({"aggregations": {"a": {}}}, "aggregations: no such option here"),
        ({"timeout_ms": 10**9}, "timeout_ms: no such option here"),
        ({"mode": "magic"}, "mode: got 'magic', expected one of"),
        ({"sort": [{"_script": {}}]}, "sort: got .* expected a list of 1 to 20 names of fields"),
        ({"fields": ["f"] * 21}, "fields: got .* expected a list of 1 to 20 names of fields"),
        ({"source": {"includes": ["a"]}}, "source: got .* expected a list"),
        ({"highlight": "body"}, "highlight: got 'body', expected a list"),
        ({"explain": "yes"}, "explain: got 'yes', expected true or false"),
        ({"collapse": {"field": "a"}}, "collapse: got .* expected a text"),
        ({"language": 5}, "language: got 5, expected a text"),
        ({"filters": {"script": {"script": "1"}}}, "filters: got .* expected an object with one of term"),
        ({"filters": {"regexp": {"a": ".*"}}}, "filters: got .* expected an object with one of term"),
        ({"filters": [FILTER] * 21}, "filters: got 21, expected at most 20"),
        ({"filters": "lang"}, "filters: got 'lang', expected an object"),
        ({"filters": {"terms": {"a": ["x"] * 1001}}}, "filters: a list has more than 1,000 values"),
        ({"text": "x" * 10_001}, "text: got 10,001 characters, expected at most 10,000"),
        ({"text": " "}, "the query is empty; ask for at least one word"),
        ({"text": 5}, "the query: got 5, expected a string"),
        ({"text": None}, "the query: got None, expected a string"),
    ],
)
def test_what_is_beyond_a_limit(body, message):
    with pytest.raises((ConfigError, DataError), match=message):
        question_of({"text": "copy", **body}).check()


def test_a_question_without_a_text():
    with pytest.raises(DataError, match="the query is empty"):
        question_of({}).check()
