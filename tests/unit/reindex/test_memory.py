"""What a process remembers of a job between its tasks."""

from __future__ import annotations

import random

import pytest

from ce2de_os.reindex.slices import memory
from ce2de_os.reindex.slices.memory import OwnUpdates


def test_own_updates_are_skipped_up_to_the_first_gap() -> None:
    updates = OwnUpdates()
    updates.add([12, 10, 11])
    updates.add([14, 15, 13])
    updates.add([17])
    assert updates.past(8, 100) == 8
    assert updates.past(9, 100) == 15
    assert updates.past(15, 100) == 15
    assert updates.past(16, 100) == 17


def test_what_lies_beyond_the_end_of_a_run_is_kept() -> None:
    updates = OwnUpdates()
    updates.add(range(10, 20))
    assert updates.past(9, 14) == 14
    assert updates.past(14, 14) == 14
    assert updates.past(14, 30) == 19


@pytest.mark.parametrize("seed", range(20))
def test_only_own_updates_are_skipped_in_any_order(seed: int) -> None:
    chance = random.Random(seed)
    own = set(chance.sample(range(300), 200))
    updates, waiting = OwnUpdates(), list(own)
    chance.shuffle(waiting)
    for start in range(0, len(waiting), 7):
        updates.add(waiting[start : start + 7])
    cursor, skipped = -1, set[int]()
    while cursor < 299:
        reached = updates.past(cursor, min(299, cursor + chance.randrange(1, 40)))
        skipped |= set(range(cursor + 1, reached + 1))
        cursor = max(reached, cursor + 1) if reached == cursor else reached
    assert skipped <= own
    assert len(skipped) > 190


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST_RUNS", 50)
    updates = OwnUpdates()
    for number in range(0, 1000, 2):
        updates.add([number])
    assert len(updates._last) == len(updates._first) <= 52
