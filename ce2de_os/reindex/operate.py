"""What an operator does to a job: pause, resume, throttle, cancel, verify, cut over, sync, clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import JobError
from ce2de_os.index import admin
from ce2de_os.index.client import backend_errors
from ce2de_os.reindex import dead_letters
from ce2de_os.reindex.embedding import DocumentEncoder, check_fingerprint
from ce2de_os.reindex.finish import behind, finish, lag, reconcile_if_needed, reopen
from ce2de_os.reindex.job import (
    CANCELLED,
    DONE,
    FAILED,
    FINISHING,
    PAUSED,
    READY,
    ROLLED_BACK,
    RUNNING,
    Job,
)
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.queue import TaskQueue, send_waiting
from ce2de_os.reindex.reconcile import reconcile
from ce2de_os.reindex.verify import VerifyReport, verify

_TRIES = 20
_ENDED = (DONE, FAILED, CANCELLED, ROLLED_BACK, READY, PAUSED)


def pause(client: OpenSearch, job_id: str) -> Job:
    """Let the workers stop after the pages they have in hand."""
    return _change(client, job_id, (RUNNING, FINISHING), lambda _: {"state": PAUSED, "owner": None})


def resume(client: OpenSearch, queue: TaskQueue, job_id: str) -> Job:
    """Go on with a paused job, or send the messages of a running one again that were lost with the broker."""
    job = _change(client, job_id, (PAUSED, RUNNING, FINISHING), _resumed)
    send_waiting(Ledger(client), job, queue)
    return job


def throttle(client: OpenSearch, job_id: str, docs_per_s: float | None) -> Job:
    """Set the most documents a second, over all workers; ``None`` lifts the limit."""
    if docs_per_s is not None and not docs_per_s > 0:
        raise JobError(
            f"--docs-per-second: got {docs_per_s}, expected a number above 0; to stop, pause the job"
        )
    return _change(client, job_id, None, lambda _: {"docs_per_s": docs_per_s})


def cancel(client: OpenSearch, job_id: str) -> Job:
    """End a job; its targets stay until they are cleaned, and no alias moves."""
    states = (RUNNING, PAUSED, FINISHING, READY, FAILED)
    return _change(client, job_id, states, lambda _: {"state": CANCELLED, "owner": None})


def verify_job(client: OpenSearch, encoder: DocumentEncoder, job_id: str) -> VerifyReport:
    """Compare a job's sources and targets now, and keep the report.

    A failed job that passes becomes ready for the cutover.

    Raises:
        ArtifactMismatchError: the encoder is not the job's.
        JobError: the job is still being worked on.
    """
    ledger = Ledger(client)
    stored = ledger.job(job_id)
    job = stored.job
    check_fingerprint(job_id, job.fingerprint, encoder)
    for part in job.parts:
        admin.refresh(client, part.source)
        admin.refresh(client, part.target)
    report = verify(client, encoder, job, lambda: lag(client, ledger, job), job.accept_refused)
    changes: dict[str, Any] = {"report": report.to_source()}
    if job.state == FAILED and not report.problems:
        changes |= {"state": READY, "error": None}
    ledger.change_job(stored, **changes)
    return report


def cutover(
    client: OpenSearch, encoder: DocumentEncoder, job_id: str, owner: str, accept_refused: bool = False
) -> Job:
    """Catch up, verify once more, and move the alias.

    Raises:
        ArtifactMismatchError: the encoder is not the job's.
        JobError: the job is not at its end, or the verification found problems.
    """
    job = _change(
        client, job_id, (READY, ROLLED_BACK, FAILED),
        lambda job: {
            "state": RUNNING, "hold": False, "error": None,
            "accept_refused": accept_refused or job.accept_refused,
        },
    )  # fmt: skip
    finish(client, encoder, job.job_id, owner)
    job = Ledger(client).job(job_id).job
    if job.state != DONE:
        raise JobError(f"the alias stays where it was: {job.error or f'job {job_id} is {job.state}'}")
    return job


@dataclass(frozen=True)
class SyncState:
    """Where the catching up stands: operations not seen yet, documents removed since the last look."""

    lag: int
    removed: int


def sync(client: OpenSearch, queue: TaskQueue, job_id: str) -> Iterator[SyncState]:
    """Keep the targets up to date with live writes and deletes; each step is one look, the caller waits.

    Raises:
        JobError: the job is still loading, or was cancelled.
    """
    ledger = Ledger(client)
    seen: dict[str, int] = {}
    while True:
        job = ledger.job(job_id).job
        if job.state not in (READY, DONE, ROLLED_BACK):
            raise JobError(f"job '{job_id}' is {job.state}; sync follows a job that is ready or done")
        lacking = behind(client, ledger, job)
        records = {record.number: record for record in ledger.slices(job)}
        for number in lacking:
            reopen(ledger, records[number])
            if ledger.claimable(ledger.slice(job_id, number).slice):
                queue.embed_slice(job, number)
        removed = 0
        if not lacking and job.mode == "copy":
            removed = _remove_deleted(client, job, seen)
        yield SyncState(sum(lacking.values()), removed)


def clean(client: OpenSearch, job_id: str, *, targets: bool = False, sources: bool = False) -> list[str]:
    """Forget an ended job: its records and dead letters; returns the indices deleted beside.

    ``targets`` also deletes what it filled, unless an alias points there; ``sources`` what it replaced.

    Raises:
        JobError: the job runs, an alias points to a target, or the sources are still in use.
    """
    ledger = Ledger(client)
    job = ledger.job(job_id).job
    if job.state not in _ENDED:
        raise JobError(f"job '{job_id}' is {job.state}; cancel it first: ce2de reindex cancel {job_id}")
    doomed = _doomed(client, job, targets, sources)
    for name in doomed:
        with backend_errors(f"delete index '{name}'"):
            client.indices.delete(index=name, params={"ignore": [404]})
    dead_letters.remove(client, list(dead_letters.letters(client, job_id)))
    ledger.forget(job)
    return doomed


def _doomed(client: OpenSearch, job: Job, targets: bool, sources: bool) -> list[str]:
    if (targets or sources) and job.mode == "in_place":
        raise JobError(f"job '{job.job_id}' worked in place; its index is the source itself and stays")
    if sources and job.state != DONE:
        raise JobError(f"job '{job.job_id}' is {job.state}; its source is still the one in use")
    names = (list(job.targets) if targets else []) + ([part.source for part in job.parts] if sources else [])
    for name in names:
        if not admin.exists(client, name):
            continue
        aliases = admin.aliases_of(client, name)
        if aliases:
            raise JobError(
                f"alias '{aliases[0]}' points to '{name}'; move it first, so that nothing searches there"
            )
    return names


def _remove_deleted(client: OpenSearch, job: Job, seen: dict[str, int]) -> int:
    removed = 0
    for part in job.parts:
        admin.refresh(client, part.target)
        if reconcile_if_needed(client, part.source, part.target, seen):
            removed += reconcile(client, part)
    return removed


def _resumed(job: Job) -> dict[str, Any]:
    return {"state": RUNNING} if job.state == PAUSED else {}


def _change(
    client: OpenSearch, job_id: str, states: tuple[str, ...] | None, changes: Callable[[Job], dict[str, Any]]
) -> Job:
    """Change a job that is in one of ``states``, whoever else changes it at the same time."""
    ledger = Ledger(client)
    for _ in range(_TRIES):
        stored = ledger.job(job_id)
        if states is not None and stored.job.state not in states:
            raise JobError(
                f"job '{job_id}' is {stored.job.state}; that needs one that is {' or '.join(states)}"
            )
        changed = ledger.change_job(stored, **changes(stored.job))
        if changed is not None:
            return changed.job
    raise JobError(f"job '{job_id}' is being changed all the time by somebody else; try again")
