"""Jobs whose messages are lost go on by themselves."""

from __future__ import annotations

import re
import time

import pytest
from opensearchpy import OpenSearch

from ce2de_os import OnnxEncoder
from ce2de_os.cli import checks
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex import dead_letters
from ce2de_os.reindex.dead_letters import DeadLetter
from ce2de_os.reindex.job import DONE, FAILED, FINISHING, RUNNING, Job
from ce2de_os.reindex.ledger import LEDGER_INDEX, Ledger
from ce2de_os.reindex.metrics import LedgerCollector
from ce2de_os.reindex.operate import clean
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.status import entries, status
from ce2de_os.reindex.sweep import sweep
from tests.integration.indexes import HashEncoder, InlineQueue, all_documents, articles, create_index
from tests.integration.jobs import Run, StartWorker, has_ended, wait_for

ENCODER = HashEncoder()


@pytest.fixture
def lost(client: OpenSearch, index_name: str) -> Job:
    """A job of three slices all of whose messages are lost."""
    create_index(client, index_name, articles(3000))
    request = JobRequest(index_name, TextSpec(("title", "body")), alias=f"{index_name}-search")
    job = start(client, request, ENCODER, InlineQueue())
    client.indices.refresh(index=LEDGER_INDEX)
    return job


def swept(
    client: OpenSearch, job: Job, queue: InlineQueue, dead: tuple[str, ...] = ()
) -> list[tuple[str, int | None]]:
    """The messages that a sweep sends for a job; other tests' jobs may be in the ledger too."""
    queue.messages.clear()
    client.indices.refresh(index=LEDGER_INDEX)
    sweep(Ledger(client), queue, is_gone=dead.__contains__)
    found = [message for message in queue.messages if message[0] == job.job_id]
    queue.messages.clear()
    return found


def test_a_job_without_messages_is_found_and_done(client: OpenSearch, lost: Job) -> None:
    queue = InlineQueue()
    assert swept(client, lost, queue) == [(lost.job_id, 0)], "one message is enough"
    queue.messages.append((lost.job_id, 0))
    queue.run(client, ENCODER)
    assert status(client, lost.job_id).job.state == DONE
    assert swept(client, lost, queue) == []


def test_a_job_whose_start_died_before_its_slices_were_there_is_found_and_done(
    client: OpenSearch, lost: Job
) -> None:
    """Without slices nothing seems to be left to do; the alias would move to an empty copy."""
    lines = [{"delete": {"_id": f"slice:{lost.job_id}:{number}"}} for number in range(len(lost.ranges))]
    client.bulk(index=LEDGER_INDEX, body=lines)
    queue = InlineQueue()
    assert swept(client, lost, queue) == [(lost.job_id, 0)]
    queue.messages.append((lost.job_id, 0))
    queue.run(client, ENCODER)
    assert status(client, lost.job_id).job.state == DONE
    assert len(all_documents(client, lost.target)) == 3000


def test_where_somebody_works_or_comes_back_nothing_is_sent(client: OpenSearch, lost: Job) -> None:
    ledger, queue = Ledger(client), InlineQueue()
    claimed = ledger.claim(ledger.slice(lost.job_id, 0), "one")
    assert claimed is not None
    assert swept(client, lost, queue) == []
    assert swept(client, lost, queue, dead=("another",)) == []
    assert swept(client, lost, queue, dead=("one",)) == [(lost.job_id, 0)]
    back = ledger.change_slice(claimed, state="waiting", owner=None, retry_at_s=ledger.now() + 60)
    assert back is not None
    assert swept(client, lost, queue) == []
    assert ledger.change_slice(back, state=RUNNING, owner="dead", retry_at_s=0.0, lease_until_s=0.0)
    assert swept(client, lost, queue) == [(lost.job_id, 0)]
    queue.messages.append(("another", 0))
    assert lost.job_id not in sweep(ledger, queue), "messages wait"


def test_an_end_that_is_lost_is_asked_for_again(client: OpenSearch, lost: Job) -> None:
    ledger, queue = Ledger(client), InlineQueue()
    ledger.change_job(ledger.job(lost.job_id), state=FINISHING, owner="dead", lease_until_s=1.0)
    assert swept(client, lost, queue) == [(lost.job_id, None)]
    later = time.time() + 100
    ledger.change_job(ledger.job(lost.job_id), owner="alive", lease_until_s=later)
    assert swept(client, lost, queue) == []
    assert swept(client, lost, queue, dead=("alive",)) == [(lost.job_id, None)], "it is not alive any more"
    ledger.change_job(ledger.job(lost.job_id), state=FAILED, owner=None)
    assert swept(client, lost, queue) == []


def test_a_damaged_record_does_not_hide_other_jobs(client: OpenSearch, lost: Job) -> None:
    damaged = {"kind": "job", "state": RUNNING, "job_id": "damaged"}
    client.index(index=LEDGER_INDEX, id="job:damaged", body=damaged, refresh=True)
    try:
        assert swept(client, lost, InlineQueue()) == [(lost.job_id, 0)]
    finally:
        client.delete(index=LEDGER_INDEX, id="job:damaged")


