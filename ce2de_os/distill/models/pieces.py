"""New WordPieces for words that a vocabulary cuts into many: merges of the pieces that it has.

Continuing the merges of the old pieces, instead of training a second vocabulary and merging the two, gives
few new pieces that are never used (continued BPE training, arXiv 2512.03989).
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Set
from itertools import pairwise

FREQUENT = (
    2  # a word that the original texts have once may be a typo or a name; a new piece saves nothing there
)
SURPLUS = 2  # pieces learned for each one that is kept: some only lead to longer ones, some cut known words

Words = Mapping[tuple[str, ...], int]
"""How often a word occurs, by the tuple of its pieces."""

Learned = dict[str, tuple[str, ...]]
"""New pieces with the old ones that each replaces."""


def learn_pieces(
    words: Words, known: Words, pieces: int, vocabulary: Collection[str], prefix: str
) -> Learned:
    """Learn at most ``pieces`` pieces that are not in ``vocabulary``, by how often ``words`` use them.

    No word that ``known`` has twice uses one of them. ``prefix`` marks a piece that continues a word. The
    result depends on the counts alone, not on their order.
    """
    old = frozenset(vocabulary)
    learned = {
        piece: parts for piece, parts in _merge(words, SURPLUS * pieces, prefix).items() if piece not in old
    }
    frequent = {word: count for word, count in known.items() if count >= FREQUENT}
    while used := _uses(frequent, old | learned.keys(), prefix).keys() & learned.keys():
        learned = {piece: parts for piece, parts in learned.items() if piece not in used}
    uses = _uses(words, old | learned.keys(), prefix)
    best = sorted(uses.keys() & learned.keys(), key=lambda piece: (-uses[piece], piece))
    return {piece: learned[piece] for piece in best[:pieces]}


def cut_anew(words: Words, vocabulary: Collection[str], learned: Learned, prefix: str) -> int:
    """Count the words, with repeats, that use a learned piece."""
    both = learned.keys() | vocabulary
    return sum(
        count
        for word, count in words.items()
        if len(word) > 1 and not learned.keys().isdisjoint(_cut(_spelled(word, prefix), both, prefix))
    )


def _uses(words: Words, vocabulary: Set[str], prefix: str) -> Counter[str]:
    """Count each piece's uses in the words that the old vocabulary cuts; it keeps the others whole."""
    uses: Counter[str] = Counter()
    for word, count in words.items():
        if len(word) > 1:
            for piece in _cut(_spelled(word, prefix), vocabulary, prefix):
                uses[piece] += count
    return uses


def _spelled(word: tuple[str, ...], prefix: str) -> str:
    return word[0] + "".join(piece.removeprefix(prefix) for piece in word[1:])


def _cut(word: str, vocabulary: Set[str], prefix: str) -> Iterator[str]:
    """Cut a word into pieces as WordPiece does: always the longest piece that fits."""
    start, mark = 0, ""
    while start < len(word):
        end = next(end for end in range(len(word), start, -1) if mark + word[start:end] in vocabulary)
        yield mark + word[start:end]
        start, mark = end, prefix


def _merge(words: Words, count: int, prefix: str) -> Learned:
    """Learn the first ``count`` merges of byte-pair encoding, starting from the pieces of the words."""
    pairs = _Pairs(words)
    learned: Learned = {}
    while len(learned) < count and (pair := pairs.most_frequent()) is not None:
        left, right = pair
        piece = left + right.removeprefix(prefix)
        parts = (*learned.get(left, (left,)), *learned.get(right, (right,)))
        learned.setdefault(piece, parts)
        pairs.merge(pair, piece)
    return learned


class _Pairs:
    """Neighboring pieces in words, and how often each pair occurs."""

    def __init__(self, words: Words) -> None:
        self.words, self.counts = [list(word) for word in words], list(words.values())
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.places: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        for place in range(len(self.words)):
            self._count(place, 1)
        self.heap = [(-count, pair) for pair, count in self.pairs.items()]
        heapq.heapify(self.heap)

    def most_frequent(self) -> tuple[str, str] | None:
        """Pop the pair that occurs most, of equals the alphabetical first; ``None`` if none occurs twice."""
        while self.heap:
            count, pair = heapq.heappop(self.heap)
            if -count == self.pairs[pair]:  # else its count has changed, and a newer entry is in the heap
                return pair if -count > 1 else None
        return None

    def merge(self, pair: tuple[str, str], piece: str) -> None:
        """Replace ``pair`` by ``piece``."""
        changed: set[tuple[str, str]] = set()
        for place in self.places.pop(pair):
            changed.update(self._count(place, -1))
            self.words[place] = _replaced(self.words[place], pair, piece)
            changed.update(self._count(place, 1))
        for other in changed:
            heapq.heappush(self.heap, (-self.pairs[other], other))

    def _count(self, place: int, sign: int) -> list[tuple[str, str]]:
        found = list(pairwise(self.words[place]))
        for pair in found:
            self.pairs[pair] += sign * self.counts[place]
            if sign > 0:
                self.places[pair].add(place)
        return found


def _replaced(pieces: list[str], pair: tuple[str, str], piece: str) -> list[str]:
    replaced: list[str] = []
    for part in pieces:
        if replaced and (replaced[-1], part) == pair:
            replaced[-1] = piece
        else:
            replaced.append(part)
    return replaced
