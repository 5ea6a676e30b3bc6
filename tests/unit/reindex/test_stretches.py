"""The comparison's arithmetic: which stretches are looked at, what is exact, and what is found."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable

import pytest

from ce2de_os.reindex.compare.stretches import (
    EXACT,
    MOST_BUCKETS,
    MOST_RANGES,
    SMALL,
    Found,
    Look,
    Sums,
    differing,
    exact_width,
    first_looks,
    narrower_looks,
)


def sums(look: Look, numbers: Iterable[int]) -> Found:
    """What OpenSearch answers: doubles, and nothing of empty stretches."""
    found: dict[int, list[int]] = {}
    for number in numbers:
        if any(first <= number <= last for first, last in look.ranges):
            found.setdefault(number // look.width * look.width, []).append(number)
    return {
        start: Sums(len(ones), float(sum(ones)), float(sum(one * one for one in ones)))
        for start, ones in found.items()
    }


def search(upto: int, source: list[int], target: list[int]) -> tuple[set[int], int]:
    """The numbers that differ, and how many looks that took."""
    waiting, found, looks = list(first_looks(0, upto)), set[int](), 0
    while waiting:
        look, looks = waiting.pop(), looks + 1
        starts = differing(look, sums(look, source), sums(look, target))
        if look.width == 1:
            found |= set(starts)
        else:
            waiting += narrower_looks(look, starts)
    return found, looks


@pytest.mark.parametrize("upto", [0, 1, 511, 512, 4095, 100_000, 1_048_575, 10**8, 2**31, 10**11])
def test_a_stretch_s_sum_is_exact(upto: int) -> None:
    looks = list(first_looks(0, upto)) if upto < 10**9 else [next(first_looks(0, upto))]
    for look in looks:
        assert look.width == 1 or look.width * upto < EXACT
        assert look.width & (look.width - 1) == 0
    assert exact_width(upto, upto + 1) == 1 or exact_width(upto, upto + 1) * upto < EXACT


@pytest.mark.parametrize("upto", [0, 7, 511, 512, 5_000, 4_194_304, 2**33])
def test_the_first_looks_cover_every_number_once(upto: int) -> None:
    ranges = [one for look in first_looks(3, upto) for one in look.ranges]
    assert (ranges[0][0], ranges[-1][1]) == (0, upto)
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(ranges))


@pytest.mark.parametrize("upto", [0, 7, 511, 512, 5_000, 4_194_304, 2**33])
def test_what_was_equal_is_only_counted(upto: int) -> None:
    for equal in {min(upto, one) for one in (-1, 0, 3, 511, 4_000, 2**32, upto - 1, upto)}:
        looks = list(first_looks(3, upto, equal))
        ranges = [one for look in looks for one in look.ranges]
        assert (ranges[0][0], ranges[-1][1]) == (0, upto)
        assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(ranges))
        assert all(first % look.width == 0 for look in looks for first, _ in look.ranges)
        counted = max((look.ranges[-1][1] for look in looks if look.counted), default=-1)
        assert counted <= equal
        assert equal - counted <= max(1, (upto - equal) // 256)


@pytest.mark.parametrize("equal", [-1, 0, 500, 59_000, 60_000])
def test_a_deletion_is_found_once_on_each_side_of_what_was_equal(equal: int) -> None:
    gone = {3, 255, 256, 40_000, 58_999, 59_000, 59_001, 60_000}
    source = sorted(set(range(60_001)) - gone)
    waiting, found = list(first_looks(0, 60_000, equal)), list[int]()
    while waiting:
        look = waiting.pop()
        starts = differing(look, sums(look, source), sums(look, range(60_001)))
        if look.width == 1:
            found += starts
        else:
            waiting += narrower_looks(look, starts)
    assert sorted(found) == sorted(gone)


def test_an_empty_shard_is_not_looked_at() -> None:
    assert list(first_looks(0, -1)) == []


def test_few_searches_find_one_document_among_many() -> None:
    upto = 10**9
    look, *others = first_looks(0, upto)
    assert not others
    steps = 1
    while look.width > 1:
        (look,) = narrower_looks(look, [123_456_789 // look.width * look.width])
        steps += 1
        assert look.ranges[0][0] <= 123_456_789 <= look.ranges[0][1]
    assert steps <= 5


def test_narrower_looks_are_bounded_and_cover_what_differs() -> None:
    look = Look(0, ((0, 2**20 - 1),), 2048)
    starts = list(range(0, 2**20, 4096))  # no two are neighbours
    looks = list(narrower_looks(look, starts))
    for one in looks:
        assert len(one.ranges) <= MOST_RANGES
        assert sum(last - first + 1 for first, last in one.ranges) // one.width <= MOST_BUCKETS
    assert [first for one in looks for first, _ in one.ranges] == starts


def test_neighbours_become_one_range_that_ends_where_the_shard_did() -> None:
    (look,) = narrower_looks(Look(0, ((0, 999),), SMALL), [256, 512, 768])
    assert look == Look(0, ((256, 999),), 1)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_differs_is_found(seed: int) -> None:
    rng = random.Random(seed)
    upto = rng.choice([0, 300, 3_000, 60_000])
    source = sorted(rng.sample(range(upto + 1), rng.randint(1, upto + 1)))
    lost = set(rng.sample(source, min(len(source), rng.choice([0, 1, 5, 500]))))
    extra = rng.choices(range(upto + 1), k=rng.choice([0, 1, 5]))  # some of them twice
    target = [one for one in source if one not in lost] + extra
    counts = Counter(source), Counter(target)
    expected = {one for one in range(upto + 1) if counts[0][one] != counts[1][one]}
    assert search(upto, source, target)[0] == expected


@pytest.mark.parametrize(("first", "apart", "beside"), [(10, 1, 1), (0, 400, 7), (900_000, 3, 200)])
def test_two_lost_and_two_surplus_do_not_cancel_in_one_stretch(first: int, apart: int, beside: int) -> None:
    lost = {first, first + 2 * beside + apart}
    surplus = {first + beside, first + beside + apart}
    assert sum(lost) == sum(surplus)
    everything = set(range(max(0, first - 2000), min(10**6, first + 4000)))
    source, target = sorted(everything - surplus), sorted(everything - lost)
    assert search(10**6 - 1, source, target)[0] == lost | surplus


def test_equal_sides_take_one_look() -> None:
    assert search(60_000, list(range(60_001)), list(range(60_001))) == (set(), 1)


def test_rounded_squares_are_no_difference() -> None:
    look = Look(0, ((0, 10**9),), 2**21)
    squares = 1e24
    assert differing(look, {0: Sums(5, 1.0, squares)}, {0: Sums(5, 1.0, squares * (1 + 2**-51))}) == []
    assert differing(look, {0: Sums(5, 1.0, squares)}, {0: Sums(5, 1.0, squares * 1.001)}) == [0]
