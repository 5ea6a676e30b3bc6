"""The languages of the queries and documents that each part of a distillation reads.

Translate-Distill (arXiv 2401.04810) distinguishes three: the search for candidates, the cross-encoder that
scores them, and the student. So a student can learn German documents from an English cross-encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ce2de_os.errors import ConfigError

Mixing = Literal["passages", "entries", "round-robin"]
MIXINGS: tuple[Mixing, ...] = ("passages", "entries", "round-robin")


class Reads(NamedTuple):
    """The language of the queries and the languages of the documents that a part reads."""

    queries: str
    documents: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.queries}-{','.join(self.documents)}"


_ENGLISH = Reads("en", ("en",))


@dataclass(frozen=True)
class Languages:
    """The languages of each part; codes of languages are names that the user chooses.

    Attributes:
        original: language of the given queries and documents; all others are those of translations.
        selector: languages of the search for candidates, documents in one language.
        teacher: languages of the cross-encoder, documents in one language.
        student: languages of the student; documents in several languages are mixed in its batches.
    """

    original: str = "en"
    selector: Reads = _ENGLISH
    teacher: Reads = _ENGLISH
    student: Reads = _ENGLISH

    def plain(self) -> dict[str, str]:
        """Return the languages as JSON holds them."""
        return {name: str(getattr(self, name)) for name in self.__dataclass_fields__}


def read_languages(
    original: str,
    translations: Sequence[str] = (),
    *,
    selector: str | None = None,
    teacher: str | None = None,
    student: str | None = None,
) -> Languages:
    """Read the options that name languages.

    Args:
        original: language of the given queries and documents.
        translations: other languages in which there are documents.
        selector: ``query-document``, such as ``en-de``; ``None`` means the originals.
        teacher: as ``selector``.
        student: the same, with documents in one or several languages (``en-it,de``); ``None`` means queries
            in the original language and the translated documents, or the originals if there are none.

    Raises:
        ConfigError: a setting cannot be read, or names a language twice or too many.
    """
    if not original.isidentifier():
        raise ConfigError(f"languages.original: got '{original}', expected a code such as en")
    given = Reads(original, (original,))
    translated = Reads(original, tuple(translations) or (original,))
    return Languages(
        original,
        _reads("languages.selector", selector, most=1) if selector else given,
        _reads("languages.teacher", teacher, most=1) if teacher else given,
        _reads("languages.student", student) if student else translated,
    )


def _reads(option: str, text: str, most: int | None = None) -> Reads:
    queries, _, rest = text.partition("-")
    documents = tuple(rest.split(","))
    if not all(code.isidentifier() for code in (queries, *documents)):
        more = "" if most == 1 else " or en-it,de"
        raise ConfigError(
            f"{option}: got '{text}', expected the queries' and the documents' language, such as en-it{more}"
        )
    if most is not None and len(documents) > most:
        raise ConfigError(f"{option}: got '{text}', expected one language of documents, such as en-it")
    if len(set(documents)) < len(documents):
        raise ConfigError(f"{option}: got '{text}', expected each language of documents once")
    return Reads(queries, documents)
