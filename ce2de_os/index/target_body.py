"""The body that creates a target index: that of its source, and our fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ce2de_os.index.carried import carried_over, count_fields
from ce2de_os.index.connection import unconnected, without_connection
from ce2de_os.index.language_fields import LanguageSpec
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.index.templates import render
from ce2de_os.index.vector_field import VectorField


def target_body(
    source_settings: Mapping[str, Any],
    source_mappings: Mapping[str, Any],
    metadata: IndexMetadata,
    vector_field: VectorField,
    hash_field: str,
    languages: LanguageSpec | None = None,
) -> dict[str, Any]:
    """Build the body that creates a target: the source's settings and mappings plus the new fields.

    It has no pipelines, whatever an index template of the user says.

    Args:
        source_settings: ``index`` settings of the source, flat (``"number_of_shards": "1"``).
        source_mappings: the source's mapping.
        metadata: the target's ``_meta``.
        vector_field: the field for the vectors.
        hash_field: the field for the hash of what was embedded.
        languages: the languages that get a text field each; ``None``: no text fields.

    """
    properties = vector_properties(vector_field, hash_field, languages) | origin_property(vector_field)
    body = render("vector_index", {"properties": properties})
    carried = carried_over(unconnected(source_settings, source_mappings), count_fields(properties))
    mappings = {**source_mappings}
    mappings["properties"] = {**source_mappings.get("properties", {}), **body["mappings"]["properties"]}
    if kept := source_mappings.get("_source", {}).get("includes"):
        mappings["_source"] = {**source_mappings["_source"], "includes": [*kept, *properties]}
    mappings["_meta"] = without_connection(source_mappings.get("_meta", {})) | metadata.to_meta()
    return {"settings": {**carried, **body["settings"]}, "mappings": mappings}


def vector_properties(
    vector_field: VectorField, hash_field: str, languages: LanguageSpec | None = None
) -> dict[str, Any]:
    """Return the new fields' mappings by name; hash and token vectors are read only from ``_source``."""
    holes = {"vector_field": vector_field.name, "vector": vector_field.mapping(), "hash_field": hash_field}
    properties = render("vector_properties", holes)
    if vector_field.token_field is not None:
        properties |= render("tokens_property", {"token_field": vector_field.token_field})
    return properties | (languages.properties(vector_field.name) if languages else {})


def origin_property(vector_field: VectorField) -> dict[str, Any]:
    """Return the mapping of the field that says what each document of a copy was copied from."""
    return render("origin_property", {"origin_field": vector_field.origin_field})
