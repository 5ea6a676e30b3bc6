"""What an operator does to a job, on a real OpenSearch, with the messages handled in this process."""

from __future__ import annotations

import itertools
import threading
import time
from importlib import import_module
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import JobError
from ce2de_os.reindex import operate
from ce2de_os.reindex.cutover.rollback import rollback
from ce2de_os.reindex.job import CANCELLED, DONE, FAILED, PAUSED, READY, ROLLED_BACK, RUNNING, Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.slices.pipeline import run_slice
from ce2de_os.reindex.status import status
from tests.integration.indexes import (
    HashEncoder,
    InlineQueue,
    articles,
    assert_same_documents,
    begin,
    create_index,
)

ENCODER = HashEncoder()


def held(client: OpenSearch, source: str, queue: InlineQueue, count: int = 30) -> Job:
    """A job that is ready for its cutover; before it, the alias points to the source."""
    create_index(client, source, articles(count))
    client.indices.put_alias(index=source, name=f"{source}-search")
    job = begin(client, source, queue, hold=True)
    queue.run(client, ENCODER)
    return Ledger(client).job(job.job_id).job


def alias_of(client: OpenSearch, job: Job) -> list[str]:
    return list(client.indices.get_alias(name=job.alias))


class Slow(HashEncoder):
    def encode_documents(self, texts: Any) -> Any:
        time.sleep(0.3)
        return super().encode_documents(texts)


def test_a_paused_job_stops_and_resumes_where_it_was(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(4000), number_of_shards=4)
    queue = InlineQueue()
    job = begin(client, index_name, queue)
    working = threading.Thread(target=queue.run, args=(client, Slow()))
    working.start()
    time.sleep(0.5)
    operate.pause(client, job.job_id)
    working.join(timeout=20)
    assert not working.is_alive()
    found = status(client, job.job_id)
    assert (found.job.state, found.workers) == (PAUSED, 0)
    assert 0 < found.counts.documents < 4000
    queue.run(client, ENCODER)
    assert not run_slice(client, ENCODER, job.job_id, 0, "late", 20.0), "a late message changes nothing"
    assert status(client, job.job_id).counts.documents == found.counts.documents
    operate.resume(client, queue, job.job_id)
    queue.run(client, ENCODER)
    found = status(client, job.job_id)
    assert (found.job.state, found.counts.documents) == (DONE, 4000), found.job.error
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_a_throttled_job_keeps_its_rate(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(200))
    queue = InlineQueue()
    begin(client, index_name, queue, docs_per_s=50.0)
    started = time.monotonic()
    queue.run(client, ENCODER)
    # 200 documents at 50 a second take 4 s; the last page's wait may be saved.
    assert time.monotonic() - started > 2.5


def test_a_throttle_is_lifted_while_the_job_runs(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(400))
    queue = InlineQueue()
    job = begin(client, index_name, queue, docs_per_s=1.0)
    working = threading.Thread(target=queue.run, args=(client, ENCODER))
    working.start()
    time.sleep(1)
    operate.throttle(client, job.job_id, None)
    working.join(timeout=60)  # at 1 document a second it would take more than six minutes
    assert not working.is_alive()
    assert status(client, job.job_id).job.state == DONE


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none(client: OpenSearch, rate: float) -> None:
    with pytest.raises(JobError, match="expected a number above 0"):
        operate.throttle(client, "any", rate)


def test_a_cancelled_job_can_be_cleaned_or_started_again(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(20))
    queue = InlineQueue()
    job = begin(client, index_name, queue)
    assert operate.cancel(client, job.job_id).state == CANCELLED
    queue.run(client, ENCODER)
    assert status(client, job.job_id).counts.documents == 0
    assert begin(client, index_name, queue).state == RUNNING
    operate.cancel(client, job.job_id)
    queue.messages.clear()
    assert operate.clean(client, job.job_id, targets=True) == [job.target]
    assert not client.indices.exists(index=job.target)
    assert Ledger(client).find_job(job.job_id) is None
    assert client.count(index=index_name)["count"] == 20


