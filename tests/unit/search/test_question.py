"""What a question refuses, and what follows from its fields."""

import numpy as np
import pytest

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.fusion import LowerBound
from ce2de_os.search.question import Question, QuestionOptions


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"top_k": 0}, "top_k: got 0, expected 1 to 10000"),
        ({"from_": -1}, "from_: got -1, expected 0 to 9999"),
        ({"candidates": 10_001}, "candidates: got 10001, expected 1 to 10000"),
        ({"dense_weight": float("nan")}, "dense_weight: got nan, expected 0 to 1"),
        ({"rerank_depth": -1}, "rerank_depth: got -1"),
        ({"top_k": "3"}, "top_k: got '3', expected a number"),
        ({"top_k": 3.5}, "top_k: got 3.5, expected a whole number"),
        ({"min_score": "0.5"}, "min_score: got '0.5', expected a number"),
        ({"min_score": float("nan")}, "min_score: got nan"),
        ({"rerank_deadline_ms": -1}, "rerank_deadline_ms: got -1"),
        ({"timeout_ms": 0}, "timeout_ms: got 0, expected at least 1"),
        ({"mode": "sparse"}, "mode: got 'sparse'"),
        ({"fusion": "l2", "lower_bounds": (LowerBound(), None)}, "only fusion 'min_max' has them"),
        ({"sort": ["year"], "rerank_depth": 10}, "sort and rerank_depth exclude each other"),
        ({"sort": ["year"], "min_score": 0.5}, "sort and min_score exclude each other"),
        ({"rerank_deadline_ms": 50, "from_": 10}, "leave it out together with from_"),
    ],
)
def test_options_outside_their_bounds_or_against_each_other(options, told):
    with pytest.raises(ConfigError) as raised:
        Question("copy", **options).check()
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"filters": "lang:en"}, "filters: got 'lang:en'"),
        ({"lexical": "copy"}, "lexical: got 'copy', expected an OpenSearch object"),
        ({"lexical": {}}, "lexical: got {}"),
        ({"aggregations": ["lang"]}, "aggregations: got"),
        ({"fields": "title"}, "fields: got 'title', expected a list such as"),
        ({"fields": []}, "fields: got []"),
        ({"highlight": "body"}, "highlight: got 'body', expected a list such as"),
        ({"lower_bounds": ({"mode": "apply", "min_score": 0.1}, None)}, "each ce2de_os.LowerBound or None"),
        ({"lower_bounds": (LowerBound(), None, None)}, "each ce2de_os.LowerBound or None"),
    ],
)
def test_what_is_no_opensearch_object(options, told):
    with pytest.raises(DataError) as raised:
        Question("copy", **options).check()
    assert told in str(raised.value)


@pytest.mark.parametrize("text", [None, 5, b"copy", ["copy"]])
def test_a_text_that_is_none(text):
    with pytest.raises(DataError, match=r"the query: got .*, expected a string"):
        Question(text).check()


def test_numbers_of_numpy_are_numbers():
    Question("copy", top_k=np.int64(3), min_score=np.float32(0.5)).check()


@pytest.mark.parametrize("text", ["", "  \n\t "])
def test_a_blank_text_is_refused_unless_the_words_stand_elsewhere(text):
    with pytest.raises(DataError, match="the query is empty"):
        Question(text).check()
    Question(text, mode="bm25", lexical={"match_all": {}}).check()


def test_every_page_of_a_question_has_the_same_depth():
    pages = [Question("copy", top_k=10, from_=start, candidates=50) for start in range(0, 500, 10)]
    assert {page.depth for page in pages} == {50}
    assert Question("copy", top_k=70, candidates=50).depth == 70


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({}, (0.5, 0.5)),
        ({"dense_weight": 0.25}, (0.75, 0.25)),
        ({"fusion": "rrf"}, None),
        ({"fusion": "rrf", "dense_weight": 0.25}, (0.75, 0.25)),
    ],
)
def test_weights(options, weights):
    assert Question("copy", **options).weights == weights


