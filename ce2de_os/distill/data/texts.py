"""Cut plain texts into training passages of many lengths.

A student must see the texts that it will encode later: words, headings, sentences, paragraphs. Passages are
cut from the lines of each file in order, each to a length of its own, so that one text yields query-like
pieces and document-like ones (random crops are good training texts: Contriever, arXiv 2112.09118).
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ce2de_os.errors import DataError
from ce2de_os.reading import readable
from ce2de_os.records import json_lines, text_lines

MIN_CHARS = 3
MIN_LETTERS = 0.6  # share of letters and spaces; below it a line is code, numbers or a drawing
SHORTEST_WORDS, LONGEST_WORDS = 3, 170
_NOT_LETTERS = re.compile(r"[^\w ]+|[\d_]+")
_BREAK = 0.25  # chance that a passage ends where a line does
SHARE_POWER = 0.7
PACKED = ".passages.jsonl"
_TEXT_KEYS = ("text", "body", "content")


class TrainingPassage(NamedTuple):
    """A training text and the file it comes from.

    ``original`` is the text that the teacher reads if this is a translation, ``None`` if it reads the same.
    ``is_query`` chooses the prefix, see `ce2de_os.distill.data.prefixes`; ``None``: not decided.
    """

    text: str
    source: str
    original: str | None = None
    is_query: bool | None = None


def read_lines(path: Path) -> Iterator[str]:
    """Stream the usable lines of a ``.txt`` or ``.jsonl`` file, ``.gz`` or not.

    Spaces are collapsed; repeats, and lines that are no prose, are left out.
    A ``.jsonl`` row gives its ``title`` and its ``text`` (or ``body``, or ``content``).

    Raises:
        DataError: the file cannot be read, or a row is not a JSON object with a text.
    """
    seen: set[int] = set()
    for raw in _raw_lines(path):
        line = " ".join(raw.split())
        key = hash(line.casefold())
        if key not in seen and is_prose(line):
            seen.add(key)
            yield line


def is_prose(line: str) -> bool:
    """Return whether a line is made of words rather than of code, numbers or rulers."""
    others = sum(map(len, _NOT_LETTERS.findall(line)))
    return len(line) >= MIN_CHARS and others <= (1 - MIN_LETTERS) * len(line)


def cut_passages(lines: Iterator[str], rng: random.Random) -> Iterator[str]:
    """Cut consecutive lines into passages, each of a length drawn log-uniformly from 3 to 170 words.

    A long line is cut at a space, and the rest begins the next passage; short lines are joined until the
    drawn length is reached.
    """
    words: list[str] = []
    wanted = _draw_length(rng)
    for line in lines:
        words += line.split(" ")
        start = 0
        while len(words) - start >= wanted:
            yield " ".join(words[start : start + wanted])
            start += wanted
            wanted = _draw_length(rng)
        words = words[start:]  # once a line: a whole book may be one
        if words and rng.random() < _BREAK:  # otherwise few passages would begin where a line does
            yield " ".join(words)
            words, wanted = [], _draw_length(rng)
    if words:
        yield " ".join(words)


def sample_passages(
    paths: Sequence[Path],
    max_words: int,
    seed: int,
    translations: Mapping[TrainingPassage, int] | None = None,
) -> list[TrainingPassage]:
    """Choose passages of about ``max_words`` words in all, in random order.

    A source's share grows with its size to the power 0.7, so that large ones do not drown small special
    ones; one that is too small for its share leaves the rest to the others.

    Args:
        paths: files to cut passages from.
        max_words: the words to take.
        seed: seed of the cuts and of the choice.
        translations: passages to take from too, unchanged, with the number of words that each counts
            as; ``None`` means none.

    Raises:
        DataError: a file cannot be read, or there is no usable text.
    """
    rng = random.Random(seed)  # noqa: S311 - sampling, not secrets
    pools = {name: _shuffled(path, name, rng) for path, name in _source_names(paths).items()}
    more = list((translations or {}).items())
    rng.shuffle(more)
    for passage, words in more:
        pools.setdefault(passage.source, []).append((passage, words))
    sizes = {name: sum(words for _, words in pool) for name, pool in pools.items()}
    if not any(sizes.values()):
        where = ", ".join(map(str, paths)) or "translations"
        raise DataError(f"{where}: no usable text; expected prose, one paragraph a line")
    chosen: list[TrainingPassage] = []
    for name, share in power_shares(sizes, max_words).items():
        chosen += _take(pools[name], share)
    rng.shuffle(chosen)
    return chosen


def packed_passages(path: Path, max_words: int) -> list[TrainingPassage]:
    """Read the first passages of a packed file, about ``max_words`` words in all, in the file's order.

    Such a file is named ``….passages.jsonl.gz`` (or without ``.gz``) and holds passages that are cut, chosen
    and mixed already: rows ``{"text", "source", "query"}``, the last one a boolean. A longer run
    takes the same passages first, so it can reuse the embeddings that a teacher has computed of them.

    Raises:
        DataError: the file cannot be read, a row is not like that, or there is none.
    """
    chosen: list[TrainingPassage] = []
    words = 0
    for place, row in json_lines(path, errors="replace"):
        match row:
            case {"text": str(text), "source": str(source), "query": bool(is_query)}:
                chosen.append(TrainingPassage(readable(text), readable(source), is_query=is_query))
            case _:
                raise DataError(f"{place}: expected an object with text, source and query (true or false)")
        words += _words(text)
        if words >= max_words:
            break
    if not chosen:
        raise DataError(f"{path}: no passages; write the file with scripts/pack_texts.py")
    return chosen


def is_packed(path: Path) -> bool:
    """Return whether a file's name is that of a packed file."""
    return path.name.removesuffix(".gz").endswith(PACKED)


