"""Choose the numbers to add up together: stretches of a shard's ``_seq_no``, narrower where sides differ.

Two sides of a stretch agree if their documents' numbers have the same count, sum and sum of squares.
OpenSearch adds in doubles, so a stretch is only as wide as keeps its sum exact:
``width * largest < 2 ** 53``.

What that proves: up to three errors in a stretch never cancel (count and sum decide), and neither do four or
five in a shard of up to 10^6 operations, where the squares are exact as well: from ``a + d = b + c`` and
``a² + d² = b² + c²`` follows that the pairs are the same. Six or more cancel only if three independent sums
agree by chance, one case in some ``width ** 3``. In larger shards squares are good to 48 binary digits.
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
    """A search: numbers of one shard within ``ranges`` (first and last number), by stretches of ``width``."""

    shard: int
    ranges: tuple[tuple[int, int], ...]
    width: int


def exact_width(largest: int, wanted: int) -> int:
    """Return the widest stretch whose sum is exact up to ``largest``: a power of two, about ``wanted``."""
    width = 1 << max(0, wanted - 1).bit_length()
    while width > 1 and width * max(1, largest) >= EXACT:
        width //= 2
    return width


def first_looks(shard: int, upto: int) -> Iterator[Look]:
    """Look at all numbers up to ``upto``; nothing if the shard has none."""
    if upto < 0:
        return
    width = exact_width(upto, -(-(upto + 1) // FIRST_STRETCHES))
    room = width * MOST_BUCKETS
    for start in range(0, upto + 1, room):
        yield Look(shard, ((start, min(start + room - 1, upto)),), width)


def whole_look(shard: int, upto: int) -> Look | None:
    """Look at a shard in as few stretches as are exact; ``None`` if there is nothing to look at."""
    if upto < 0:
        return None
    return Look(shard, ((0, upto),), exact_width(upto, upto + 1))


def narrower_looks(look: Look, differing: Sequence[int]) -> Iterator[Look]:
    """Look closer at the stretches of ``look`` that begin at ``differing``."""
    width = look.width // FAN if look.width > SMALL else 1
    most = max(1, MOST_BUCKETS * width // look.width)
    ranges: list[tuple[int, int]] = []
    stretches = 0
    for start in sorted(differing):
        if stretches == most or len(ranges) == MOST_RANGES:
            yield Look(look.shard, tuple(ranges), width)
            ranges, stretches = [], 0
        stretches += 1
        last = start + look.width - 1
        if ranges and ranges[-1][1] == start - 1:
            ranges[-1] = (ranges[-1][0], last)
        else:
            ranges.append((start, last))
    if ranges:
        yield Look(look.shard, _within(ranges, look), width)


def _within(ranges: Iterable[tuple[int, int]], look: Look) -> tuple[tuple[int, int], ...]:
    """Clip ranges to the last number that was requested: writes to the shard continue."""
    end = look.ranges[-1][1]
    return tuple((first, min(last, end)) for first, last in ranges)


def differing(look: Look, source: Found, target: Found) -> list[int]:
    """Return the first number of each stretch in which the two sides differ."""
    same = _same_counts if look.width == 1 else _same
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
