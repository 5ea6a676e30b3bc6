"""The operator's log shows the steps of a job's end."""

from __future__ import annotations

import logging

import pytest

from ce2de_os import logs
from ce2de_os.reindex.cutover.steps import STEPS, reached


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_one_debug_record_with_its_name_and_job(step, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "ce2de_os"):
        reached(step, "articles-1")
    (record,) = caplog.records
    line = logs.KeyValueFormatter("%(levelname)s %(message)s").format(record)
    assert line == f"DEBUG Reached a step [action=step job=articles-1 step={step}]"


def test_a_step_is_silent_unless_debug_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ce2de_os"):
        reached("blocked", "articles-1")
    assert caplog.records == []