def power_shares(sizes: dict[str, int], total: int) -> dict[str, int]:
    """Divide ``total`` in proportion to ``size ** 0.7``, no share above its size."""
    weights = {name: size**SHARE_POWER for name, size in sizes.items()}
    shares: dict[str, int] = {}
    left = total
    # In this order a source that cannot fill its share passes the rest on to all larger ones.
    for name in sorted(sizes, key=lambda key: sizes[key]):
        waiting = sum(weights[other] for other in sizes if other not in shares)
        shares[name] = min(sizes[name], int(left * weights[name] / waiting)) if waiting else 0
        left -= shares[name]
    return shares


def source_name(path: Path) -> str:
    """Return the name under which a file's passages are counted: its own without the last suffix."""
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.name


def _source_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Return a unique name for each file; files of equal names in several folders get their paths."""
    counts = Counter(source_name(path) for path in set(paths))
    names = {path: source_name(path) for path in paths}
    return {path: name if counts[name] == 1 else str(path) for path, name in names.items()}


def file_names(paths: Sequence[Path]) -> list[str]:
    """Return the names of the files as sources of passages, sorted."""
    return sorted(_source_names(paths).values())


def _shuffled(path: Path, name: str, rng: random.Random) -> list[tuple[TrainingPassage, int]]:
    pool = list(cut_passages(read_lines(path), rng))
    rng.shuffle(pool)
    return [(TrainingPassage(text, name), _words(text)) for text in pool]


def _take(pool: Sequence[tuple[TrainingPassage, int]], words: int) -> Iterator[TrainingPassage]:
    for passage, size in pool:
        if words <= 0:
            return
        words -= size
        yield passage


def _draw_length(rng: random.Random) -> int:
    return round(math.exp(rng.uniform(math.log(SHORTEST_WORDS), math.log(LONGEST_WORDS))))


def _words(text: str) -> int:
    return text.count(" ") + 1


def _raw_lines(path: Path) -> Iterator[str]:
    if ".jsonl" in path.suffixes:
        return _json_texts(path)
    return text_lines(path, errors="replace")


def _json_texts(path: Path) -> Iterator[str]:
    for place, row in json_lines(path, errors="replace"):
        texts = [readable(row[key]) for key in _TEXT_KEYS if isinstance(row.get(key), str)]
        if not texts:
            raise DataError(f"{place}: expected an object with one of {', '.join(_TEXT_KEYS)}")
        title = row.get("title")
        yield from (readable(title) if isinstance(title, str) else "", *texts)