@pytest.mark.parametrize("boost", ["2", "2.5", "1e3", ".5", "5.", "0", "1E-3"])
def test_boosts_that_opensearch_takes(boost):
    Question("x", fields=[f"title^{boost}", "body"]).check()


@pytest.mark.parametrize("boost", ["", "x", "-1", "inf", "NaN", "1e99", "1_0", "1^2", "\u0663"])
def test_boosts_that_are_none(boost):
    with pytest.raises(DataError, match=r"fields: got 'title\^.*', expected a boost as in 'title\^3'"):
        Question("x", fields=["body", f"title^{boost}"]).check()


def test_an_unknown_option_is_told_with_those_there_are():
    with pytest.raises(ConfigError, match="size: no such search option; there are top_k, from_, mode, "):
        Question("copy").changed({"size": 3})


def test_the_keywords_are_the_questions_fields():
    assert set(QuestionOptions.__annotations__) == set(Question.__dataclass_fields__) - {"text"}


@pytest.mark.parametrize(("language", "code"), [(None, None), ("it-IT", "it"), ("deu", "de"), ("other",) * 2])
def test_a_language_may_be_written_in_several_ways(language, code):
    question = Question("copy", language=language)
    question.check()
    assert question.language_code == code


@pytest.mark.parametrize("language", ["klingon", "", 7])
def test_a_language_that_is_none(language):
    with pytest.raises(ConfigError, match=f"language: got '{language}', expected a code such as en"):
        Question("copy", language=language).check()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"collapse": {"field": "group"}},
            "collapse: got {'field': 'group'}, expected the name",
        ),
        ({"vector_field": 5}, "vector_field: got 5"),
        ({"source": None}, "source: got None, expected True, False, a list"),
        ({"source": 5}, "source: got 5"),
        ({"source": {"include": ["a"]}}, "source: got {'include'"),
        ({"source": {"includes": 5}}, "source: got {'includes': 5}"),
        ({"highlight": 5}, "highlight: got 5, expected a list"),
        ({"highlight": "body"}, "highlight: got 'body', expected a list"),
        ({"fields": [1]}, "fields: got [1], expected a list"),
        ({"fields": {"title": 3}}, "fields: got {'title': 3}, expected a list"),
        (
            {"lower_bounds": (None, LowerBound("apply", 0.5))},
            "and the mode 'apply' or 'clip'",
        ),
        (
            {"lower_bounds": (None, LowerBound(0.5, "floor"))},
            "and the mode 'apply' or 'clip'",
        ),
        ({"explain": "yes"}, "explain: got 'yes', expected True or False"),
        ({"aggregations": []}, "aggregations: got []"),
    ],
)
def test_values_of_another_kind_are_named(options, told):
    with pytest.raises(DataError) as raised:
        Question("copy", **options).check()
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"top_k": 10_001}, "top_k: got 10001, expected 1 to 10000"),
        ({"from_": 10_000}, "from_: got 10000, expected 0 to 9999"),
        ({"from_": 9_991}, "from_ and top_k: got 9,991 and 10, expected at most 10,000 together"),
        ({"top_k": True}, "top_k: got True, expected a number"),
        ({"timeout_ms": 1.5}, "timeout_ms: got 1.5, expected a whole number"),
        ({"rrf_k": 60.5}, "rrf_k: got 60.5, expected a whole number"),
    ],
)
def test_the_limits_that_opensearch_has(options, told):
    with pytest.raises(ConfigError) as raised:
        Question("copy", **options).check()
    assert told in str(raised.value)


def test_what_is_at_the_limit_is_allowed():
    Question("copy", top_k=10_000).check()
    Question("copy", top_k=1, from_=9_999).check()


def test_a_question_can_be_a_key():
    one, other = Question("copy", filters={"term": {"a": 1}}), Question("copy", filters={"term": {"a": 1}})
    assert {one: 7}[other] == 7
