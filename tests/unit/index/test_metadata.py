"""Reading and writing the ``_meta`` entry of a mapping; no server."""

from dataclasses import replace

import pytest

from ce2de_os.errors import IndexSchemaError
from ce2de_os.index.metadata import IndexMetadata, common_fields, fields_from

METADATA = IndexMetadata(
    vector_field="ce2de_vector",
    text_fields=("title", "body"),
    fingerprint="f" * 64,
    dim=384,
    model="student_en",
    source="articles",
)
SECOND = replace(METADATA, vector_field="v2", fingerprint="2" * 64)


def mapping(metadata, *others):
    return {"_meta": metadata.to_meta(others)}


def test_what_is_written_is_read():
    entry = mapping(METADATA)["_meta"]["ce2de"]["fields"]["ce2de_vector"]
    assert entry["text_fields"] == ["title", "body"]  # JSON knows no tuples
    assert fields_from(mapping(METADATA)) == (METADATA,)


def test_an_index_may_carry_the_vectors_of_two_models():
    assert fields_from(mapping(SECOND, METADATA)) == (METADATA, SECOND)


def test_the_same_field_is_described_once():
    changed = replace(METADATA, ready=False)
    assert fields_from(mapping(changed, METADATA)) == (changed,)


def test_vectors_of_a_space_may_be_several_models():
    shared = replace(METADATA, space="5" * 64)
    assert shared.holds("5" * 64)
    assert not shared.holds(METADATA.fingerprint)
    assert METADATA.holds(METADATA.fingerprint)


@pytest.mark.parametrize("plain", [{}, {"_meta": {}}, {"_meta": {"owner": "search team"}}])
def test_an_index_without_the_entry_has_no_vectors(plain):
    assert fields_from(plain) == ()
    assert common_fields("articles", {"articles": plain}) == ()


def test_a_damaged_entry_is_named():
    entry = {"vector_field": "v", "dim": 3, "model": "m", "source": "s"}
    with pytest.raises(IndexSchemaError, match=r"_meta\.ce2de lacks text_fields, fingerprint"):
        fields_from({"_meta": {"ce2de": {"fields": {"v": entry}}}})


def test_the_indices_of_an_alias_may_have_different_sources():
    other = replace(METADATA, source="archive")
    assert common_fields("all", {"a": mapping(METADATA), "b": mapping(other)}) == (METADATA,)


def test_a_field_that_is_still_being_filled_is_not_searched():
    loading = replace(SECOND, ready=False)
    assert common_fields("a", {"a": mapping(loading, METADATA)}) == (METADATA,)
    assert common_fields("a", {"a": mapping(loading)}) == ()


def test_indices_are_searched_by_the_field_that_all_have():
    mappings = {"a": mapping(SECOND, METADATA), "b": mapping(SECOND)}
    assert common_fields("all", mappings) == (SECOND,)


def test_token_vectors_that_one_index_lacks_are_left_alone():
    rich = replace(METADATA, token_dim=64)
    assert rich.token_field == "ce2de_vector_tokens"
    assert common_fields("all", {"a": mapping(rich), "b": mapping(rich)}) == (rich,)
    assert common_fields("all", {"a": mapping(rich), "b": mapping(METADATA)}) == (METADATA,)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (mapping(replace(METADATA, fingerprint="0" * 64)), "b has vectors of student_en (000000000000"),
        (mapping(replace(METADATA, vector_field="v2")), "in v2"),
        ({}, "b has no vectors"),
    ],
)
def test_the_indices_of_an_alias_must_agree(other, told):
    with pytest.raises(IndexSchemaError) as raised:
        common_fields("all", {"a": mapping(METADATA), "b": other})
    assert told in str(raised.value)


def test_the_languages_are_written_and_read():
    spoken = replace(METADATA, languages=("en", "it"), language_from="lang")
    entry = mapping(spoken)["_meta"]["ce2de"]["fields"]["ce2de_vector"]
    assert (entry["languages"], entry["language_from"]) == (["en", "it"], "lang")
    assert fields_from(mapping(spoken)) == (spoken,)
    del entry["languages"], entry["language_from"]  # an index that was made before there were any
    assert fields_from({"_meta": {"ce2de": {"fields": {"ce2de_vector": entry}}}}) == (METADATA,)


def test_indices_with_different_languages_are_not_searched_together():
    """The words of a question would miss the documents of the index without the fields."""
    spoken = replace(METADATA, languages=("en", "it"))
    with pytest.raises(IndexSchemaError, match="in ce2de_vector with text in en, it"):
        common_fields("alias", {"a": mapping(METADATA), "b": mapping(spoken)})
    given = replace(spoken, language_from="lang")  # how a language became known makes no difference
    assert common_fields("alias", {"a": mapping(spoken), "b": mapping(given)}) == (spoken,)
