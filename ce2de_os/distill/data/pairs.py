"""Training pairs of a cross-encoder: read them, clean them, and draw from their negatives."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ce2de_os.errors import DataError
from ce2de_os.reading import readable
from ce2de_os.records import json_lines

HARD_SHARE = 0.75
"""Share of hard negatives: they teach the order of good matches, the others what is no match at all."""


@dataclass(frozen=True)
class TrainingPair:
    """A query, a passage that answers it, and passages that do not; no ``negatives`` means not known yet."""

    query: str
    positive: str
    negatives: tuple[str, ...] = ()


@dataclass(frozen=True)
class PairCounts:
    """Counts of the pairs that were read.

    Attributes:
        read: pairs found.
        empty: left out because a side has no text.
        repeated: left out because the same query and passage came before.
        equal: left out because the passage is the query itself, which teaches nothing.
        used: kept; fewer than the rest if there were more than the limit.
    """

    read: int = 0
    empty: int = 0
    repeated: int = 0
    used: int = 0
    equal: int = 0


def read_pairs(path: Path) -> Iterator[TrainingPair]:
    """Stream a JSON-lines file, ``.gz`` or not: ``{"query": …, "positive": …, "negatives": […]}``.

    ``negatives`` may be missing. A line ``{"title": …, "text": …}`` is a pair too, as
    ``scripts/collect_texts.py`` writes them.

    Raises:
        DataError: the file cannot be read, or a line is not of this form; the message names it.
    """
    for place, row in json_lines(path):
        negatives = row.get("negatives") or []
        if not isinstance(negatives, list) or not all(isinstance(text, str) for text in negatives):
            raise DataError(f"{place}: 'negatives' is not a list of strings")
        is_titled = "title" in row and "query" not in row
        query, positive = ("title", "text") if is_titled else ("query", "positive")
        kept = tuple(readable(text) for text in negatives if text.strip() and text != row.get(positive))
        yield TrainingPair(_side(row, query, place), _side(row, positive, place), kept)


def write_pairs(path: Path, pairs: Iterable[TrainingPair]) -> None:
    """Write a file that `read_pairs` reads, packed with gzip; it appears when it is complete."""
    partial = path.with_name(f"{path.name}.partial")
    with gzip.open(partial, "wt", encoding="utf-8", errors="replace") as file:
        for pair in pairs:
            row = {"query": pair.query, "positive": pair.positive, "negatives": list(pair.negatives)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    partial.replace(path)


def select_pairs(
    pairs: Iterable[TrainingPair], limit: int, seed: int
) -> tuple[list[TrainingPair], PairCounts]:
    """Leave out repeats, empty and equal sides, and draw at most ``limit`` of the rest at random.

    Memory grows with ``limit``, and by a hash for each pair read.
    """
    rng = random.Random(seed)  # noqa: S311 - sampling, not secrets
    seen: set[int] = set()
    kept: list[TrainingPair] = []
    read = empty = repeated = equal = 0
    for pair in pairs:
        read += 1
        if not pair.query.strip() or not pair.positive.strip():
            empty += 1
            continue
        if pair.query.casefold().split() == pair.positive.casefold().split():
            equal += 1
            continue
        key = hash((pair.query, pair.positive))
        if key in seen:
            repeated += 1
            continue
        seen.add(key)
        if len(kept) < limit:
            kept.append(pair)
        elif (place := rng.randrange(len(seen))) < limit:  # reservoir sampling: all have the same chance
            kept[place] = pair
    return kept, PairCounts(read, empty, repeated, len(kept), equal)


def draw_negatives(
    pair: TrainingPair, others: Sequence[TrainingPair], count: int, rng: random.Random
) -> list[str]:
    """Draw ``count`` negatives for one step: three in four hard ones, the rest other queries' passages.

    If there are too few hard ones, passages of other queries replace them; a passage may occur twice
    only if ``others`` holds no more.
    """
    wanted = min(len(pair.negatives), int(HARD_SHARE * count + rng.random()))
    drawn = rng.sample(pair.negatives, wanted)
    tries = 0
    while len(drawn) < count:
        other = others[rng.randrange(len(others))]
        tries += 1
        usable = other.query != pair.query and other.positive != pair.positive
        if usable and (other.positive not in drawn or tries > 10 * count):
            drawn.append(other.positive)
        elif tries > 100 * count:
            raise DataError("every pair has the same query or the same passage; expected different ones")
    return drawn


def split(pairs: Sequence[TrainingPair], held_out: int, seed: int) -> tuple[list[TrainingPair], ...]:
    """Split pairs into ``(trained, held out)`` by whole queries, so that no query is in both."""
    queries = sorted({pair.query for pair in pairs})
    random.Random(seed).shuffle(queries)  # noqa: S311
    kept_back = set(queries[:held_out])
    dev = [pair for pair in pairs if pair.query in kept_back]
    return [pair for pair in pairs if pair.query not in kept_back], dev


def _side(row: dict[str, Any], key: str, place: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise DataError(
            f"{place}: missing '{key}', or it is not a string; expected an object with query and positive, "
            "or with title and text"
        )
    return readable(value)
