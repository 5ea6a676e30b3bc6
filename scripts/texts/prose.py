"""Clean text, pack paragraphs into passages, and let only English prose through."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

FULL_WORDS, LONGEST_WORDS, SHORTEST_WORDS = 120, 250, 25
MIN_ASCII, MIN_STOP_WORDS, MAX_LETTERS = 0.96, 0.18, 0.12
STOP_WORDS = frozenset({
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "because", "been",
    "but", "by", "can", "for", "from", "had", "has", "have", "if", "in", "into", "is", "it", "its", "may",
    "more", "most", "no", "not", "of", "on", "one", "or", "other", "such", "than", "that", "the",
    "their", "there",
    "these", "they", "this", "to", "was", "we", "were", "when", "where", "which", "who", "will", "with",
    "would", "you", "your",
})  # fmt: skip
_PLAIN = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a", "'")
    | dict.fromkeys("\u201c\u201d\u201e", '"')
    | dict.fromkeys("\u2010\u2011\u2013\u2212", "-")
    | dict.fromkeys("\u00ad\u200b\ufeff", "")
    | {"\u2014": " - ", "\u2026": "..."}
)
_URL = re.compile(r"(?:https?://|www\.)[^\s)\]]+")
_ACCENTS = re.compile(r"\\(?:[`'^\"~=.]\s*|[Hcuvbdrk](?=\{))\{?\\?([a-zA-Z])\}?")
_FONTS = re.compile(
    r"\\(?:(?:mathrm|mathbf|mathcal|mathit|mathsf|text\w*|emph|it|bf|rm|em|tt|sl|left|right)(?![a-zA-Z])|[,;!])"
)
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")


class Section(NamedTuple):
    """A title or question, and the paragraphs that belong to it; either may be empty.

    ``in_texts``: whether the paragraphs go into the texts, rather than into the pair of both alone.
    """

    title: str
    paragraphs: Sequence[str]
    in_texts: bool = True


def clean(text: str) -> str:
    """Return one line with plain quotes and dashes, without links and empty brackets."""
    text = _URL.sub("", text.translate(_PLAIN))
    text = re.sub(r"\(\s*(?:[Ss]ee)?\s*\)|\[\s*\]", "", text)
    return re.sub(r"\s+([,;:.?!)])", r"\1", " ".join(text.split()))


def without_tex(text: str) -> str:
    """Return text without TeX: accents become letters, commands their names, and dollars and braces go."""
    text = _ACCENTS.sub(r"\1", _FONTS.sub(" ", text))
    text = text.replace("``", '"').replace("''", '"').replace("~", " ")
    text = _COMMAND.sub(r"\1", re.sub(r"\\([%&#_])", r"\1", text))
    return re.sub(r"[${}\\]", "", text)


def passages(paragraphs: Iterable[str]) -> Iterator[str]:
    """Join cleaned paragraphs to passages of 120 words and more, none above 250 unless a sentence is."""
    held: list[str] = []
    size = 0
    for part in (part for paragraph in paragraphs for part in parts(clean(paragraph))):
        count = part.count(" ") + 1
        if held and (size >= FULL_WORDS or size + count > LONGEST_WORDS):
            yield " ".join(held)
            held, size = [], 0
        held.append(part)
        size += count
    if held:
        yield " ".join(held)


def parts(paragraph: str) -> Iterator[str]:
    """Cut a paragraph of more than 250 words at sentences into parts of about equal length."""
    total = paragraph.count(" ") + 1 if paragraph else 0
    if total <= LONGEST_WORDS:
        yield from [paragraph] if paragraph else []
        return
    wanted = total / -(-total // LONGEST_WORDS)
    held: list[str] = []
    for sentence in _SENTENCE.split(paragraph):
        held.append(sentence)
        if sum(one.count(" ") + 1 for one in held) >= wanted:
            yield " ".join(held)
            held = []
    if held:
        yield " ".join(held)


def is_passage(text: str) -> bool:
    """Return whether a text is English prose of at least 25 words rather than a table or a formula."""
    words = text.split()
    if len(words) < SHORTEST_WORDS or sum(char.isascii() for char in text) < MIN_ASCII * len(text):
        return False
    stop = sum(word.strip(".,;:()\"'").lower() in STOP_WORDS for word in words)
    single = sum(len(word) == 1 and word not in "aAI-" for word in words)
    return stop >= MIN_STOP_WORDS * len(words) and single <= MAX_LETTERS * len(words)


def is_title(text: str) -> bool:
    """Return whether a text can be a title or a question: Latin words, at most 60 of them."""
    letters = sum(char.isascii() and char.isalpha() for char in text)
    return text.count(" ") < 60 and letters >= 3 and letters >= 0.6 * len(text.replace(" ", ""))
