"""Choose the numbers to add up together: stretches of a shard's ``_seq_no``, narrower where sides differ.

Two sides of a stretch agree if their documents' numbers have the same count, sum and sum of squares.
OpenSearch adds in doubles, so a stretch is only as wide as keeps its sum exact:
``width * largest < 2 ** 53``.

What that proves: up to three errors in a stretch never cancel (count and sum decide), and neither do four or
five in a shard of up to 10^6 operations, where the squares are exact as well: from ``a + d = b + c`` and
``a² + d² = b² + c²`` follows that the pairs are the same. Six or more cancel only if three independent sums
agree by chance, one case in some ``width ** 3``. In larger shards squares are good to 48 binary digits.

Numbers that an earlier comparison found equal are only counted, which costs a tenth. That is as exact while
only the job writes to the target: a number never comes back, and it leaves the target only after it has
left the source. So the target's numbers contain the source's, and equal counts mean equal sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

EXACT = 2**53
"""Every whole number below it is a double."""

FIRST_STRETCHES = 512
"""Number of stretches in the first comparison; each takes about 100 bytes of an answer."""

FAN = 64
"""Parts into which a stretch that differs is cut."""

SMALL = 256
"""Width up to which a stretch is cut into single numbers."""

MOST_BUCKETS = 8192
"""Most stretches in one search; OpenSearch allows 65,535."""

MOST_RANGES = 256
"""Most ranges in one query; OpenSearch allows 1,024 clauses."""

_ROUNDING = 2.0**-48


class Sums(NamedTuple):
    """The content of a stretch on one side: count, sum, and sum of squares of its numbers."""

    size: int
    total: float = 0.0
    squares: float = 0.0


NOTHING = Sums(0)
Found = Mapping[int, Sums]
"""By the first number of each stretch that is not empty."""


class Look(NamedTuple):
    """A search: numbers of one shard within ``ranges`` (first and last number), by stretches of ``width``.

    ``counted``: an earlier comparison found these numbers equal, so that counts decide, without sums.
    """

    shard: int
    ranges: tuple[tuple[int, int], ...]
    width: int
    counted: bool = False

    @property
    def adds(self) -> bool:
        """Return whether the search reads sums, not only counts."""
        return self.width > 1 and not self.counted


def exact_width(largest: int, wanted: int) -> int:
    """Return the widest stretch whose sum is exact up to ``largest``: a power of two, about ``wanted``."""
    width = 1 << max(0, wanted - 1).bit_length()
    while width > 1 and width * max(1, largest) >= EXACT:
        width //= 2
    return width


def first_looks(shard: int, upto: int, equal: int = -1) -> Iterator[Look]:
    """Look at all numbers up to ``upto``; nothing if the shard has none.

    Those up to ``equal`` were found equal before and are only counted; -1: none were.
    """
    width = exact_width(upto, -(-(upto - equal) // FIRST_STRETCHES))
    begin = (equal + 1) // width * width  # stretches begin at multiples of their width
    yield from _looks(shard, 0, begin - 1, exact_width(1, -(-begin // FIRST_STRETCHES)), counted=True)
    yield from _looks(shard, begin, upto, width, counted=False)


def _looks(shard: int, first: int, last: int, width: int, *, counted: bool) -> Iterator[Look]:
    room = width * MOST_BUCKETS
    for start in range(first, last + 1, room):
        yield Look(shard, ((start, min(start + room - 1, last)),), width, counted)


def narrower_looks(look: Look, differing: Sequence[int]) -> Iterator[Look]:
    """Look closer at the stretches of ``look`` that begin at ``differing``."""
    width = look.width // FAN if look.width > SMALL else 1
    most = max(1, MOST_BUCKETS * width // look.width)
    ranges: list[tuple[int, int]] = []
    stretches = 0
    for start in sorted(differing):
        if stretches == most or len(ranges) == MOST_RANGES:
            yield Look(look.shard, tuple(ranges), width, look.counted)
            ranges, stretches = [], 0
        stretches += 1
        last = start + look.width - 1
        if ranges and ranges[-1][1] == start - 1:
            ranges[-1] = (ranges[-1][0], last)
        else:
            ranges.append((start, last))
    if ranges:
        yield Look(look.shard, _within(ranges, look), width, look.counted)


def _within(ranges: Iterable[tuple[int, int]], look: Look) -> tuple[tuple[int, int], ...]:
    """Clip ranges to the last number that was requested: writes to the shard continue."""
    end = look.ranges[-1][1]
    return tuple((first, min(last, end)) for first, last in ranges)


def differing(look: Look, source: Found, target: Found) -> list[int]:
    """Return the first number of each stretch in which the two sides differ."""
    same = _same if look.adds else _same_counts
    return [
        start
        for start in sorted({*source, *target})
        if not same(source.get(start, NOTHING), target.get(start, NOTHING))
    ]


def _same_counts(one: Sums, other: Sums) -> bool:
    return one.size == other.size


def _same(one: Sums, other: Sums) -> bool:
    squares = max(one.squares, other.squares)
    rounding = _ROUNDING * squares if squares >= EXACT else 0.0
    return one[:2] == other[:2] and abs(one.squares - other.squares) <= rounding
