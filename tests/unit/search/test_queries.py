"""Request bodies are plain data: no server needed to check them."""

import pytest

from ce2de_os.errors import DataError
from ce2de_os.search import queries

ENGLISH = {"term": {"lang": "en"}}
RECENT = {"range": {"year": {"gte": 2020}}}


class TestClip:
    def test_a_question_of_usual_length_is_left_alone(self):
        assert queries.clip("how do I copy a folder?", fields=2) == "how do I copy a folder?"

    @pytest.mark.parametrize(("fields", "kept"), [(1, 512), (2, 256), (8, 64)])
    def test_words_times_fields_stay_below_half_the_clause_limit(self, fields, kept):
        assert len(queries.clip("word " * 5000, fields).split()) == kept
        assert kept * fields <= queries.MAX_CLAUSES / 2

    def test_words_are_counted_as_analyzers_count_them(self):
        assert queries.clip("a/b," * 1000, fields=2) == ("a/b," * 1000)[: 256 * 2]

    def test_where_words_have_no_spaces_each_character_counts(self):
        assert queries.clip("検索" * 5000, fields=2) == "検索" * 128

    def test_one_long_word_is_one_word(self):
        assert queries.clip("x" * 100_000, fields=2) == "x" * 100_000

    @pytest.mark.parametrize("text", ["", "   ", "!?", "🙂🙂"])
    def test_no_words_at_all(self, text):
        assert queries.clip(text, fields=2) == text

    def test_lone_surrogates_are_replaced(self):
        assert queries.clip("copy \ud800 🙂", fields=2) == "copy ? 🙂"

    def test_more_fields_than_clauses_still_leave_nothing_negative(self):
        assert queries.clip("two words", fields=5000) == "two"  # OpenSearch says what is wrong


class TestFilters:
    @pytest.mark.parametrize(
        ("filters", "expected"),
        [(None, []), ([], []), ({}, []), (ENGLISH, [ENGLISH]), ([ENGLISH, RECENT], [ENGLISH, RECENT])],
    )
    def test_one_several_or_none(self, filters, expected):
        assert queries.as_filters(filters) == expected

    @pytest.mark.parametrize("filters", ["lang:en", ["lang:en"], [ENGLISH, 3], 7, [{}]])
    def test_anything_else_is_refused_with_an_example(self, filters):
        with pytest.raises(DataError, match=r"filters: got .*, expected OpenSearch queries such as"):
            queries.as_filters(filters)


def test_filters_stand_in_both_legs_and_score_nothing():
    lexical = queries.filtered(queries.default_lexical("copy a folder", ["title", "body"]), [ENGLISH])
    dense = queries.dense_query([0.6, 0.8], "vector", 100, [ENGLISH])

    assert lexical["bool"]["filter"] == [ENGLISH]
    assert lexical["bool"]["must"][0]["multi_match"]["query"] == "copy a folder"
    assert dense["knn"]["vector"]["filter"] == {"bool": {"filter": [ENGLISH]}}


def test_without_filters_the_bodies_are_bare():
    assert set(queries.filtered(queries.default_lexical("copy", ["title"]), [])) == {"multi_match"}
    assert queries.dense_query([0.6, 0.8], "vector", 100, []) == {
        "knn": {"vector": {"vector": [0.6, 0.8], "k": 100}}
    }


def test_passages_are_searched_in_their_nested_field():
    dense = queries.dense_query([0.6, 0.8], "passages", 100, [ENGLISH], passages=True)
    assert dense["nested"]["path"] == "passages"
    assert dense["nested"]["score_mode"] == "max"
    assert dense["nested"]["query"]["knn"]["passages.vector"]["filter"] == {"bool": {"filter": [ENGLISH]}}


def test_the_best_passage_is_looked_for_among_the_documents_found_alone():
    query = queries.best_passage([0.6, 0.8], "passages", ["a", "b"])
    knn = query["nested"]["query"]["knn"]["passages.vector"]
    assert (knn["k"], knn["filter"]) == (2, {"bool": {"filter": [{"ids": {"values": ["a", "b"]}}]}})
    assert query["nested"]["inner_hits"]["size"] == 1
