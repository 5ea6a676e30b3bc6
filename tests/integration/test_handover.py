"""A worker that goes from slice to slice, with two of them in hand in between, on a real OpenSearch."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import DataError
from ce2de_os.index.bulk import BulkWriter
from ce2de_os.reindex import dead_letters, operate
from ce2de_os.reindex.job import DONE, FAILED, PAUSED, RUNNING, WAITING, Job, Slice
from ce2de_os.reindex.ledger import LEASE_S, Ledger
from ce2de_os.reindex.queue import after_error
from ce2de_os.reindex.slices.held import HeldSlice
from ce2de_os.reindex.slices.memory import FIRST_PAGE, JobMemory
from ce2de_os.reindex.slices.orders import LOOK_S
from ce2de_os.reindex.slices.pipeline import run_slice, run_slices
from ce2de_os.reindex.status import status
from tests.integration.indexes import (
    HashEncoder,
    InlineQueue,
    articles,
    assert_same_documents,
    begin,
    create_index,
)
from tests.integration.jobs import Run, StartWorker, Tally, has_ended, lift_throttle, start_detached, wait_for

ENCODER = HashEncoder()
BUDGET_S = 120.0

pytestmark = pytest.mark.timeout(600)


class Watching(HashEncoder):
    """Calls ``then`` before it encodes, with the texts."""

    def __init__(self, then: Callable[[list[str]], None]) -> None:
        super().__init__()
        object.__setattr__(self, "_then", then)

    def encode_documents(self, texts: Any) -> Any:
        self._then(list(texts))  # type: ignore[attr-defined]
        return super().encode_documents(texts)


class DeathError(BaseException):
    """Ends a worker without a chance to tidy up."""


def job_of(client: OpenSearch, source: str, count: int, queue: InlineQueue) -> Job:
    """A job with a slice for each thousand documents."""
    create_index(client, source, articles(count))
    job = begin(client, source, queue)
    assert len(job.ranges) == count // 1000
    return job


def in_hand(client: OpenSearch, job: Job) -> list[Slice]:
    return [record for record in Ledger(client).slices(job) if record.state == RUNNING]


def assert_finished(client: OpenSearch, source: str, job: Job, queue: InlineQueue) -> None:
    queue.run(client, ENCODER)
    found = status(client, job.job_id)
    assert found.job.state == DONE, (found.job.error, found.errors)
    assert_same_documents(client, source, job.target, ENCODER)


def at_its_end(client: OpenSearch, job: Job, texts: list[str]) -> bool:
    """Whether these are the last documents of slice 0; if so, the next slice is in hand too by now."""
    if not any(" 999\n" in text for text in texts):
        return False
    deadline = time.monotonic() + 30
    while len(in_hand(client, job)) < 2:
        assert time.monotonic() < deadline, "no slice was taken ahead"
        time.sleep(0.02)
    return True


def test_one_task_goes_through_all_slices(client: OpenSearch, index_name: str) -> None:
    queue, pages, most = InlineQueue(), [], [0]
    job = job_of(client, index_name, 4000, queue)

    def note(texts: list[str]) -> None:
        pages.append(len(texts))
        most[0] = max(most[0], len(in_hand(client, job)))

    assert run_slices(client, Watching(note), job.job_id, 2, "one", BUDGET_S) is None
    records = Ledger(client).slices(job)
    assert {(record.state, record.owner) for record in records} == {(DONE, None)}
    assert [record.counts.documents for record in records] == [1000] * 4
    assert sum(pages) == 4000
    before = accumulate(pages[:-1], initial=0)
    begins = [size for size, documents in zip(pages, before, strict=True) if documents % 1000 == 0]
    assert begins[0] == FIRST_PAGE
    assert min(begins[1:]) > FIRST_PAGE, "only the first slice begins with small pages"
    assert most == [2]
    assert not run_slice(client, ENCODER, job.job_id, 0, "late", BUDGET_S)
    assert_finished(client, index_name, job, queue)
    assert status(client, job.job_id).counts.documents == 4000


def test_one_slice_alone_if_that_is_asked_for(client: OpenSearch, index_name: str) -> None:
    queue = InlineQueue()
    job = job_of(client, index_name, 2000, queue)
    assert not run_slice(client, ENCODER, job.job_id, 1, "one", BUDGET_S)
    assert [record.state for record in Ledger(client).slices(job)] == [WAITING, DONE]
    assert_finished(client, index_name, job, queue)


def test_a_message_of_a_slice_that_is_held_leads_to_another_at_once(
    client: OpenSearch, index_name: str
) -> None:
    queue = InlineQueue()
    job = job_of(client, index_name, 3000, queue)
    ledger = Ledger(client)
    ledger.claim(ledger.slice(job.job_id, 0), "another")
    started = []
    watching = Watching(lambda _: started.append(time.monotonic()))
    asked = time.monotonic()
    assert run_slices(client, watching, job.job_id, 0, "one", 0.0) in (1, 2)
    assert started[0] - asked < 4, "it does not wait to see whether the other one lives"
    assert ledger.slice(job.job_id, 0).slice.owner == "another"


def test_a_lease_lost_on_one_slice_while_the_next_goes_on(client: OpenSearch, index_name: str) -> None:
    queue = InlineQueue()
    job = job_of(client, index_name, 3000, queue)
    ledger = Ledger(client)

    def take_over(texts: list[str]) -> None:
        if at_its_end(client, job, texts):
            taken = {"owner": "another", "lease_until_s": ledger.now() + 60}
            while ledger.change_slice(ledger.slice(job.job_id, 0), **taken) is None:
                pass  # the page before was being written

    assert run_slices(client, Watching(take_over), job.job_id, 0, "one", BUDGET_S) is None
    first, *others = ledger.slices(job)
    assert (first.state, first.owner) == (RUNNING, "another")
    assert first.cursor < 999, "its last page was not its any more"
    assert {(record.state, record.counts.documents) for record in others} == {(DONE, 1000)}
    ledger.change_slice(ledger.slice(job.job_id, 0), lease_until_s=0.0)
    assert_finished(client, index_name, job, queue)


def test_the_death_of_a_worker_with_two_slices(client: OpenSearch, index_name: str) -> None:
    """The deadly document is the last of the first slice; the second one has begun when it is encoded."""
    queue = InlineQueue()
    job = job_of(client, index_name, 2000, queue)
    held_at_death: list[int] = []

    def die(texts: list[str]) -> None:
        if held_at_death and any(" 999\n" in text for text in texts):
            held_at_death.append(len(in_hand(client, job)))
        elif at_its_end(client, job, texts):
            held_at_death.append(2)
        else:
            return
        raise DeathError

    while status(client, job.job_id).slices.get("done") != 2:
        name = f"w{len(held_at_death)}"
        try:
            run_slices(client, Watching(die), job.job_id, 0, name, BUDGET_S, is_gone=lambda _: True)
        except DeathError:
            assert len(held_at_death) < 10
    assert 4 <= len(held_at_death) <= 6
    (letter,) = dead_letters.letters(client, job.job_id)
    assert (letter.doc_id, letter.kind) == ("999", dead_letters.KILLER)
    assert [record.counts.refused for record in Ledger(client).slices(job)] == [1, 0]
    client.indices.refresh(index=job.target)
    assert client.count(index=job.target)["count"] == 1999


def test_a_pause_gives_both_slices_back(client: OpenSearch, index_name: str) -> None:
    queue, pages = InlineQueue(), []
    job = job_of(client, index_name, 3000, queue)

    def pause(texts: list[str]) -> None:
        pages.append(len(texts))
        if at_its_end(client, job, texts):
            operate.pause(client, job.job_id)
            time.sleep(LOOK_S)

    assert run_slices(client, Watching(pause), job.job_id, 0, "one", BUDGET_S) is None
    found = status(client, job.job_id)
    assert (found.job.state, found.workers, dict(found.slices)) == (PAUSED, 0, {DONE: 1, WAITING: 2})
    assert found.counts.documents == sum(pages) == 1000, "the page in hand is written, no other is begun"
    operate.resume(client, queue, job.job_id)
    assert_finished(client, index_name, job, queue)
    assert status(client, job.job_id).counts.documents == 3000


def test_a_slice_that_fails_gives_the_next_one_back(client: OpenSearch, index_name: str) -> None:
    queue = InlineQueue()
    job = job_of(client, index_name, 2000, queue)

    def fail(texts: list[str]) -> None:
        if at_its_end(client, job, texts):
            raise DataError("no such luck")

    with pytest.raises(DataError):
        run_slices(client, Watching(fail), job.job_id, 0, "one", BUDGET_S)
    failed, given_back = Ledger(client).slices(job)
    assert (failed.state, failed.owner, failed.last_error) == (FAILED, None, "no such luck")
    assert (given_back.state, given_back.owner, given_back.last_error) == (WAITING, None, None)
    queue.messages.clear()
    queue.messages.append(("another job", 7))
    after_error(Ledger(client), queue, job.job_id, 0, "no such luck")
    assert list(queue.messages) == [("another job", 7), (job.job_id, 1)]


def test_a_lease_is_kept_while_its_slice_waits(client: OpenSearch, index_name: str) -> None:
    job = job_of(client, index_name, 1000, InlineQueue())
    ledger = Ledger(client)
    stored = ledger.claim(ledger.slice(job.job_id, 0), "one")
    assert stored is not None
    with BulkWriter(client) as writer:
        held = HeldSlice(client, ledger, job, stored, writer, JobMemory())
        held.keep()
        assert ledger.slice(job.job_id, 0).seq_no == stored.seq_no, "most of it is left"
        stored = ledger.change_slice(stored, lease_until_s=ledger.now() + LEASE_S / 3)
        assert stored is not None
        held = HeldSlice(client, ledger, job, stored, writer, JobMemory())
        held.keep()
        assert ledger.slice(job.job_id, 0).slice.lease_until_s > ledger.now() + LEASE_S - 2
        ledger.change_slice(ledger.slice(job.job_id, 0), owner="another", lease_until_s=0.0)
        assert held.settle() is False
    assert ledger.slice(job.job_id, 0).slice.owner == "another"


def test_a_worker_killed_with_two_slices_in_hand(
    client: OpenSearch,
    index_name: str,
    ce2de: Run,
    start_worker: StartWorker,
    assert_all_there: Callable[..., Tally],
) -> None:
    create_index(client, index_name, articles(5000))
    victim = start_worker()
    job_id = start_detached(ce2de, index_name, "--docs-per-second", "150")
    job = Ledger(client).job(job_id).job
    deadline = time.monotonic() + 120
    while len(held := in_hand(client, job)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    assert len({record.owner for record in held}) == 1
    start_worker()
    start_worker()
    lift_throttle(ce2de, job_id)
    wait_for(client, job_id, has_ended)
    assert_all_there(job_id, "a worker killed with two slices in hand")
    assert max(record.deaths for record in Ledger(client).slices(job)) == 0
