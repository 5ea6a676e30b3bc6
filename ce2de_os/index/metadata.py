"""Metadata of an index's vectors: the ``ce2de`` entry in its mapping's ``_meta``.

The reindex writes it and the searcher reads it, both through `IndexMetadata`, so that a query never meets
vectors of another model. An index may carry several models' vectors, each in a field of its own: the old one
answers while the new one is being filled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ce2de_os.errors import IndexSchemaError
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.token_field import TOKENS_SUFFIX

META_KEY = "ce2de"

Mappings = Mapping[str, Mapping[str, Any]]
"""The mapping of each index behind one name: ``{"articles-v2": {"_meta": ..., "properties": ...}}``."""


@dataclass(frozen=True)
class IndexMetadata:
    """One vector field of an index and the model whose vectors it carries.

    Attributes:
        vector_field: the ``knn_vector`` field, or the nested field that holds one for each passage.
        text_fields: the fields that were embedded, in the order in which they were joined.
        fingerprint: the model's fingerprint, 64 hexadecimal digits.
        dim: length of one vector.
        model: the model's name, for people.
        source: the index that this one is a copy of; empty: it is none. A clone or a restored index inherits
            it, so it never is the index's own name.
        space: the vector space, which several models may share; ``None``: the model has its own.
        template: how the fields were joined, see `ce2de_os.index.text_spec`; ``None``: one to a line.
        passages: whether a document has one vector for each passage, in a nested field.
        data_type: ``float``, or ``byte``: whole numbers, to which a query's vector must be turned too, see
            `ce2de_os.index.vector_field`.
        languages: the languages that have a text field each, see `ce2de_os.index.language_fields`; empty: the
            embedded text has no fields of its own.
        language_from: the documents' field that names their language; ``None``: it is detected.
        token_dim: length of the token vectors; ``None``: there are none.
        ready: whether every document has been embedded; searches leave a field alone until then.
    """

    vector_field: str
    text_fields: tuple[str, ...]
    fingerprint: str
    dim: int
    model: str
    source: str
    space: str | None = None
    template: str | None = None
    passages: bool = False
    data_type: str = "float"
    languages: tuple[str, ...] = ()
    language_from: str | None = None
    token_dim: int | None = None
    ready: bool = True

    def holds(self, space: str) -> bool:
        """Return whether vectors of ``space`` can be compared with the index's vectors."""
        return (self.space or self.fingerprint) == space

    @property
    def token_field(self) -> str:
        """The field of the token vectors."""
        return f"{self.vector_field}{TOKENS_SUFFIX}"

    @property
    def text(self) -> TextSpec:
        """The rule that makes a document's embedded text."""
        return TextSpec(self.text_fields, self.template)

    def to_meta(self, others: Iterable[IndexMetadata] = ()) -> dict[str, Any]:
        """Return the entry for a mapping's ``_meta``, with the ``others`` that the index has already."""
        entries = {entry.vector_field: entry for entry in (*others, self)}
        described = {
            name: {key: list(value) if isinstance(value, tuple) else value for key, value in pairs.items()}
            for name, pairs in ((name, asdict(entry)) for name, entry in entries.items())
        }
        return {META_KEY: {"fields": described}}


_OPTIONAL = frozenset(
    {"space", "template", "passages", "data_type", "languages", "language_from", "token_dim", "ready"}
)
# What must be the same in two indices that are searched together, and how it is called in messages.
_SAID = {
    "vector_field": "the vector field",
    "text_fields": "the text fields",
    "template": "the template",
    "fingerprint": "the model",
    "dim": "the dimensions",
    "passages": "passages",
    "data_type": "the type of the numbers",
    "languages": "the languages",
}
_IDENTITY = tuple(_SAID)
_TUPLES = ("text_fields", "languages")  # lists in JSON


def fields_from(mapping: Mapping[str, Any]) -> tuple[IndexMetadata, ...]:
    """Return the vector fields that one index's mapping describes, in the order of their creation.

    Raises:
        IndexSchemaError: an entry is there, but a key of it is missing.
    """
    entry = mapping.get("_meta", {}).get(META_KEY, {})
    return tuple(_from_entry(values) for values in entry.get("fields", {}).values())


def _from_entry(entry: Mapping[str, Any]) -> IndexMetadata:
    names = [field.name for field in fields(IndexMetadata)]
    missing = [name for name in names if name not in entry and name not in _OPTIONAL]
    if missing:
        raise IndexSchemaError(
            f"the mapping's _meta.{META_KEY} lacks {', '.join(missing)}; "
            "make the index again with: ce2de reindex start"
        )
    values = {name: entry[name] for name in names if name in entry}
    return IndexMetadata(**values | {name: tuple(entry[name]) for name in _TUPLES if name in entry})


def common_fields(index: str, mappings: Mappings) -> tuple[IndexMetadata, ...]:
    """Return the vector fields, ready for search, that all indices behind ``index`` have in common.

    Empty: none of them carries a vector that may be searched.

    Raises:
        IndexSchemaError: some of them carry such vectors, and no field is the same in all.
    """
    ready = {
        name: [entry for entry in fields_from(mapping) if entry.ready] for name, mapping in mappings.items()
    }
    (first_name, first), *others = ready.items()
    common = [_shared(entry, others) for entry in first if all(_has(there, entry) for _, there in others)]
    if common or not any(ready.values()):
        return tuple(common)
    name, there = next((name, there) for name, there in others if not _same(there, first))
    raise IndexSchemaError(
        f"{index}: {first_name} has {_told(first)}, but {name} has {_told(there)}; "
        f"{_remedy(first, there)}, or search one of them, or both in mode 'bm25'"
    )


def _remedy(first: Sequence[IndexMetadata], second: Sequence[IndexMetadata]) -> str:
    """Say what keeps two indices' vectors from being searched together: the model, or how it was used."""
    pairs = [(left, right) for left in first for right in second if left.fingerprint == right.fingerprint]
    if not pairs:
        return "embed both with the same model"
    left, right = pairs[-1]
    names = [name for name in _IDENTITY if getattr(left, name) != getattr(right, name)]
    told = ", ".join(_SAID[name] for name in names)
    return f"the model is the same, but they differ in {told}: embed both alike"


def _shared(entry: IndexMetadata, others: Iterable[tuple[str, list[IndexMetadata]]]) -> IndexMetadata:
    """Return the entry, without token vectors if another index lacks them."""
    theirs = [there for _, entries in others for there in entries if _identity(there) == _identity(entry)]
    everywhere = all(there.token_dim == entry.token_dim for there in theirs)
    return entry if everywhere else replace(entry, token_dim=None)


def _has(entries: Iterable[IndexMetadata], wanted: IndexMetadata) -> bool:
    return any(_identity(entry) == _identity(wanted) for entry in entries)


def _same(entries: Iterable[IndexMetadata], others: Iterable[IndexMetadata]) -> bool:
    return {_identity(entry) for entry in entries} == {_identity(entry) for entry in others}


def _identity(entry: IndexMetadata) -> tuple[object, ...]:
    return tuple(getattr(entry, name) for name in _IDENTITY)


def _told(entries: Iterable[IndexMetadata]) -> str:
    told = [
        f"vectors of {entry.model} ({entry.fingerprint[:12]}, {', '.join(entry.text_fields)}) "
        f"in {entry.vector_field}{_in_languages(entry)}"
        for entry in entries
    ]
    return " and ".join(told) or "no vectors"


def _in_languages(entry: IndexMetadata) -> str:
    return f" with text in {', '.join(entry.languages)}" if entry.languages else ""
