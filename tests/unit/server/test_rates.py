"""How often one key may ask."""

from __future__ import annotations

from ce2de_os.server.rates import Rates

ONE, OTHER = b"one", b"other"


class Clock:
    """Seconds that the test chooses."""

    s = 1000.0

    def __call__(self):
        return self.s


def test_a_minute_s_requests_may_come_at_once_and_then_one_by_one():
    clock = Clock()
    rates = Rates(60, clock)
    assert [rates.wait_s(ONE) for _ in range(60)] == [0] * 60
    assert rates.wait_s(ONE) == 1
    clock.s += 1
    assert (rates.wait_s(ONE), rates.wait_s(ONE)) == (0, 1)


def test_a_request_that_is_turned_away_does_not_count():
    clock = Clock()
    rates = Rates(1, clock)
    assert rates.wait_s(ONE) == 0
    assert [rates.wait_s(ONE) for _ in range(100)] == [60] * 100
    clock.s += 60
    assert rates.wait_s(ONE) == 0


def test_every_key_has_its_own():
    rates = Rates(1, Clock())
    assert (rates.wait_s(ONE), rates.wait_s(OTHER)) == (0, 0)
    assert rates.wait_s(ONE) == 60


def test_no_more_in_any_minute_than_a_minute_s_requests_twice():
    clock, entered = Clock(), []
    rates = Rates(30, clock)
    for _ in range(2000):
        clock.s += 0.1
        if not rates.wait_s(ONE):
            entered.append(clock.s)
    for start in entered:
        assert sum(start <= at < start + 60 for at in entered) <= 60
    assert len(entered) == 30 + 100  # a minute's at once, then two seconds for each of the 200
