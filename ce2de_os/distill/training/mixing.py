"""Mix the languages of the student's documents in a batch of rankings (MTD, arXiv 2405.00977).

``passages``: each passage of a query's set is in a random language. ``entries``: each query's set is in one
random language. ``round-robin``: a query comes once in every language. Whatever the strategy, a batch holds
at least two languages where there are two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ce2de_os.distill.data.languages import Mixing
from ce2de_os.distill.training.ranking_data import RankingSet


class Entry(NamedTuple):
    """A query's row, the positions of the drawn candidates, ``(N,)``, and the language of each, ``(N,)``.

    A language is its position among those of a `RankingSet`.
    """

    query: int
    places: NDArray[np.int64]
    languages: NDArray[np.int64]


def usable_languages(there: NDArray[np.bool_], ways: int, mixing: Mixing) -> list[int]:
    """Return the languages in which a query can be drawn; empty if it has too few candidates.

    ``there`` ``(L, N)``: whether each of its ``N`` candidates has a text in each of ``L`` languages. A set
    in one language needs ``ways`` candidates in that; one of mixed passages needs that number in any.
    """
    if mixing == "passages":
        enough = there.any(axis=0).sum() >= ways
        return np.flatnonzero(there.any(axis=1)).tolist() if enough else []
    return np.flatnonzero(there.sum(axis=1) >= ways).tolist()


class Mixer:
    """Draws ``ways`` candidates of each query of a batch, and their languages.

    ``keep_positive`` puts a query's first candidate in the language first; without it all are drawn.
    """

    def __init__(self, data: RankingSet, ways: int, mixing: Mixing, *, keep_positive: bool) -> None:
        self.ways, self.mixing, self.keep_positive = ways, mixing, keep_positive
        there = data.translated
        self._there = [there[:, candidates] for candidates in data.candidates]
        self._usable = [usable_languages(one, ways, mixing) for one in self._there]
        self._beyond = {
            language: [row for row, usable in enumerate(self._usable) if usable != [language]]
            for language in range(len(there))
        }

    def draw(self, queries: Sequence[int], rng: np.random.Generator) -> list[Entry]:
        """Draw the entries of a batch of these queries.

        If none of them has a second language, one is replaced by a query that has.
        """
        rows, spoken = list(queries), self._languages(queries)
        others = self._beyond[min(spoken)] if len(spoken) == 1 else []
        if others:
            rows[rng.integers(len(rows))] = others[rng.integers(len(others))]
        single = self.mixing == "entries" and len(rows) == 1
        wanted = 1 if single else min(2, len(self._languages(rows)))
        while True:
            entries = [entry for row in rows for entry in self._entries(row, rng)]
            if len(np.unique([entry.languages for entry in entries])) >= wanted:
                return entries

    def _languages(self, rows: Sequence[int]) -> set[int]:
        return {language for row in rows for language in self._usable[row]}

    def _entries(self, row: int, rng: np.random.Generator) -> list[Entry]:
        there, usable = self._there[row], self._usable[row]
        if self.mixing == "passages":
            places = self._places(np.logical_or.reduce(there), rng)
            lots = np.where(there[:, places], rng.random((len(there), len(places))), -1.0)
            return [Entry(row, places, lots.argmax(axis=0))]
        if self.mixing == "entries" and len(usable) > 1:
            usable = [usable[rng.integers(len(usable))]]
        return [
            Entry(row, self._places(there[language], rng), np.full(self.ways, language))
            for language in usable
        ]

    def _places(self, there: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
        places = np.flatnonzero(there)
        if self.keep_positive:
            others = 1 + rng.permutation(len(places) - 1)[: self.ways - 1]
            return places[np.concatenate(([0], others))]
        return places[rng.permutation(len(places))[: self.ways]]
