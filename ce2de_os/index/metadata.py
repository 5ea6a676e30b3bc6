"""What an index says of its own vectors: the ``ce2de`` entry in its mapping's ``_meta``.

The reindex writes it and the searcher reads it, both through `IndexMetadata`, so that a query never meets
vectors of another model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import IndexSchemaError
from ce2de_os.index.client import backend_errors

META_KEY = "ce2de"

Mappings = Mapping[str, Mapping[str, Any]]
"""The mapping of each index behind one name: ``{"articles-v2": {"_meta": ..., "properties": ...}}``."""


@dataclass(frozen=True)
class IndexMetadata:
    """The model whose vectors an index carries.

    Attributes:
        vector_field: the ``knn_vector`` field.
        text_fields: the fields that were embedded, in the order in which they were joined.
        fingerprint: the model's fingerprint, 64 hexadecimal digits.
        dim: length of one vector.
        model: the model's name, for people.
        source: the index that the documents came from.
        space: the vector space, which several models may share; ``None``: the model has its own.
    """

    vector_field: str
    text_fields: tuple[str, ...]
    fingerprint: str
    dim: int
    model: str
    source: str
    space: str | None = None

    def holds(self, space: str) -> bool:
        """Whether vectors of the space can be compared with the index's; an own space is the fingerprint."""
        return (self.space or self.fingerprint) == space

    def to_meta(self) -> dict[str, Any]:
        """The entry for a mapping's ``_meta``."""
        return {META_KEY: {**asdict(self), "text_fields": list(self.text_fields)}}


def metadata_from(mapping: Mapping[str, Any]) -> IndexMetadata | None:
    """Read one index's mapping; ``None`` where it carries none of our vectors.

    Raises:
        IndexSchemaError: the entry is there, but a key of it is missing.
    """
    entry = mapping.get("_meta", {}).get(META_KEY)
    if entry is None:
        return None
    names = [field.name for field in fields(IndexMetadata)]
    missing = [name for name in names if name not in entry and name != "space"]
    if missing:
        raise IndexSchemaError(
            f"the mapping's _meta.{META_KEY} lacks {', '.join(missing)}; "
            "make the index again with: ce2de reindex start"
        )
    values = {name: entry.get(name) for name in names}
    return IndexMetadata(**{**values, "text_fields": tuple(entry["text_fields"])})


def read_mappings(client: OpenSearch, index: str) -> dict[str, Mapping[str, Any]]:
    """The mapping of every index behind ``index``, a name, an alias or a pattern.

    Raises:
        IndexSchemaError: there is no such index.
        BackendError: OpenSearch does not answer or refuses.
    """
    cure = "see the names there are with GET _cat/indices and GET _cat/aliases"
    try:
        with backend_errors(f"read the mapping of {index}"):
            answer = client.indices.get_mapping(index=index)
    except IndexSchemaError as error:
        raise IndexSchemaError(f"{error}; {cure}") from error
    if not answer:
        raise IndexSchemaError(f"{index}: no index has this name; {cure}")
    return {name: body["mappings"] for name, body in sorted(answer.items())}


def read_metadata(client: OpenSearch, index: str) -> IndexMetadata:
    """The metadata of ``index``; behind an alias over several indices all must agree.

    Raises:
        IndexSchemaError: there is no such index, it carries no vectors of ours, or its indices disagree.
        BackendError: OpenSearch does not answer or refuses.
    """
    metadata = common_metadata(index, read_mappings(client, index))
    if metadata is None:
        raise IndexSchemaError(
            f"{index}: no vectors of ce2de in it; make them with: ce2de reindex start {index} --text-fields …"
        )
    return metadata


def common_metadata(index: str, mappings: Mappings) -> IndexMetadata | None:
    """What the indices behind ``index`` agree on, apart from their source; ``None``: they carry no vectors.

    Raises:
        IndexSchemaError: two of them differ, or only some of them carry vectors.
    """
    entries = {name: metadata_from(mapping) for name, mapping in mappings.items()}
    (first_name, first), *others = entries.items()
    for name, entry in others:
        if _space(entry) != _space(first):
            raise IndexSchemaError(
                f"{index}: {first_name} has {_told(first)}, but {name} has {_told(entry)}; "
                "embed both with the same model, or search one of them"
            )
    return first


def _space(metadata: IndexMetadata | None) -> tuple[object, ...] | None:
    if metadata is None:
        return None
    return metadata.vector_field, metadata.text_fields, metadata.fingerprint, metadata.dim


def _told(metadata: IndexMetadata | None) -> str:
    if metadata is None:
        return "no vectors"
    joined = ", ".join(metadata.text_fields)
    return f"vectors of {metadata.model} ({metadata.fingerprint[:12]}, {joined}) in {metadata.vector_field}"