def test_hold_cutover_rollback_and_cutover_again(client: OpenSearch, index_name: str) -> None:
    queue = InlineQueue()
    job = held(client, index_name, queue)
    assert (job.state, alias_of(client, job)) == (READY, [index_name])
    client.index(index=index_name, id="late", body={"title": "late"})
    assert operate.cutover(client, ENCODER, job.job_id, "operator").state == DONE
    assert alias_of(client, job) == [job.target]
    assert_same_documents(client, index_name, job.target, ENCODER)
    assert rollback(client, job.job_id).state == ROLLED_BACK
    assert alias_of(client, job) == [index_name]
    client.delete(index=index_name, id="late")
    assert operate.cutover(client, ENCODER, job.job_id, "operator").state == DONE
    assert alias_of(client, job) == [job.target]
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_a_cutover_copies_first_what_a_verification_missed(client: OpenSearch, index_name: str) -> None:
    queue = InlineQueue()
    job = held(client, index_name, queue)
    client.delete(index=job.target, id="3", refresh=True)
    report = operate.verify_job(client, ENCODER, job.job_id)
    (problem,) = report.problems
    assert f"1 documents of '{index_name}' are missing in '{job.target}': '3'" in problem
    assert operate.cutover(client, ENCODER, job.job_id, "operator").state == DONE
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_a_running_job_is_not_verified(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(3))
    job = begin(client, index_name, InlineQueue())
    with pytest.raises(JobError, match="is running; verify it when it is ready, done or failed"):
        operate.verify_job(client, ENCODER, job.job_id)


def test_documents_of_a_slice_that_failed_are_copied_before_the_alias_moves(
    client: OpenSearch, index_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("ce2de_os.reindex.setup.cutting"), "SLICE_OPERATIONS", 10)
    create_index(client, index_name, articles(20))
    queue, ledger = InlineQueue(), Ledger(client)
    job = begin(client, index_name, queue, follow=False)
    failed = ledger.change_slice(ledger.slice(job.job_id, 0), state=FAILED, last_error="a cause that is gone")
    assert failed is not None
    queue.run(client, ENCODER)
    assert Ledger(client).job(job.job_id).job.state == FAILED
    problems = operate.verify_job(client, ENCODER, job.job_id).problems
    assert f"10 documents of '{index_name}' are missing" in problems[0]
    assert operate.cutover(client, ENCODER, job.job_id, "operator").state == DONE
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_a_vector_that_is_not_its_text_s_is_found(client: OpenSearch, index_name: str) -> None:
    queue = InlineQueue()
    job = held(client, index_name, queue)
    wrong = {"doc": {"title": "another text under the old vector"}}
    client.update(index=job.target, id="3", body=wrong, refresh=True)
    content, vector = operate.verify_job(client, ENCODER, job.job_id).problems
    assert "document '3' has other values" in content
    assert "differs from its text encoded again" in vector


def test_live_writes_while_it_finishes(client: OpenSearch, index_name: str) -> None:
    """Somebody writes all the time: counts never agree, and yet nothing is missing."""
    create_index(client, index_name, articles(300))
    queue = InlineQueue()
    job = begin(client, index_name, queue)
    stop = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if stop.wait(0.01):
                return
            client.index(index=index_name, id=f"w{number}", body={"title": f"written {number}"})

    writing = threading.Thread(target=write)
    writing.start()
    try:
        queue.run(client, ENCODER)
    finally:
        stop.set()
        writing.join()
    found = status(client, job.job_id)
    assert found.job.state == DONE, found.job.error
    queue.follow(client, ENCODER)
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_clean_removes_the_old_index_only_when_nothing_points_there(
    client: OpenSearch, index_name: str
) -> None:
    queue = InlineQueue()
    job = held(client, index_name, queue)
    with pytest.raises(JobError, match="applications still write to"):
        operate.clean(client, job.job_id, sources=True)
    operate.cutover(client, ENCODER, job.job_id, "operator")
    with pytest.raises(JobError, match="points to"):
        operate.clean(client, job.job_id, targets=True)
    assert operate.clean(client, job.job_id, sources=True) == [index_name]
    assert not client.indices.exists(index=index_name)
    assert alias_of(client, job) == [job.target]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda client, job: operate.resume(client, InlineQueue(), job), "that needs one that is paused"),
        (operate.pause, "is done; that needs one that is running"),
        (lambda client, job: operate.clean(client, job, sources=True), "alias"),
        (operate.cancel, "is done"),
    ],
)
def test_commands_that_do_not_fit_the_state(
    client: OpenSearch, index_name: str, wrong: Any, told: str
) -> None:
    queue = InlineQueue()
    job = held(client, index_name, queue, 3)
    operate.cutover(client, ENCODER, job.job_id, "operator")
    client.indices.put_alias(index=index_name, name=f"{index_name}-archive")
    with pytest.raises(JobError, match=told):
        wrong(client, job.job_id)
