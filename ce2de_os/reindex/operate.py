"""The operator's commands for a job: pause, resume, throttle, cancel, verify, cut over, clean."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Callable, Collection
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import JobError
from ce2de_os.index import admin
from ce2de_os.index.client import backend_errors
from ce2de_os.reindex import dead_letters, standing
from ce2de_os.reindex.cutover.finish import finish
from ce2de_os.reindex.identity import check_job
from ce2de_os.reindex.job import (
    CANCELLED,
    DONE,
    FAILED,
    FINISHING,
    FOLLOWING,
    MIRROR,
    PAUSED,
    READY,
    ROLLED_BACK,
    RUNNING,
    SOURCE,
    SWITCHING,
    TARGET,
    Job,
)
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.queue import TaskQueue, send_waiting
from ce2de_os.reindex.setup.creation import remove_rollover_template
from ce2de_os.reindex.setup.targets import arm, disarm
from ce2de_os.reindex.slices.embedding import DocumentEncoder, check_fingerprint
from ce2de_os.reindex.syncing.catch_up import lag
from ce2de_os.reindex.verify import VerifyReport, verify

_TRIES = 20
_IN_USE = (RUNNING, PAUSED, FINISHING, READY, FOLLOWING)
_ENDED = (DONE, FAILED, CANCELLED, ROLLED_BACK, READY, PAUSED)


def pause(client: OpenSearch, job_id: str) -> Job:
    """Pause a job: its workers stop after their current pages."""
    return _change(
        client, job_id, (RUNNING, FINISHING, FOLLOWING),
        lambda job: _unless_switching(job, "pausing", {"state": PAUSED, "owner": None}),
    )  # fmt: skip


def resume(client: OpenSearch, queue: TaskQueue, job_id: str) -> Job:
    """Continue a paused job, or send the messages of a running one again that were lost with the broker.

    A standing job that failed is followed again; another failed job is started again, not resumed.
    """
    job = _change(client, job_id, (PAUSED, RUNNING, FINISHING, FOLLOWING, FAILED), _resumed)
    send_waiting(Ledger(client), job, queue)
    return job


def throttle(client: OpenSearch, job_id: str, docs_per_s: float | None) -> Job:
    """Set the most documents a second, over all workers; ``None`` lifts the limit."""
    if docs_per_s is not None and not 0 < docs_per_s < math.inf:
        raise JobError(f"`docs_per_s`: got {docs_per_s}, expected a number above 0; to stop, pause the job")
    return _change(client, job_id, None, lambda _: {"docs_per_s": docs_per_s})


def cancel(client: OpenSearch, job_id: str) -> Job:
    """End a job; its targets stay until they are cleaned, and no alias moves."""
    job = _change(
        client, job_id, (RUNNING, PAUSED, FINISHING, READY, FAILED, FOLLOWING),
        lambda job: _unless_switching(job, "cancelling", {"state": CANCELLED, "owner": None}),
    )  # fmt: skip
    if not job.standing:
        standing.stop(Ledger(client), job)
        if job.truth == SOURCE:
            disarm(client, job)
    return job


def verify_job(client: OpenSearch, encoder: DocumentEncoder, job_id: str) -> VerifyReport:
    """Compare a job's sources and targets now, and keep the report.

    A failed job that passes becomes ready for the cutover. After a handover there is nothing to compare
    with: then the vectors of the target are verified.

    Raises:
        ArtifactMismatchError: the encoder is not the job's.
        JobError: workers still work on the job.
    """
    ledger = Ledger(client)
    stored = ledger.job(job_id)
    job = stored.job
    check_fingerprint(job_id, job.fingerprint, encoder)
    _unless_switching(job, "verifying", {})
    if job.state in (RUNNING, FINISHING):
        raise JobError(f"job '{job_id}' is {job.state}; verify it when it is ready, done or failed")
    if job.truth == TARGET and job.mode == "copy":
        job = standing.in_place(job)
    check_job(client, job)
    for part in job.parts:
        admin.refresh(client, part.source)
        admin.refresh(client, part.target)
    report = verify(client, encoder, job, lambda: lag(client, ledger, stored.job), job.accept_refused)
    changes: dict[str, Any] = {"report": report.to_source()}
    if stored.job.state == FAILED and not stored.job.standing and not report.problems:
        changes |= {"state": READY, "error": None}
    ledger.change_job(stored, **changes)
    return report


def this_process() -> str:
    """Return the name under which an operator's process holds the lease of a job."""
    return f"{socket.gethostname()}:{os.getpid()}"


def cutover(
    client: OpenSearch,
    encoder: DocumentEncoder,
    job_id: str,
    owner: str,
    accept_rejected: bool = False,
    **changes: Any,  # noqa: ANN401 - fields of Job
) -> Job:
    """Catch up, verify once more, and move the alias; ``changes`` are options of the switch to set first.

    Raises:
        ArtifactMismatchError: the encoder is not the job's.
        JobError: the job is not at its end, or the verification found problems.
    """
    ledger = Ledger(client)
    found = ledger.job(job_id).job
    if found.truth == TARGET and found.mode == "copy":
        raise JobError(
            f"job '{job_id}' has handed over already: applications write to {', '.join(found.targets)}"
        )
    if found.state in (ROLLED_BACK, FAILED) and found.truth == SOURCE:
        arm(client, found)
    states = (
        (READY, ROLLED_BACK, FAILED, FINISHING) if found.truth == SWITCHING else (READY, ROLLED_BACK, FAILED)
    )
    job = _change(
        client, job_id, states,
        lambda job: {
            "state": FINISHING if job.truth == SWITCHING else RUNNING, "hold": False, "error": None,
            "accept_refused": accept_rejected or job.accept_refused, **changes,
        },
    )  # fmt: skip
    finish(client, encoder, job.job_id, owner)
    job = ledger.job(job_id).job
    if job.state != DONE:
        raise JobError(f"the alias stays where it was: {job.error or f'job {job_id} is {job.state}'}")
    return job


