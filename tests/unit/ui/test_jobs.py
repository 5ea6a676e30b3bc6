"""What can be done with a job, what follows from it, and the streams; without any server."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import Message, Scope

from ce2de_os.errors import JobError
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.cutover.rollback import RollbackPlan
from ce2de_os.reindex.job import (
    CANCELLED,
    DONE,
    FAILED,
    FINISHING,
    FOLLOWING,
    HANDOVER,
    MIRROR,
    PAUSED,
    READY,
    ROLLED_BACK,
    ROLLING_BACK,
    STATES,
    SWITCHING,
    TARGET,
    Job,
    Part,
    Range,
)  # fmt: skip
from ce2de_os.server.gate import ENDING
from ce2de_os.ui.errors import PageError
from ce2de_os.ui.jobs import live
from ce2de_os.ui.jobs.actions import AT_ONCE, Action, Actions
from ce2de_os.ui.jobs.forms import check_typed, choices
from ce2de_os.ui.jobs.live import MOST_STREAMS, Feed, Feeds, LiveResponse, Streams
from ce2de_os.ui.jobs.verbs import VERBS, consequences, possible

JOB = Job(
    job_id="a-1", source="a", mode="copy", parts=(Part("a", "uuid", "a-new", documents=10, snapshot=(9,)),),
    alias="a-search", text=TextSpec(("title",)), vector=VectorField("v", 3), fingerprint="f" * 64,
    model="tiny", space="s", ranges=(Range(0, 0, -1, None),), created_at_s=100.0, way=MIRROR,
)  # fmt: skip
STANDING = replace(JOB, standing=True, state=FOLLOWING)


@pytest.mark.parametrize(
    ("job", "names"),
    [
        (JOB, "pause resume throttle"),
        (replace(JOB, state=FINISHING), "pause resume throttle"),
        (replace(JOB, state=FINISHING, truth=SWITCHING), "pause resume throttle cutover"),
        (replace(JOB, state=PAUSED), "resume throttle verify"),
        (replace(JOB, state=READY), "verify cutover"),
        (replace(JOB, state=DONE), "verify rollback"),
        (replace(JOB, state=ROLLING_BACK), "rollback"),
        (replace(JOB, state=ROLLED_BACK), "verify cutover"),
        (replace(JOB, state=FAILED), "verify cutover"),
        (replace(JOB, state=FAILED, truth=TARGET), "verify"),
        (replace(JOB, state=CANCELLED), ""),
        (STANDING, "pause resume throttle verify"),
        (replace(STANDING, state=FAILED), "resume verify"),
        (replace(STANDING, state=PAUSED), "resume throttle verify"),
    ],
)
def test_only_what_the_state_allows_is_offered(job: Job, names: str) -> None:
    assert " ".join(verb.name for verb in possible(job)) == names


def test_what_cannot_be_undone_is_typed() -> None:
    assert [verb.name for verb in VERBS.values() if verb.typed] == ["cutover", "rollback"]


@pytest.mark.parametrize(
    ("verb", "job", "said"),
    [
        ("pause", JOB, "Nothing is lost."),
        ("pause", STANDING, "BM25 finds them, vectors do not"),
        ("resume", JOB, "goes on already"),
        ("resume", replace(JOB, state=PAUSED), "the alias 'a-search' moves by itself"),
        ("resume", replace(JOB, state=PAUSED, hold=True), "moves with a cutover"),
        ("throttle", replace(JOB, docs_per_s=7.5), "now: 7.5 documents a second"),
        ("throttle", JOB, "now: none"),
        ("verify", replace(JOB, state=FAILED), "becomes ready for the cutover"),
        ("cutover", JOB, "the alias 'a-search' moves to a-new"),
        ("cutover", replace(JOB, way=HANDOVER), "its application has to repeat it"),
        ("cutover", replace(JOB, mode="in_place", alias=None, way=None), "is marked as ready"),
    ],
)
def test_consequences_are_spelled_out(verb: str, job: Job, said: str) -> None:
    assert said in " ".join(consequences(VERBS[verb], job))


def test_every_verb_says_something_in_every_state() -> None:
    for state in STATES:
        for verb in possible(replace(JOB, state=state)):
            assert consequences(verb, replace(JOB, state=state), RollbackPlan(0, 0, ()))


@pytest.mark.parametrize(
    ("job", "plan", "said"),
    [
        (replace(JOB, state=DONE, before={"old": {}}), RollbackPlan(0, 0, ()), "moves back to old"),
        (replace(JOB, state=DONE), RollbackPlan(0, 0, ()), "have written nothing"),
        (
            replace(JOB, state=DONE, way=HANDOVER, truth=TARGET),
            RollbackPlan(1200, 3, ("x",)),
            "wrote 1,200 documents and deleted 3 (such as x); that will be copied back",
        ),
        (replace(JOB, state=DONE, mode="in_place"), RollbackPlan(0, 0, ()), "searches do without"),
    ],
)
def test_a_rollback_says_what_it_would_do(job: Job, plan: RollbackPlan, said: str) -> None:
    assert said in " ".join(consequences(VERBS["rollback"], job, plan))


@pytest.mark.parametrize("typed", ["", "a-2", "a-1 a-1", "A-1"])
def test_another_confirmation_is_refused(typed: str) -> None:
    check_typed({"typed": " a-1 "}, "a-1")
    with pytest.raises(PageError, match="expected the job's id 'a-1'"):
        check_typed({"typed": typed}, "a-1")


def test_forms_are_read() -> None:
    assert choices("throttle", {"docs_per_s": ""}) == {"docs_per_s": None}
    assert choices("throttle", {"docs_per_s": " 2.5 "}) == {"docs_per_s": 2.5}
    assert choices("cutover", {"accept_rejected": "yes"}) == {"accept_rejected": True}
    assert choices("rollback", {}) == {"discard_writes": False}
    assert choices("pause", {"docs_per_s": "x"}) == {}
    for text in ("0", "-1", "nan", "inf", "1e999", "many"):
        with pytest.raises(PageError, match="expected a number above 0"):
            choices("throttle", {"docs_per_s": text})


def ended(action: Action) -> Action:
    action.future.result(timeout=10)
    return action


def test_one_action_at_a_time_on_each_job() -> None:
    actions, go = Actions(), threading.Event()

    def work() -> list[str]:
        go.wait(10)
        return ["done"]

    first = actions.start("a-1", VERBS["verify"], work)
    with pytest.raises(PageError, match="'verify' is in progress on job 'a-1'"):
        actions.start("a-1", VERBS["cutover"], work)
    others = [actions.start(f"b-{number}", VERBS["pause"], work) for number in range(AT_ONCE - 1)]
    with pytest.raises(PageError, match="4 actions on other jobs"):
        actions.start("c-1", VERBS["pause"], work)
    assert not first.is_over
    go.set()
    assert all(ended(one).lines == ("done",) for one in (first, *others))
    assert actions.last("a-1") is first
    assert actions.last("c-1") is None
    ended(actions.start("a-1", VERBS["cutover"], list))


def test_an_error_is_kept_in_two_parts_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    def refused() -> list[str]:
        raise JobError("http://me:s3cret@here/ is away; start it")

    def broken() -> list[str]:
        raise RuntimeError("s3cret of a document")

    actions = Actions()
    assert ended(actions.start("a-1", VERBS["pause"], refused)).problem == (
        "http://me:***@here/ is away",
        "start it",
    )
    assert "s3cret" not in " ".join(ended(actions.start("a-1", VERBS["pause"], broken)).problem)
    assert "An action failed" in caplog.text


def test_pages_share_a_reading() -> None:
    readings: list[int] = []

    def read() -> int:
        readings.append(1)
        return len(readings)

    async def many() -> list[int]:
        feed = Feed(read)
        return list(await asyncio.gather(*(feed.newest() for _ in range(20))))

    assert set(asyncio.run(many())) == {1}
    feeds: Feeds[int] = Feeds()
    assert feeds.of("a", read) is feeds.of("a", read)
    kept = feeds.of("a", read)
    for number in range(live.MOST_FEEDS):
        feeds.of(str(number), read)
    assert feeds.of("a", read) is not kept


def events(response: LiveResponse, scope: dict[str, Any], until: int = 100) -> list[str]:
    """Let a stream run until it ends, or until the browser has gone after some events."""
    sent: list[str] = []

    async def run() -> None:
        gone = asyncio.Event()

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message.get("body", b"").decode())
            if len(sent) >= until:
                gone.set()

        wanted: Scope = {"type": "http", "asgi": {"spec_version": "2.3"}, **scope}
        await response(wanted, receive, send)

    asyncio.run(run())
    return [text for text in sent if text]


def test_a_stream_sends_what_has_changed_and_ends_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_S", 0.01)
    first, second = {"facts": "1", "verbs": "x"}, {"facts": "2\nlines", "verbs": "x"}
    left = [first, first, second]

    async def parts() -> dict[str, str]:
        return left.pop(0)

    streams = Streams()
    sent = events(LiveResponse(streams, parts), {ENDING: lambda: not left})
    assert sent[0] == "retry: 1000\n\n"
    assert sent[2] == ":\n\n"
    assert [json.loads(text.split("data: ")[1]) for text in sent if "data" in text] == [
        first,
        {"facts": "2\nlines"},
    ]
    assert streams.open == 0


def test_a_stream_ends_before_a_request_s_deadline_and_with_its_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "POLL_S", 0.01)

    async def parts() -> dict[str, str]:
        assert streams.open == 1
        return {}

    streams = Streams()
    events(LiveResponse(streams, parts), {}, until=4)
    assert streams.open == 0
    monkeypatch.setattr(live, "STREAM_S", 0.0)
    assert events(LiveResponse(streams, parts), {}) == ["retry: 1000\n\n", ":\n\n"]


def test_a_bounded_number_of_pages_watches() -> None:
    streams = Streams()
    streams.open = MOST_STREAMS - 1
    streams.check()
    streams.open += 1
    with pytest.raises(PageError, match="50 pages watch jobs already") as refused:
        streams.check()
    assert refused.value.status == 503
