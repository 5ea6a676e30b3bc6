"""Reading and writing the ``_meta`` entry of a mapping; no server."""

from dataclasses import replace

import pytest

from ce2de_os.errors import IndexSchemaError
from ce2de_os.index.metadata import IndexMetadata, common_metadata, metadata_from

METADATA = IndexMetadata(
    vector_field="ce2de_vector",
    text_fields=("title", "body"),
    fingerprint="f" * 64,
    dim=384,
    model="student_en",
    source="articles",
)


def mapping(metadata):
    return {"_meta": metadata.to_meta()}


def test_what_is_written_is_read():
    assert mapping(METADATA)["_meta"]["ce2de"]["text_fields"] == ["title", "body"]  # JSON knows no tuples
    assert metadata_from(mapping(METADATA)) == METADATA


def test_vectors_of_a_space_may_be_several_models():
    shared = replace(METADATA, space="5" * 64)
    assert shared.holds("5" * 64)
    assert not shared.holds(METADATA.fingerprint)
    assert METADATA.holds(METADATA.fingerprint)


def test_an_index_from_before_spaces_has_its_own():
    entry = METADATA.to_meta()["ce2de"]
    del entry["space"]
    assert metadata_from({"_meta": {"ce2de": entry}}) == METADATA


@pytest.mark.parametrize("plain", [{}, {"_meta": {}}, {"_meta": {"owner": "search team"}}])
def test_an_index_without_the_entry_has_no_metadata(plain):
    assert metadata_from(plain) is None
    assert common_metadata("articles", {"articles": plain}) is None


def test_a_damaged_entry_is_named():
    with pytest.raises(IndexSchemaError, match=r"_meta\.ce2de lacks text_fields, fingerprint"):
        metadata_from({"_meta": {"ce2de": {"vector_field": "v", "dim": 3, "model": "m", "source": "s"}}})


def test_the_indices_of_an_alias_may_have_different_sources():
    other = replace(METADATA, source="archive")
    assert common_metadata("all", {"a": mapping(METADATA), "b": mapping(other)}) == METADATA


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
        common_metadata("all", {"a": mapping(METADATA), "b": other})
    assert told in str(raised.value)
