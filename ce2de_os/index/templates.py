"""Fill the JSON bodies of ``index_templates/`` and build a target index from its source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ce2de_os.errors import ConfigError
from ce2de_os.index.carried import carried_over, count_fields
from ce2de_os.index.metadata import IndexMetadata

if TYPE_CHECKING:  # both render templates of their own through `render`
    from ce2de_os.index.language_fields import LanguageSpec
    from ce2de_os.index.vector_field import VectorField


def render(name: str, holes: Mapping[str, Any]) -> dict[str, Any]:
    """Read ``index_templates/<name>.json`` and put values into its holes.

    A hole is a whole string ``"$hole"``, as a key or as a value; the value put there keeps its type.

    Raises:
        ConfigError: the template names a hole that is not given.
    """
    body = json.loads(files("index_templates").joinpath(f"{name}.json").read_text(encoding="utf-8"))
    rendered = _fill(body, holes)
    if not isinstance(rendered, dict):
        raise ConfigError(f"index_templates/{name}.json: expected an object")
    return rendered


def _fill(node: Any, holes: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(node, dict):
        return {_fill(key, holes): _fill(value, holes) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, holes) for value in node]
    if isinstance(node, str) and node.startswith("$"):
        if node[1:] not in holes:
            raise ConfigError(f"index template: no value for the hole '{node}'")
        return holes[node[1:]]
    return node


def target_body(
    source_settings: Mapping[str, Any],
    source_mappings: Mapping[str, Any],
    metadata: IndexMetadata,
    vector_field: VectorField,
    hash_field: str,
    languages: LanguageSpec | None = None,
) -> dict[str, Any]:
    """The body that creates a target: the source's settings, analyzers and mappings plus the new fields.

    It has no pipelines, whatever an index template of the user says.

    Args:
        source_settings: ``index`` settings of the source, flat (``"number_of_shards": "1"``).
        source_mappings: the source's mapping.
        metadata: what the target's ``_meta`` will say.
        vector_field: the field for the vectors.
        hash_field: the field for the hash of what was embedded.
        languages: the languages that get a text field each; ``None``: none do.

    """
    properties = vector_properties(vector_field, hash_field, languages) | origin_property(vector_field)
    body = render("vector_index", {"properties": properties})
    carried = carried_over(source_settings, count_fields(properties))
    mappings = {**source_mappings}
    mappings["properties"] = {**source_mappings.get("properties", {}), **body["mappings"]["properties"]}
    mappings["_meta"] = {**source_mappings.get("_meta", {}), **metadata.to_meta()}
    return {"settings": {**carried, **body["settings"]}, "mappings": mappings}


def vector_properties(
    vector_field: VectorField, hash_field: str, languages: LanguageSpec | None = None
) -> dict[str, Any]:
    """The mappings of the new fields by name; hash and token vectors are only ever read from ``_source``."""
    holes = {"vector_field": vector_field.name, "vector": vector_field.mapping(), "hash_field": hash_field}
    properties = render("vector_properties", holes)
    if vector_field.token_field is not None:
        properties |= render("tokens_property", {"token_field": vector_field.token_field})
    return properties | (languages.properties(vector_field.name) if languages else {})


def origin_property(vector_field: VectorField) -> dict[str, Any]:
    """The mapping of the field that says what each document of a copy was copied from."""
    return render("origin_property", {"origin_field": vector_field.origin_field})