def clean(client: OpenSearch, job_id: str, *, targets: bool = False, sources: bool = False) -> list[str]:
    """Delete an ended job's records and dead letters; return the indices that were deleted too.

    ``targets`` also deletes what it filled, unless an alias points there; ``sources`` what it replaced. Only
    the very indices that the job read or made are deleted, never others that have their names by now.

    Raises:
        JobError: the job runs, an alias points to a target, or the sources are still in use.
    """
    ledger = Ledger(client)
    job = ledger.job(job_id).job
    if job.state not in _ENDED:
        raise JobError(f"job '{job_id}' is {job.state}; cancel it first: ce2de reindex cancel {job_id}")
    doomed = _doomed(client, ledger, job, targets, sources)
    _check_follower(ledger, job, targets=targets)
    _check_others(ledger, job, doomed)
    for name in doomed:
        with backend_errors(f"delete index '{name}'"):
            client.indices.delete(index=name, params={"ignore": [404]})
        remove_rollover_template(client, name)
    dead_letters.remove(client, dead_letters.letters(client, job_id))
    ledger.forget(job)
    return doomed


def _check_follower(ledger: Ledger, job: Job, *, targets: bool) -> None:
    """Reject the removal of an index that a standing job works on."""
    found = None if job.standing else standing.active_follower(ledger, job)
    if found is not None and (targets or job.way == MIRROR or job.state == READY):
        raise JobError(
            f"job '{found.job_id}' keeps {', '.join(job.targets)} up to date; end it first: "
            f"ce2de reindex cancel {found.job_id}"
        )


def _check_others(ledger: Ledger, job: Job, doomed: Collection[str]) -> None:
    """Reject the removal of an index that another job still reads or writes."""
    for other in ledger.jobs() if doomed else ():
        if other.job_id == job.job_id or other.state not in _IN_USE:
            continue
        reads, writes = set(doomed) & set(other.sources), set(doomed) & set(other.targets)
        if reads or writes:
            raise JobError(
                f"job '{other.job_id}' {'reads' if reads else 'writes'} '{min(reads or writes)}'; end it "
                f"first: ce2de reindex cancel {other.job_id}"
            )


def _doomed(client: OpenSearch, ledger: Ledger, job: Job, targets: bool, sources: bool) -> list[str]:
    if (targets or sources) and job.mode == "in_place":
        raise JobError(f"job '{job.job_id}' worked in place; its index is the source itself and stays")
    if sources and (job.state != DONE or job.truth != TARGET):
        why = (
            "the alias shows a mirror of it"
            if job.way == MIRROR and job.state == DONE
            else f"it is {job.state}"
        )
        raise JobError(
            f"job '{job.job_id}': {why}, so applications still write to {', '.join(job.sources)}; "
            "only after a handover the source is not in use any more"
        )
    if sources and (late := lag(client, ledger, job)):
        raise JobError(
            f"{', '.join(job.sources)} took {late} writes after the handover, which {', '.join(job.targets)} "
            "does not have; copy what you need, or delete the index yourself"
        )
    wanted = [(part.target, part.target_uuid) for part in job.parts] if targets else []
    wanted += [(part.source, part.source_uuid) for part in job.parts] if sources else []
    return [name for name, uuid in wanted if _check_deletable(client, name, uuid)]


def _check_deletable(client: OpenSearch, name: str, uuid: str | None) -> bool:
    """Return whether an index is there.

    Raises:
        JobError: it is another one by now, or an alias points there.
    """
    if not admin.exists(client, name):
        return False
    info = admin.describe(client, name)
    if info.name != name or (uuid and info.uuid != uuid):
        raise JobError(f"'{name}' was deleted and created again since, so this job must not delete it")
    aliases = admin.aliases_of(client, name)
    if aliases:
        raise JobError(
            f"alias '{aliases[0]}' points to '{name}'; move it first, so that nothing searches there"
        )
    return True


def _unless_switching(job: Job, what: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Return ``changes``, or reject them while the truth moves, and until the job is done afterwards."""
    moves = job.truth == SWITCHING or (job.truth == TARGET and job.mode == "copy")
    if moves and job.state == FINISHING:
        by_hand = f"complete it with: ce2de reindex cutover {job.job_id}"
        raise JobError(
            f"job '{job.job_id}' is switching: {what} is possible again when the alias has moved, in "
            f"seconds; if no worker is left, {by_hand if job.truth == SWITCHING else 'start one'}"
        )
    return changes


def _resumed(job: Job) -> dict[str, Any]:
    if job.standing:
        return {"state": FOLLOWING, "error": None}
    if job.state == FAILED:
        raise JobError(f"job '{job.job_id}' failed: {job.error}; fix the cause, then start it again")
    return {"state": RUNNING} if job.state == PAUSED else {}


def _change(
    client: OpenSearch, job_id: str, states: tuple[str, ...] | None, changes: Callable[[Job], dict[str, Any]]
) -> Job:
    """Change a job that is in one of ``states``, although others may change it at the same time."""
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
    raise JobError(f"job '{job_id}' is being changed by another command; try again")
