"""The fields that hold each document's text under the analyzer of its language.

::

    ce2de_vector_text       object: one text field a language, each with that language's analyzer
    ├── en, it, de, …       the embedded text of the documents in that language only
    └── other               that of documents in none of them, with the standard analyzer
    ce2de_vector_language   keyword: the language, which names the field with the document's text

A document's text is in one field only, so that each field's word statistics are those of its language.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from ce2de_os import languages
from ce2de_os.errors import ConfigError
from ce2de_os.index.templates import render

OTHER = "other"
UNDETECTED = frozenset({"ckb"})
"""Languages with an analyzer that the detector does not know."""


def text_field(vector_field: str) -> str:
    """Return the name of the object field with a text field for each language."""
    return f"{vector_field}_text"


def language_field(vector_field: str) -> str:
    """Return the name of the keyword field with each document's language."""
    return f"{vector_field}_language"


def text_path(vector_field: str, language: str) -> str:
    """Return the path of the text field of a language, or of ``"other"``."""
    return f"{text_field(vector_field)}.{language}"


@dataclass(frozen=True)
class LanguageSpec:
    """The languages of an index, and how the language of a document is found.

    Attributes:
        codes: two-letter codes, see `ce2de_os.languages`; each gets a text field.
        field: the documents' field that names their language, by dotted path. A document without it, or with
            a value that names no known language, has its language detected; ``None``: all of them have.
    """

    codes: tuple[str, ...]
    field: str | None = None

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> Self:
        """Build it from its ledger document."""
        return cls(tuple(source["codes"]), source.get("field"))

    def to_source(self) -> dict[str, Any]:
        """Return the languages as part of a ledger document."""
        return asdict(self)

    def properties(self, vector_field: str) -> dict[str, Any]:
        """Return the mappings of the fields by name."""
        analyzers = {code: languages.analyzer(code) for code in self.codes} | {OTHER: languages.STANDARD}
        texts = {name: render("language_text", {"analyzer": found}) for name, found in analyzers.items()}
        holes = {
            "text_field": text_field(vector_field),
            "language_field": language_field(vector_field),
            "texts": texts,
        }
        return render("language_properties", holes)

    def values(self, vector_field: str, language: str | None, text: str) -> dict[str, Any]:
        """Return the fields of a new document; ``language`` ``None``: no text, so no fields."""
        if language is None:
            return {}
        return {text_field(vector_field): {language: text}, language_field(vector_field): language}

    def update(self, vector_field: str, language: str | None, text: str) -> dict[str, Any]:
        """Return the fields for a partial update, which merges objects; obsolete values become null."""
        if language is None:
            return {text_field(vector_field): None, language_field(vector_field): None}
        texts = {name: text if name == language else None for name in (*self.codes, OTHER)}
        return {text_field(vector_field): texts, language_field(vector_field): language}

    def holds(self, source: Mapping[str, Any], vector_field: str, language: str | None, text: str) -> bool:
        """Return whether a document has these values, and no others, already."""
        texts = source.get(text_field(vector_field)) or {}
        there = {name: value for name, value in texts.items() if value is not None}
        expected = {} if language is None else {language: text}
        return there == expected and source.get(language_field(vector_field)) == language


def language_spec(codes: str | None, field: str | None = None) -> LanguageSpec | None:
    """Parse the options, such as ``"en,it,de"`` and ``"lang"``; ``None``: no languages.

    Raises:
        ConfigError: a language is not known or cannot be detected, or there is a field but no languages.
    """
    if codes is None:
        if field is not None:
            raise ConfigError(
                f"`language_field={field}`: name the languages that get an analyzer: `languages=en,it,de`"
            )
        return None
    spec = LanguageSpec(languages.parse_languages(codes), field)
    hidden = [code for code in spec.codes if code in UNDETECTED]
    if hidden and field is None:
        raise ConfigError(
            f"`languages`: '{hidden[0]}' cannot be detected in a text; name the field that holds the "
            "language: `language_field=lang`"
        )
    return spec


def language_paths(vector_field: str, codes: Iterable[str]) -> tuple[str, ...]:
    """Return the path of every text field, that of ``"other"`` last."""
    return tuple(text_path(vector_field, name) for name in (*codes, OTHER))