@pytest.mark.timeout(300)
def test_a_worker_takes_up_a_job_whose_messages_were_lost_when_it_starts(
    client: OpenSearch, index_name: str, start_worker: StartWorker
) -> None:
    create_index(client, index_name, articles(500))
    request = JobRequest(index_name, TextSpec(("title", "body")), alias=f"{index_name}-search")
    job = start(client, request, OnnxEncoder().artifact, InlineQueue())
    client.indices.refresh(index=LEDGER_INDEX)
    start_worker()
    assert wait_for(client, job.job_id, has_ended).job.state == DONE


def test_a_damaged_or_newer_record_hides_no_other_job(client: OpenSearch, lost: Job) -> None:
    damaged = {"kind": "job", "state": RUNNING, "job_id": "damaged", "created_at_s": 1.0}
    newer = {**lost.to_source(), "job_id": "newer", "schema": 99}
    for record in (damaged, newer):
        client.index(index=LEDGER_INDEX, id=f"job:{record['job_id']}", body=record, refresh=True)
    try:
        seen = {entry.job_id: entry.status for entry in entries(client)}
        assert seen["damaged"] is seen["newer"] is None
        assert seen[lost.job_id] is not None
        assert lost.job_id in {job.job_id for job in Ledger(client).jobs()}
    finally:
        for record in (damaged, newer):
            client.delete(index=LEDGER_INDEX, id=f"job:{record['job_id']}")


def test_jobs_that_ended_long_ago_are_found(client: OpenSearch, lost: Job) -> None:
    ledger = Ledger(client)
    assert lost.job_id not in {job.job_id for job in ledger.ended_before(0.0)}
    ended = ledger.now() - 1000
    ledger.change_job(ledger.job(lost.job_id), state=DONE, finished_at_s=ended)
    assert lost.job_id in {job.job_id for job in ledger.ended_before(900.0)}
    assert lost.job_id not in {job.job_id for job in ledger.ended_before(2000.0)}


def test_records_that_are_kept_are_counted(
    client: OpenSearch, lost: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def metric() -> float:
        (found,) = [one for one in LedgerCollector(client).collect() if one.name == "ce2de_ended_jobs"]
        return found.samples[0].value

    ledger, before = Ledger(client), metric()
    assert checks._records(client).state == checks.OK
    month = 31 * 86_400
    ledger.change_job(ledger.job(lost.job_id), state=DONE, finished_at_s=ledger.now() - month)
    dead_letters.add(client, [DeadLetter(lost.job_id, 0, "s", "1", None, 400, "odd", "odd", ledger.now())])
    assert metric() == before + 1
    monkeypatch.setattr(checks, "MANY_JOBS", 0)
    found = checks._records(client)
    assert found.state == checks.WARNING
    assert f"{before + 1:,.0f} ended jobs and " in found.finding
    assert int(re.search(r"(\d+) dead letters", found.finding)[1]) >= 1
    assert "ce2de reindex clean --ended-before 30d" in found.action
    clean(client, lost.job_id)
    assert metric() == before
    assert dead_letters.count(client, lost.job_id) == 0


def test_a_ledger_that_was_deleted_under_a_worker_gets_its_mapping_back(
    client: OpenSearch, index_name: str, lost: Job
) -> None:
    ledger = Ledger(client)
    stored = ledger.job(lost.job_id)
    client.indices.delete(index=LEDGER_INDEX)
    assert ledger.change_job(stored, docs_per_s=1.0) is None  # OpenSearch makes the index for this request
    ledger.create()
    mappings = client.indices.get_mapping(index=LEDGER_INDEX)[LEDGER_INDEX]["mappings"]
    assert mappings["properties"]["kind"] == {"type": "keyword"}
    request = JobRequest(index_name, TextSpec(("title", "body")), alias=f"{index_name}-search")
    job = start(client, request, ENCODER, InlineQueue())
    client.indices.refresh(index=LEDGER_INDEX)
    assert job.job_id in {one.job_id for one in ledger.active_jobs()}


def test_records_of_jobs_that_ended_long_ago_are_forgotten(client: OpenSearch, lost: Job, ce2de: Run) -> None:
    ledger = Ledger(client)
    ledger.change_job(ledger.job(lost.job_id), state=DONE, finished_at_s=ledger.now() - 90_000)
    client.indices.refresh(index=LEDGER_INDEX)
    wrong = ce2de("reindex", "clean", lost.job_id, "--ended-before", "1d", "--yes")
    assert wrong.returncode == 2
    assert "give one of JOB and --ended-before" in wrong.stderr
    assert ce2de("reindex", "clean", "--ended-before", "2d", "--yes").returncode == 0
    assert ledger.find_job(lost.job_id) is not None
    done = ce2de("reindex", "clean", "--ended-before", "1d", "--yes")
    assert f"Forgot job {lost.job_id}" in done.stdout
    assert ledger.find_job(lost.job_id) is None
