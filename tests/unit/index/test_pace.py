"""The pace of the bulk writer: pure arithmetic."""

import random

import pytest

from ce2de_os.index.bulk.pace import (
    FIRST_BYTES,
    LEAST_BYTES,
    LONGEST_PAUSE_S,
    MOST_BYTES,
    MOST_IN_FLIGHT,
    STEP_BYTES,
    TARGET_S,
    BulkPace,
)


def pace_after(good_rounds: int) -> BulkPace:
    pace = BulkPace(random.Random(7))
    for _ in range(good_rounds):
        pace.accepted(0.1)
    return pace


def test_it_begins_carefully():
    pace = BulkPace()
    assert (pace.request_bytes, pace.in_flight, pace.pause_s) == (FIRST_BYTES, 1, 0.0)


def test_quick_answers_let_it_grow_step_by_step_up_to_the_caps():
    assert pace_after(2).request_bytes == FIRST_BYTES + 2 * STEP_BYTES
    assert pace_after(2).in_flight == 3
    assert (pace_after(50).request_bytes, pace_after(50).in_flight) == (MOST_BYTES, MOST_IN_FLIGHT)


def test_a_rejection_halves_both():
    pace = pace_after(50)
    pace.rejected()
    assert (pace.request_bytes, pace.in_flight) == (MOST_BYTES // 2, MOST_IN_FLIGHT // 2)


def test_rejections_never_end_below_one_small_request():
    pace = pace_after(50)
    for _ in range(30):
        pace.rejected()
    assert (pace.request_bytes, pace.in_flight) == (LEAST_BYTES, 1)


def test_pauses_double_up_to_a_limit_and_are_spread():
    pace, pauses = pace_after(0), []
    for _ in range(10):
        pace.rejected()
        pauses.append(pace.pause_s)
    longest = [0.2, 0.4, 0.8, 1.6] + [LONGEST_PAUSE_S] * 6
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))
    assert len(set(pauses[4:])) == 6
    pace.accepted(0.1)
    assert pace.pause_s == 0.0
    pace.rejected()
    assert pace.pause_s <= 0.2


@pytest.mark.parametrize(
    ("took_s", "expected"),
    [
        (TARGET_S / 2, MOST_BYTES),  # room to grow, but it is at the cap
        (TARGET_S * 0.75, MOST_BYTES),
        (TARGET_S, MOST_BYTES),
        (TARGET_S * 1.25, int(MOST_BYTES / 1.25)),
        (TARGET_S * 10, MOST_BYTES // 2),  # never to less than half at once
    ],
)
def test_slow_answers_make_requests_smaller(took_s, expected):
    pace = pace_after(50)
    pace.accepted(took_s)
    assert pace.request_bytes == expected
    assert pace.in_flight == MOST_IN_FLIGHT


def test_it_grows_again_after_a_storm():
    pace = pace_after(50)
    for _ in range(8):
        pace.rejected()
    for _ in range(8):
        pace.accepted(0.1)
    assert pace.request_bytes == LEAST_BYTES + 8 * STEP_BYTES or pace.request_bytes == MOST_BYTES
    assert pace.in_flight == MOST_IN_FLIGHT


def test_what_is_too_large_once_is_not_sent_again() -> None:
    pace = BulkPace()
    for _ in range(20):
        pace.accepted(0.1)
    pace.too_large(2 * 1024 * 1024)
    for _ in range(20):
        pace.accepted(0.1)
    assert pace.request_bytes == 1024 * 1024
