"""What a cluster says of its plugins."""

import numpy as np
import pytest

from ce2de_os.errors import IndexSchemaError
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.search.target import Target, _version_on, embedded_in, query_vector


@pytest.mark.parametrize(
    ("plugins", "version"),
    [
        ({"opensearch-neural-search": "3.6.0.0", "opensearch-knn": "3.6.0.0"}, (3, 6)),
        ({"opensearch-neural-search": "2.19.1.0"}, (2, 19)),
        ({"opensearch-neural-search": "10.0.0.0-SNAPSHOT"}, (10, 0)),
        ({"opensearch-knn": "3.6.0.0"}, None),
        ({}, None),
    ],
)
def test_version_of_neural_search(plugins, version):
    listed = [{"name": name, "version": number} for name, number in plugins.items()]
    assert _version_on({"plugins": listed}) == version


@pytest.mark.parametrize(
    ("bytes_in", "numbers"), [(frozenset(), [0.6, -0.8]), (frozenset(["vector"]), [76, -102])]
)
def test_a_query_s_numbers_are_of_the_field_s_kind(bytes_in, numbers):
    """0.6 * 127 = 76.2 and 0.8 * 127 = 101.6."""
    metadata = IndexMetadata("vector", ("title",), "a" * 64, 2, "m", "articles")
    target = Target("articles", frozenset(), 1, ("title",), (), (metadata,), bytes_in)
    assert query_vector(target, metadata, np.array([0.6, -0.8], dtype=np.float32)) == numbers


SPOKEN = IndexMetadata("v", ("title", "body"), "a" * 64, 2, "m", "articles", languages=("en", "it"))
PLAIN = IndexMetadata("w", ("title", "body"), "b" * 64, 2, "m", "articles")


def target(*embedded):
    return Target("articles", frozenset(), 1, ("title", "body"), (), embedded)


def test_a_model_s_own_vectors_come_before_newer_ones_of_its_space():
    first, second = (
        IndexMetadata(field, ("title",), digit * 64, 2, "m", "articles", "c" * 64)
        for field, digit in (("v", "a"), ("w", "b"))
    )
    both = target(first, second)
    assert embedded_in(both, "c" * 64, fingerprint="a" * 64) == first
    assert embedded_in(both, "c" * 64, fingerprint="b" * 64) == second
    assert embedded_in(both, "c" * 64, fingerprint="e" * 64) == second  # a third one of the space may ask
    assert embedded_in(both, "c" * 64) == second
    assert embedded_in(both, "c" * 64, "w", fingerprint="a" * 64) == second  # it was named


def test_words_are_searched_in_the_field_of_each_language():
    fields = ["v_text.en", "v_text.it", "v_text.other"]
    best = {"query": "libro", "fields": fields, "type": "best_fields", "lenient": True}
    assert target(SPOKEN).lexical("libro", None) == {"multi_match": best}
    one = target(SPOKEN).lexical("libro", None, "it")["multi_match"]
    assert one["fields"] == ["v_text.it"]


def test_own_fields_come_before_the_languages():
    found = target(SPOKEN).lexical("libro", ["title^3"], "it")["multi_match"]
    assert (found["fields"], found["type"]) == (["title^3"], "most_fields")


@pytest.mark.parametrize("embedded", [(), (PLAIN,), (SPOKEN, PLAIN)])
def test_without_languages_in_the_newest_field_the_text_is_searched_as_it_is(embedded):
    assert target(*embedded).lexical("libro", None)["multi_match"]["fields"] == ["title", "body"]


def test_a_question_is_cut_to_what_so_many_fields_bear():
    """1024 clauses, half of them free: 512 // 3 words for two languages and the rest."""
    words = target(SPOKEN).lexical("word " * 600, None)["multi_match"]["query"].split()
    assert len(words) == 512 // 3


def test_a_language_is_a_filter():
    assert target(SPOKEN).language_filter("it") == {"term": {"v_language": "it"}}
    assert target(SPOKEN).language_filter("other") == {"term": {"v_language": "other"}}


@pytest.mark.parametrize(
    ("embedded", "language", "there"),
    [((SPOKEN,), "fr", "en, it, other"), ((PLAIN,), "it", "none"), ((), "other", "none")],
)
def test_a_language_that_is_not_there(embedded, language, there):
    with pytest.raises(IndexSchemaError, match=f"in '{language}', only in: {there}; embed the index"):
        target(*embedded).language_filter(language)
