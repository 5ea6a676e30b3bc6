"""A copy of a connected index has what the index had before it was connected."""

from __future__ import annotations

from ce2de_os.index.carried import held_back_settings
from ce2de_os.index.connection import CONNECTION_KEY, Connection, unconnected
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.index.target_body import target_body
from ce2de_os.index.vector_field import VectorField

CONNECTION = Connection("articles", "http://embed", "f" * 64, "vec", default_pipeline="mine")
MAPPINGS = {"_meta": {"owner": "me", **CONNECTION.to_meta()}, "properties": {}}
SETTINGS = {
    "default_pipeline": "ce2de-articles-documents",
    "search.default_pipeline": "ce2de-articles-queries",
    "number_of_shards": "2",
}


def test_it_is_read_as_it_was_written() -> None:
    assert Connection.of(MAPPINGS) == CONNECTION
    assert Connection.of({}) is None


def test_a_key_of_a_newer_version_is_no_error() -> None:
    entry = {**MAPPINGS["_meta"][CONNECTION_KEY], "newer": 1}
    assert Connection.of({"_meta": {CONNECTION_KEY: entry}}) == CONNECTION


def test_the_pipelines_of_before_are_what_comes_back() -> None:
    held = held_back_settings(unconnected(SETTINGS, MAPPINGS))
    assert held["index.default_pipeline"] == "mine"
    assert unconnected(SETTINGS, {}) == SETTINGS


def test_a_copy_does_not_take_the_connection_over() -> None:
    metadata = IndexMetadata("vec", ("title",), "a" * 64, 8, "other", "articles")
    body = target_body(SETTINGS, MAPPINGS, metadata, VectorField(8, "vec"), "vec_hash")
    assert CONNECTION_KEY not in body["mappings"]["_meta"]
    assert body["mappings"]["_meta"]["owner"] == "me"
    assert "index.search.default_pipeline" not in body["settings"]
    assert body["settings"]["index.number_of_shards"] == "2"
