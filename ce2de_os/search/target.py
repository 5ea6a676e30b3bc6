"""Read the facts about cluster and index that a searcher needs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from opensearchpy import OpenSearch

from ce2de_os.errors import (
    ArtifactMismatchError,
    BackendError,
    BackendUnavailableError,
    IndexSchemaError,
    RequestError,
)
from ce2de_os.index import admin
from ce2de_os.index.language_fields import OTHER, language_field, language_paths, text_field, text_path
from ce2de_os.index.metadata import IndexMetadata, Mappings, common_fields, fields_from
from ce2de_os.index.token_field import TOKENS_SUFFIX
from ce2de_os.index.vector_field import ORIGIN_SUFFIX, VectorField
from ce2de_os.search import queries
from ce2de_os.search.mapped_fields import MappedFields, named_in_highlight, named_in_source
from ce2de_os.search.queries import MAX_WORDS, PASSAGE_VECTOR, Body
from ce2de_os.search.question import Question
from ce2de_os.search.steps import Call, Steps, drive

logger = logging.getLogger(__name__)

NEURAL_SEARCH = "opensearch-neural-search"
# Fields of ours next to a vector field: hash of the embedded text, token vectors, origin of the document.
SUFFIXES = ("_hash", TOKENS_SUFFIX, ORIGIN_SUFFIX)
Version = tuple[int, int]


@dataclass(frozen=True)
class Target:
    """The index, or the indices behind an alias, that a searcher asks.

    Attributes:
        name: the name that was given.
        indices: the indices behind it.
        shards: the number of shards of the index that has most.
        text_fields: the fields for BM25: those that were embedded, else every text field.
        hidden: fields that results leave out: every vector, passages, token vectors, hashes of embedded text,
            and
            what documents were copied from.
        embedded: the vector fields and the models of their vectors; empty: only BM25 works.
        bytes_in: those of the vector fields that hold bytes instead of floats.
        asides: what results leave out unless it is named: the text by language, and the language.
        mapped: every field that the mappings have; ``None``: not known, so nothing is compared with it.
        conflict: why no vectors can be searched though there are some; ``None``: they can, or there are none.
    """

    name: str
    indices: frozenset[str]
    shards: int
    text_fields: tuple[str, ...]
    hidden: tuple[str, ...]
    embedded: tuple[IndexMetadata, ...]
    bytes_in: frozenset[str] = frozenset()
    asides: tuple[str, ...] = ()
    mapped: MappedFields | None = None
    conflict: str | None = None

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages in which the embedded text can be searched; empty: it has no fields for them."""
        return self.embedded[-1].languages if self.embedded else ()

    def lexical(
        self, text: str, fields: Sequence[str] | None, language: str | None = None, words: int = MAX_WORDS
    ) -> Body:
        """Build the default lexical leg without filters; ``fields`` ``None``: the index's own text fields.

        ``language`` is one of the index's, or ``"other"``; ``None``: all of them. ``words`` is the most that
        are searched.
        """
        searched = tuple(fields or self.lexical_fields(language))
        build = queries.default_lexical if fields or not self.languages else queries.by_language
        texts, others = self.mapped.clauses(searched) if self.mapped else (len(searched), 0)
        return build(queries.clip(text, texts, others, words), searched)

    def check_fields(self, question: Question) -> None:
        """Compare the fields that a question names with the mappings.

        Raises:
            RequestError: no index has one of them.
        """
        for name in question.fields or ():
            self._check_field("fields", name.partition("^")[0], searched=True)
        for name in named_in_highlight(question.highlight):
            self._check_field("highlight", name, searched=True)
        self.check_stored("source", named_in_source(question.source))

    def check_stored(self, option: str, names: Sequence[str]) -> None:
        """Raise `RequestError` for a field that no document can have; ``option`` starts the message."""
        for name in names:
            self._check_field(option, name, searched=False)

    def _check_field(self, option: str, name: str, *, searched: bool) -> None:
        if self.mapped is None:
            return
        if not (self.mapped.searchable(name) if searched else self.mapped.stored(name)):
            raise RequestError(f"{option}: {self.name} has no field '{name}'; {self.mapped.near(name)}")

    def lexical_fields(self, language: str | None = None) -> tuple[str, ...]:
        """Return the fields of the default lexical leg; ``language`` as in `lexical`."""
        if not self.languages:
            return self.text_fields
        name = self.embedded[-1].vector_field
        return (text_path(name, language),) if language else language_paths(name, self.languages)

    def language_filter(self, language: str) -> Body:
        """Build a filter for the documents in one language.

        Raises:
            RequestError: the index does not have that language.
        """
        if language not in (*self.languages, OTHER) or not self.languages:
            there = ", ".join((*self.languages, OTHER)) if self.languages else "none"
            raise RequestError(
                f"{self.name}: no documents are known to be in '{language}', only in: {there}; embed the "
                "index again with `languages`, or filter by a field of your own"
            )
        return {"term": {language_field(self.embedded[-1].vector_field): language}}


