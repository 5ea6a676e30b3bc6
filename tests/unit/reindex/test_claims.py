from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ce2de_os.reindex.job import DONE, FAILED, RUNNING, WAITING, Range, Slice
from ce2de_os.reindex.ledger import StoredSlice
from ce2de_os.reindex.slices.claims import HELD_S, in_turn, may_go_along, patience


def a_slice(number: int, upto: int | None = 99, state: str = WAITING, page_limit: int | None = None) -> Slice:
    return Slice("job", number, Range(0, 0, -1, upto), cursor=-1, state=state, page_limit=page_limit)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"state": RUNNING}, False),
        ({"state": DONE}, False),
        ({"state": FAILED}, False),
        ({"page_limit": 16}, False),  # somebody died of it
    ],
)
def test_what_may_be_taken_beside_another_slice(changes: dict[str, object], expected: bool) -> None:
    assert may_go_along(replace(a_slice(0), **changes)) is expected  # type: ignore[arg-type]


def order(records: list[Slice], seed: int) -> list[int]:
    found = [StoredSlice(0, 1, record) for record in records]
    return [stored.slice.number for stored in in_turn(found, random.Random(seed))]


def test_open_ends_come_late_and_dangerous_slices_last() -> None:
    records = [a_slice(0, page_limit=16), a_slice(1, upto=None), a_slice(2), a_slice(3, state=RUNNING)]
    for seed in range(10):
        turn = order(records, seed)
        assert turn[:2] == [2, 1]
        assert set(turn[2:]) == {0, 3}


def test_workers_choose_differently() -> None:
    records = [a_slice(number) for number in range(100)]
    assert len({order(records, seed)[0] for seed in range(20)}) > 10
    assert sorted(order(records, 1)) == list(range(100))
    assert order([], 1) == []


@pytest.mark.parametrize(
    ("lease_left_s", "waited_s", "expected"),
    [
        (30.0, 0.0, HELD_S),  # a living worker renews it sooner
        (30.0, HELD_S, 31.0),  # it did not: wait until the lease is over
        (2.0, 0.0, 3.0),
        (-60.0, 0.0, 0.2),
    ],
)
def test_patience_with_a_lease(lease_left_s: float, waited_s: float, expected: float) -> None:
    assert patience(lease_left_s, waited_s) == expected
