"""Split texts into sentences for a translator, and join them again.

Translation models are trained on single sentences. The white space of the original stays between the
pieces, so that lines and paragraphs survive.
"""

# ruff: noqa: RUF001 - the punctuation of several scripts
from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

_STOPS = ".!?…؟۔।॥"
_CLOSERS = "\"'”’»)]"
_WIDE = "。！？｡"  # full stops after which no space comes
_WIDE_CLOSERS = "”’」』）"
# Gaps between sentences: white space after a full stop, the end of a line, or nothing.
_GAP = re.compile(
    rf"(?<=[{re.escape(_STOPS + _CLOSERS + _WIDE)}])\s+|\s*\n\s*"
    rf"|(?<=[{_WIDE}])(?=[^{_WIDE}{_WIDE_CLOSERS}\s])|(?<=[{_WIDE}][{_WIDE_CLOSERS}])(?=[^{_WIDE_CLOSERS}\s])"
)
_LAST_WORD = re.compile(r"[^\W_](?:[\w.]*)$")
_ABBREVIATED = (
    "mr mrs ms dr prof sr jr st vs cf e.g i.e fig figs eq eqs no nos al approx inc ltd co dept vol pp"
)
_ABBREVIATIONS = frozenset(_ABBREVIATED.split())
_CLAUSE = re.compile(r"(?<=[.!?;:,،؛])\s+|(?<=[、，；：])")
_SPACE = re.compile(r"\s+")
# Thai, Lao, Burmese, Khmer, Chinese and Japanese: scripts that put no space between words or sentences.
_SPACELESS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]")

CountTokens = Callable[[Sequence[str]], list[int]]
"""The number of a translator's tokens of each text."""


def sentences(text: str) -> list[str]:
    """Split the text into ``[gap, sentence, gap, sentence, …, gap]``; joined, it is the text again.

    A sentence ends after a full stop and before white space, unless an abbreviation, an initial, or a small
    letter in a text that also has capitals shows otherwise; and at the end of a line, unless the next line
    continues with a small letter.
    """
    body = text.strip()
    if not body:
        return [text]
    start = text.index(body[0])
    parts, position = [text[:start]], 0
    cased = body != body.lower()
    for gap in _GAP.finditer(body):
        if _is_border(body, gap.start(), gap.end(), cased):
            parts += [body[position : gap.start()], gap.group()]
            position = gap.end()
    return [*parts, body[position:], text[start + len(body) :]]


def fitting(sentence: str, count_tokens: CountTokens, most: int) -> list[str]:
    """Split a sentence into ``[piece, gap, …, piece]`` of at most ``most`` tokens each, without losses.

    It is halved, at the end of a clause if there is one near the middle, else between words, else anywhere,
    until every piece fits. A single character is not cut.
    """
    if len(sentence) < 2 or count_tokens([sentence])[0] <= most:
        return [sentence]
    start, end = _middle(sentence)
    halves = sentence[:start], sentence[end:]
    left, right = (fitting(half, count_tokens, most) for half in halves)
    return [*left, sentence[start:end], *right]


def joined(parts: Sequence[str], translations: Mapping[str, str]) -> str:
    """Join ``[gap, piece, …, gap]``, each piece translated; one without a translation stays.

    Where two pieces followed each other without a space, as in Chinese, they get one if the translation is in
    a script with spaces.
    """
    found = [parts[0]]
    for place in range(1, len(parts), 2):
        piece, gap = parts[place], parts[place + 1]
        done = translations.get(piece, piece)
        if not gap and done and place + 2 < len(parts):
            gap = " " if _SPACELESS.match(piece[-1]) and not _SPACELESS.match(done[-1]) else ""
        found += [done, gap]
    return "".join(found)


def is_language(piece: str) -> bool:
    """Return whether there is a letter in it; translators invent text for numbers and rulers."""
    return any(character.isalpha() for character in piece)


def _is_border(text: str, start: int, end: int, cased: bool) -> bool:
    gap = text[start:end]
    if not gap or gap.count("\n") > 1:
        return True
    ends = _ends_sentence(text[max(0, start - 40) : start])
    return ends and not cased if text[end].islower() else ends or "\n" in gap


def _ends_sentence(head: str) -> bool:
    head = head.rstrip(_CLOSERS)
    if not head or head[-1] not in _STOPS + _WIDE:
        return False
    if not head.endswith(".") or head.endswith(".."):
        return True
    word = _LAST_WORD.search(head.rstrip("."))
    if word is None:
        return True
    last = word.group().lower()
    is_initial = len(last.rpartition(".")[2]) == 1 and last[-1].isalpha()
    return not is_initial and last not in _ABBREVIATIONS


def _middle(text: str) -> tuple[int, int]:
    """Start and end of the gap to cut a text of two characters or more at; both sides have characters."""
    half, quarter = len(text) / 2, len(text) / 4
    for pattern, reach in ((_CLAUSE, quarter), (_SPACE, half)):
        gaps = [gap.span() for gap in pattern.finditer(text) if gap.start() > 0 and gap.end() < len(text)]
        near = [gap for gap in gaps if abs(gap[0] - half) <= reach]
        if near:
            return min(near, key=lambda gap: abs(gap[0] - half))
    cut = len(text) // 2
    while cut < len(text) - 1 and _joins(text, cut):
        cut += 1
    return cut, cut


def _joins(text: str, position: int) -> bool:
    """Return whether the character belongs to the one before: an accent, or a part of an emoji."""
    return bool(unicodedata.combining(text[position])) or "\u200d" in text[position - 1 : position + 1]