def read_target(client: OpenSearch, name: str) -> Target:
    """Read the mappings and the shards behind ``name``.

    Raises:
        IndexSchemaError: there is no such index, or it has no text.
        BackendError: OpenSearch does not answer, or rejects the request.
    """
    return drive(client, target_steps(name))


def target_steps(name: str) -> Steps[Target]:
    """Return the steps of `read_target`."""
    mappings = yield from _mapping_steps(name)
    embedded, conflict = _embedded(name, mappings)
    asides = _asides(mappings)
    texts = embedded[-1].text_fields if embedded else _texts(mappings, asides)
    if not texts:
        raise IndexSchemaError(f"{name}: its mapping has no text field to search in")
    answer = yield Call(f"look up the shards of {name}", "search_shards", {"index": name}, "shards")
    whole = frozenset(entry.vector_field for entry in embedded if _holds_bytes(mappings, entry))
    return Target(
        name, frozenset(mappings), _shards(answer["shards"]), texts, _hidden(mappings), embedded, whole,
        asides, MappedFields.of(mappings), conflict,
    )  # fmt: skip


def _embedded(name: str, mappings: Mappings) -> tuple[tuple[IndexMetadata, ...], str | None]:
    """Return the vector fields that all indices have, and why there is none though some index has one."""
    try:
        return common_fields(name, mappings), None
    except IndexSchemaError as error:
        return (), str(error)


def _shards(groups: Sequence[Sequence[Mapping[str, Any]]]) -> int:
    """Return the number of shards of the largest index; a shard without an active copy is an empty list."""
    known = max((copies[0]["shard"] + 1 for copies in groups if copies), default=1)
    return known if all(groups) else max(known, len(groups))


def _mapping_steps(name: str) -> Steps[dict[str, Mapping[str, Any]]]:
    action = "see the existing names with GET _cat/indices and GET _cat/aliases"
    try:
        answer = yield Call(f"read the mapping of {name}", "indices.get_mapping", {"index": name})
    except IndexSchemaError as error:
        raise IndexSchemaError(f"{error}; {action}") from error
    if not isinstance(answer, Mapping) or not answer:
        raise IndexSchemaError(f"{name}: no index has this name; {action}")
    return {index: body["mappings"] for index, body in sorted(answer.items())}


def _hidden(mappings: Mappings) -> tuple[str, ...]:
    """Return the vector fields, ready or not, and all fields that belong to them."""
    described = [entry for mapping in mappings.values() for entry in fields_from(mapping)]
    hidden = [entry.vector_field for entry in described]
    hidden += [f"{entry.vector_field}{suffix}" for entry in described for suffix in SUFFIXES]
    return tuple(dict.fromkeys([*_fields(mappings, "knn_vector"), *hidden]))


def _asides(mappings: Mappings) -> tuple[str, ...]:
    described = [entry for mapping in mappings.values() for entry in fields_from(mapping)]
    names = dict.fromkeys(entry.vector_field for entry in described if entry.languages)
    return tuple(field for name in names for field in (text_field(name), language_field(name)))


