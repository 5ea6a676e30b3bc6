from __future__ import annotations

import json

import pytest

from ce2de_os.errors import ConfigError
from ce2de_os.index.language_fields import LanguageSpec
from ce2de_os.index.metadata import IndexMetadata, fields_from
from ce2de_os.index.target_body import target_body, vector_properties
from ce2de_os.index.templates import render
from ce2de_os.index.vector_field import VectorField

METADATA = IndexMetadata("vec", ("title",), "f" * 64, 8, "tiny", "articles")


def test_holes_keep_their_types_as_keys_and_values() -> None:
    fields = render("vector_properties", {"vector_field": "vec", "vector": {"m": 8}, "hash_field": "h"})
    assert fields["vec"] == {"m": 8}
    assert fields["h"]["type"] == "keyword"


def test_a_hole_without_value_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"\$properties"):
        render("vector_index", {})


def test_target_carries_settings_analyzers_and_mappings_over() -> None:
    settings = {
        "number_of_shards": "3",
        "analysis.analyzer.mine.type": "standard",
        "uuid": "u",
        "version.created": "1",
        "blocks.write": "true",
        "number_of_replicas": "2",
        "default_pipeline": "enrich",
    }
    mappings = {"_meta": {"owner": "me"}, "dynamic": "strict", "properties": {"title": {"type": "text"}}}
    body = target_body(settings, mappings, METADATA, VectorField(8, "vec"), "vec_hash")
    assert body["settings"]["index.number_of_shards"] == "3"
    assert body["settings"]["index.analysis.analyzer.mine.type"] == "standard"
    assert body["settings"]["index.number_of_replicas"] == 0
    assert not {"index.uuid", "index.blocks.write", "index.version.created"} & set(body["settings"])
    assert body["mappings"]["dynamic"] == "strict"
    assert set(body["mappings"]["properties"]) == {"title", "vec", "vec_hash", "vec_origin"}
    assert body["mappings"]["properties"]["vec"]["dimension"] == 8
    assert body["mappings"]["_meta"]["owner"] == "me"
    assert fields_from(body["mappings"]) == (METADATA,)
    json.dumps(body)


def test_a_target_with_token_vectors_has_a_field_for_them() -> None:
    body = target_body({}, {}, METADATA, VectorField(8, "vec", token_dim=4), "vec_hash")
    assert body["mappings"]["properties"]["vec_tokens"] == {"type": "binary", "doc_values": True}


def test_the_languages_get_their_fields_beside_the_vectors() -> None:
    body = target_body({}, {}, METADATA, VectorField(8, "vec"), "vec_hash", LanguageSpec(("it", "pl")))
    properties = body["mappings"]["properties"]
    assert set(properties) == {"vec", "vec_hash", "vec_origin", "vec_text", "vec_language"}
    analyzers = {name: text["analyzer"] for name, text in properties["vec_text"]["properties"].items()}
    assert analyzers == {"it": "italian", "pl": "standard", "other": "standard"}


def test_a_copy_says_what_it_was_copied_from_and_an_index_in_place_does_not() -> None:
    vector = VectorField(8, "vec")
    properties = target_body({}, {}, METADATA, vector, "vec_hash")["mappings"]["properties"]
    assert properties[vector.origin_field] == {
        "properties": {"shard": {"type": "integer"}, "seq_no": {"type": "long"}}
    }
    assert vector.origin_field not in vector_properties(vector, "vec_hash")
