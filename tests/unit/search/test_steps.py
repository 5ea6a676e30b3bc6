"""The two drivers, with steps that need no cluster."""

import asyncio

import pytest

from ce2de_os.errors import DataError
from ce2de_os.search.steps import Compute, drive, drive_async


def both(steps):
    """The outcome under the sync driver, which must be that under the async one."""
    outcome = drive(None, steps())
    assert asyncio.run(drive_async(None, steps())) == outcome
    return outcome


def test_outcomes_are_sent_back():
    def steps():
        first = yield Compute(lambda: 2)
        second = yield Compute(lambda: first + 3)
        return (first, second)

    assert both(steps) == (2, 5)


def test_no_steps_at_all():
    def steps():
        return "done"
        yield

    assert both(steps) == "done"


def fail():
    raise DataError("broken")


def test_an_error_can_be_handled_at_its_step():
    def steps():
        try:
            yield Compute(fail)
        except DataError as error:
            return str(error)

    assert both(steps) == "broken"


def test_an_error_that_is_not_handled_comes_out():
    def steps():
        yield Compute(fail)

    with pytest.raises(DataError, match="broken"):
        drive(None, steps())
    with pytest.raises(DataError, match="broken"):
        asyncio.run(drive_async(None, steps()))
