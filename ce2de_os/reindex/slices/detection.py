"""Find the language of each document: read from a field, else detected in its text.

The detector is py3langid, whose model comes with the package: naive Bayes over byte sequences of 139
languages. It reads all of them, not only the wanted ones: asked to choose between English and Italian, it
would call a Spanish text Italian.

Measured on Debian's package descriptions in English, Italian and German (``benchmarks/languages.py``): whole
descriptions, of about 440 characters, are right, or left out where their language is not wanted, in more
than 999 of 1,000 cases. Of titles alone, of about 50 characters, 93 to 95% are right and 3 to 5% are not
detected; where their language is not wanted, 6 to 10% are taken for one that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ce2de_os.errors import MissingExtraError
from ce2de_os.index.documents import document_text
from ce2de_os.index.language_fields import OTHER, LanguageSpec
from ce2de_os.languages import normalized

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

READ_CHARS = 2000
"""Characters that the detector reads of a text: they take 0.2 ms and are enough for prose."""

LEAST = 0.02
"""Least share of all likelihood: three times that of each language in a text without evidence."""

CLEAR = 2.0
"""Least ratio of the likelihoods of the likeliest and the second wanted language."""

FOREIGN = 10.0
"""Least ratio of the likelihoods of an unwanted and the likeliest wanted language to accept the first.

Related languages and dialects come close in short texts: two Italian words are half Ligurian.
"""


class DetectedLanguages(NamedTuple):
    """The languages of some documents.

    Attributes:
        languages: one of the wanted codes or ``"other"``; ``None``: the document has no text.
        unknown: number of documents whose language field holds no known language.
    """

    languages: list[str | None]
    unknown: int

    @property
    def other(self) -> int:
        """Number of documents in none of the languages, or in none that could be detected."""
        return self.languages.count(OTHER)


def languages_of(
    spec: LanguageSpec | None, sources: Sequence[Mapping[str, Any]], texts: Sequence[str]
) -> DetectedLanguages:
    """Find each document's language from its ``_source`` and text; all ``None`` without a ``spec``.

    Raises:
        MissingExtraError: a language must be detected, and the detector is not installed.
    """
    if spec is None:
        return DetectedLanguages([None] * len(texts), 0)
    named = [_named(spec, source) if text else "" for source, text in zip(sources, texts, strict=True)]
    given = [normalized(name) for name in named]
    found = [
        _among(spec, code or detect(text, spec.codes)) if text else None
        for code, text in zip(given, texts, strict=True)
    ]
    return DetectedLanguages(
        found, sum(bool(name) and code is None for name, code in zip(named, given, strict=True))
    )


def detect(text: str, wanted: Sequence[str]) -> str | None:
    """Detect which ``wanted`` language a text is in; ``None``: in none, or it is too short.

    Raises:
        MissingExtraError: the detector is not installed.
    """
    likely = _merged(_identifier().rank(text[:READ_CHARS]))
    (best, first), (_, second) = _two_best((code, likely.get(code, 0.0)) for code in wanted)
    foreign = max((share for code, share in likely.items() if code not in wanted), default=0.0)
    sure = first >= LEAST and first >= CLEAR * second and foreign < FOREIGN * first
    return best if sure else None


def _named(spec: LanguageSpec, source: Mapping[str, Any]) -> str:
    """Return the first value of the language field; ``""`` without a field or a value."""
    words = document_text(source, [spec.field]).split() if spec.field else []
    return words[0] if words else ""


def _among(spec: LanguageSpec, code: str | None) -> str:
    return code if code in spec.codes else OTHER


def _merged(ranked: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Merge varieties of a language: each gets its likeliest variety's share; unknown labels are kept."""
    likely: dict[str, float] = {}
    for label, share in ranked:
        code = normalized(label) or label
        likely[code] = max(share, likely.get(code, 0.0))
    return likely


def _two_best(shares: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    ordered = sorted(shares, key=lambda pair: -pair[1])
    return [*ordered, ("", 0.0)][:2]


@cache
def _identifier() -> LanguageIdentifier:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra("languages", error.name) from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