def _texts(mappings: Mappings, asides: Sequence[str]) -> tuple[str, ...]:
    """Return the text fields of indices without common vectors: those embedded in some, else every one."""
    found: dict[str, None] = {}
    for name, mapping in mappings.items():
        ready = [entry for entry in fields_from(mapping) if entry.ready]
        own = ready[-1].text_fields if ready else _fields({name: mapping}, "text")
        found |= dict.fromkeys(path for path in own if ready or path.partition(".")[0] not in asides)
    return tuple(found)


def embedded_in(
    target: Target, space: str, vector_field: str | None = None, fingerprint: str | None = None
) -> IndexMetadata:
    """Return the newest vector field with vectors in this space, or the one that is named.

    Fields of the model with this ``fingerprint`` come first; ``None``: any. They may be another model's:
    a student answers queries over documents that its teacher embedded.

    Raises:
        IndexSchemaError: there are no vectors, or none in a field of this name.
        ArtifactMismatchError: they are of another space.
    """
    if target.conflict is not None:
        raise IndexSchemaError(target.conflict)
    if not target.embedded:
        raise IndexSchemaError(
            f"{target.name}: no vectors of ce2de in it; make them with: "
            f"ce2de reindex start {target.name} `text_fields={','.join(target.text_fields[:2])}`, "
            "or search with mode 'bm25'"
        )
    named = _named(target, vector_field)
    fitting = [metadata for metadata in named if metadata.holds(space)]
    if not fitting:
        models = ", ".join(f"{other.model} ({other.fingerprint[:12]})" for other in named)
        raise ArtifactMismatchError(
            f"{target.name}: the index has vectors of {models}, "
            "and this model's cannot be compared with them; pass the index's model in "
            "`artifact` or CE2DE_ARTIFACT, or embed again with: "
            f"ce2de reindex start {target.embedded[-1].source}"
        )
    own = [metadata for metadata in fitting if metadata.fingerprint == fingerprint]
    return (own or fitting)[-1]


def query_vector(target: Target, metadata: IndexMetadata, vector: NDArray[np.float32]) -> list[float]:
    """Convert the vector of a query, ``(D,)``, to JSON numbers of the type that the field holds."""
    data_type = "byte" if metadata.vector_field in target.bytes_in else "float"
    (numbers,) = VectorField(len(vector), data_type=data_type).encode(vector[None])
    return numbers


def _named(target: Target, vector_field: str | None) -> Sequence[IndexMetadata]:
    named = [entry for entry in target.embedded if vector_field in (None, entry.vector_field)]
    if not named:
        there = ", ".join(entry.vector_field for entry in target.embedded)
        raise IndexSchemaError(
            f"{target.name}: no vectors that may be searched in the field '{vector_field}'; there are {there}"
        )
    return named


def version_steps() -> Steps[Version | None]:
    """Read the lowest neural-search version among the nodes, as ``(major, minor)``.

    ``None``: some node lacks it, or this user may not list plugins. Then the client fuses the results,
    which needs no permission except to search.

    Raises:
        BackendUnavailableError: OpenSearch does not answer.
    """
    arguments = {"metric": "plugins", "params": {"filter_path": "nodes.*.plugins"}}
    try:
        answer = yield Call("list the plugins", "nodes.info", arguments)
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


def _holds_bytes(mappings: Mappings, metadata: IndexMetadata) -> bool:
    mapping = next(iter(mappings.values()))["properties"].get(metadata.vector_field, {})
    vector = mapping.get("properties", {}).get(PASSAGE_VECTOR, mapping)
    return str(vector.get("data_type")).lower() == "byte"  # OpenSearch answers in capitals


def _fields(mappings: Mappings, kind: str) -> tuple[str, ...]:
    """Return the fields of one type in any of the indices, in the mappings' order."""
    paths = (entry for mapping in mappings.values() for entry in admin.field_paths(mapping))
    return tuple(dict.fromkeys(path for path, found in paths if found == kind))
