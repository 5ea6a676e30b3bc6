from __future__ import annotations

import logging
from importlib import import_module

import pytest

from ce2de_os.errors import BrokerUnavailableError
from ce2de_os.reindex.queue import pass_on


def test_work_is_passed_on_when_the_broker_answers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("ce2de_os.reindex.queue"), "_PAUSE_S", 0.01)
    answers = iter([BrokerUnavailableError(), BrokerUnavailableError(), None])
    sent = []

    def send() -> None:
        if (error := next(answers)) is not None:
            raise error
        sent.append(1)

    pass_on(send, "job")
    assert sent == [1]


def test_a_broker_that_stays_away_does_not_fail_the_task(caplog: pytest.LogCaptureFixture) -> None:
    def send() -> None:
        raise BrokerUnavailableError("Redis does not answer")

    with caplog.at_level(logging.WARNING):
        pass_on(send, "job", patience_s=0.0)
    (record,) = caplog.records
    assert (record.__dict__["action"], record.__dict__["job"]) == ("message_lost", "job")
