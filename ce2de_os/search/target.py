"""What a searcher has to know of cluster and index before it asks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import ArtifactMismatchError, BackendError, BackendUnavailableError, IndexSchemaError
from ce2de_os.index import admin
from ce2de_os.index.client import backend_errors
from ce2de_os.index.metadata import IndexMetadata, Mappings, common_fields, read_mappings

logger = logging.getLogger(__name__)

NEURAL_SEARCH = "opensearch-neural-search"
Version = tuple[int, int]


@dataclass(frozen=True)
class Target:
    """The index, or the indices behind an alias, that a searcher asks.

    Attributes:
        name: the name that was given.
        indices: the indices behind it.
        shards: the number of shards of the index that has most.
        text_fields: the fields for BM25: those that were embedded, else every text field.
        vector_fields: every ``knn_vector`` field, to be left out of results.
        embedded: the vector fields and whose vectors they carry; empty: only BM25 works.
    """

    name: str
    indices: frozenset[str]
    shards: int
    text_fields: tuple[str, ...]
    vector_fields: tuple[str, ...]
    embedded: tuple[IndexMetadata, ...]


def read_target(client: OpenSearch, name: str) -> Target:
    """Read the mappings and the shards behind ``name``.

    Raises:
        IndexSchemaError: there is no such index, it has no text, or its indices carry different vectors.
        BackendError: OpenSearch does not answer or refuses.
    """
    mappings = read_mappings(client, name)
    embedded = common_fields(name, mappings)
    texts = embedded[-1].text_fields if embedded else _fields(mappings, "text")
    if not texts:
        raise IndexSchemaError(f"{name}: its mapping has no text field to search in")
    vectors = _fields(mappings, "knn_vector")
    return Target(name, frozenset(mappings), _shards(client, name), texts, vectors, embedded)


def embedded_in(target: Target, space: str) -> IndexMetadata:
    """The newest of a target's vector fields whose vectors lie in this space.

    They may be another model's: a student answers queries over documents that its teacher embedded.

    Raises:
        IndexSchemaError: there are no vectors.
        ArtifactMismatchError: they lie in another space.
    """
    if not target.embedded:
        raise IndexSchemaError(
            f"{target.name}: no vectors of ce2de in it; make them with: "
            f"ce2de reindex start {target.name} --text-fields {','.join(target.text_fields[:2])}, "
            "or search with mode 'bm25'"
        )
    fitting = [metadata for metadata in target.embedded if metadata.holds(space)]
    if not fitting:
        models = ", ".join(f"{other.model} ({other.fingerprint[:12]})" for other in target.embedded)
        raise ArtifactMismatchError(
            f"{target.name}: the index has vectors of {models}, "
            "and this model's cannot be compared with them; pass the index's model in "
            "--artifact or CE2DE_ARTIFACT, or embed again with: "
            f"ce2de reindex start {target.embedded[-1].source}"
        )
    return fitting[-1]


def neural_search_version(client: OpenSearch) -> Version | None:
    """The lowest version of the neural-search plugin among the nodes, as ``(major, minor)``.

    ``None``: some node lacks it, or this user may not list plugins. Then fusing on the client is the way,
    which needs no right but to search.

    Raises:
        BackendUnavailableError: OpenSearch does not answer.
    """
    try:
        with backend_errors("list the plugins"):
            answer = client.nodes.info(metric="plugins", params={"filter_path": "nodes.*.plugins"})
    except BackendUnavailableError:
        raise
    except BackendError as error:
        logger.info("Fusing on the client: %s", error, extra={"action": "choose_strategy"})
        return None
    versions = [_version_on(node) for node in answer.get("nodes", {}).values()]
    known = [version for version in versions if version]
    return min(known) if known and len(known) == len(versions) else None


def _version_on(node: Mapping[str, Any]) -> Version | None:
    versions = {plugin["name"]: plugin["version"] for plugin in node.get("plugins", [])}
    if NEURAL_SEARCH not in versions:
        return None
    major, minor = versions[NEURAL_SEARCH].split(".")[:2]
    return int(major), int(minor)


def _fields(mappings: Mappings, kind: str) -> tuple[str, ...]:
    """The fields of one type in any of the indices, in the mappings' order."""
    paths = (entry for mapping in mappings.values() for entry in admin.field_paths(mapping))
    return tuple(dict.fromkeys(path for path, found in paths if found == kind))


def _shards(client: OpenSearch, name: str) -> int:
    with backend_errors(f"look up the shards of {name}"):
        answer = client.search_shards(index=name)
    return max((copies[0]["shard"] + 1 for copies in answer["shards"]), default=1)
