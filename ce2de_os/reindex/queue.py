"""Send messages to the workers, and send a job's messages again if they may be lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ce2de_os.errors import BrokerUnavailableError
from ce2de_os.index.admin import patiently
from ce2de_os.reindex.failures import error_line
from ce2de_os.reindex.job import (
    ACTIVE,
    CANCELLED,
    DONE,
    FAILED,
    FOLLOWING,
    PAUSED,
    RUNNING,
    Job,
    Slice,
)
from ce2de_os.reindex.ledger import MOST_TRIES, Ledger, StoredSlice
from ce2de_os.reindex.standing import active_follower

logger = logging.getLogger(__name__)

OTHERS_S = 5.0
"""Seconds that a worker without the job's model keeps a message before it sends it back."""

BROKER_PATIENCE_S = 30.0
"""Seconds that a worker tries to pass its work on while the broker does not answer."""

_PAUSE_S = 2.0


class TaskQueue(Protocol):
    """Carries "look at slice S of job J" to the workers; the broker may lose or repeat any message.

    A worker continues with other slices of the job. So a message may find its slice done, and a slice whose
    message was lost is found through any other message.
    """

    def embed_slice(self, job: Job, number: int) -> None:
        """Ask for work on one slice."""

    def finish_job(self, job: Job) -> None:
        """Ask for verification and cutover, ahead of all messages about slices."""

    def follow_job(self, job: Job) -> None:
        """Ask for following, ahead of all messages about slices."""

    def waiting(self) -> int:
        """Count the messages about slices and ends of jobs that no worker has taken yet, of all jobs."""

    def following(self) -> int:
        """Count the untaken messages about standing jobs; workers pass these messages on without end."""


def complete_slices(ledger: Ledger, job: Job) -> list[Slice]:
    """Read all slices of a job; first add those that it lacks, because its starter died too early.

    Without them a job would look as if all its work were done.
    """
    records = ledger.slices(job)
    if len(records) == len(job.ranges):
        return records
    stored = ledger.find_job(job.job_id)
    if stored is None or stored.job.created_at_s != job.created_at_s:
        return records  # it was removed in the meantime
    ledger.add_slices(stored.job)
    return ledger.slices(stored.job)


def send_waiting(ledger: Ledger, job: Job, queue: TaskQueue) -> None:
    """Send a message for every slice that waits for a worker, for the job's end, or for following."""
    if job.standing:
        if job.state == FOLLOWING and (job.owner is None or job.lease_until_s < ledger.now()):
            queue.follow_job(job)
        return
    records = complete_slices(ledger, job)
    for record in records:
        if ledger.claimable(record):
            queue.embed_slice(job, record.number)
    if all(record.state == DONE for record in records):
        queue.finish_job(job)


def nudge(ledger: Ledger, queue: TaskQueue, job_id: str) -> None:
    """Send the messages of a job again that the broker may have lost.

    If messages wait, none was lost: workers are missing or busy, and more messages would only pile up.
    """
    job = ledger.job(job_id).job
    if job.state in ACTIVE and not (queue.following() if job.standing else queue.waiting()):
        send_waiting(ledger, job, queue)


def after_finish(ledger: Ledger, queue: TaskQueue, job_id: str) -> None:
    """Send the message for the standing job that a job has started."""
    found = patiently(lambda: ledger.find_job(job_id))
    if found is None:
        return
    follower = patiently(lambda: active_follower(ledger, found.job))
    if follower is not None:
        send_waiting(ledger, follower, queue)


def after_follow(ledger: Ledger, queue: TaskQueue, job_id: str) -> None:
    """Send the message for a standing job that this worker has released.

    If both a sweep and its worker sent a message for a job, one of the two is dropped here.
    """
    found = patiently(lambda: ledger.find_job(job_id))
    if found is None:
        return
    waiting = queue.following()
    if waiting and waiting >= len(standing_jobs(patiently(ledger.active_jobs), found.job.fingerprint)):
        return
    send_waiting(ledger, found.job, queue)


def standing_jobs(active: Iterable[Job], fingerprint: str | None) -> list[Job]:
    """Return the standing jobs of a model among those given; ``None``: of any model."""
    return [job for job in active if job.standing and fingerprint in (None, job.fingerprint)]


def after_slices(
    ledger: Ledger, queue: TaskQueue, job_id: str, left: int | None, failed: bool = False
) -> None:
    """Pass the work on: the unfinished slice, those whose worker or message was lost, or the job's end.

    ``failed``: the worker may have released a slice whose message was dropped while it was held.
    """
    found = patiently(lambda: ledger.find_job(job_id))
    if found is None or found.job.state in (PAUSED, CANCELLED):
        return
    job = found.job
    if left is not None:
        queue.embed_slice(job, left)
        return
    records = patiently(lambda: complete_slices(ledger, job))
    lost = [record.number for record in records if ledger.claimable(record)]
    if queue.waiting():  # if no message waits, a slice without a worker has lost its worker or its message
        lost = lost[:1] if failed else []
    for number in lost:
        queue.embed_slice(job, number)
    states = {record.state for record in records}
    if job.state != RUNNING or job.standing:
        return
    if states == {DONE}:
        queue.finish_job(job)
    elif states in ({DONE, FAILED}, {FAILED}):
        errors = [record.last_error for record in records if record.state == FAILED]
        _fail(ledger, job_id, f"{len(errors)} slices failed: {errors[0]}")


def _fail(ledger: Ledger, job_id: str, error: str) -> None:
    """Let a running job fail, unless it was paused or cancelled in the meantime."""
    while (stored := patiently(lambda: ledger.job(job_id))).job.state == RUNNING:
        if patiently(lambda: ledger.change_job(stored, state=FAILED, error=error)) is not None:
            return


def after_error(ledger: Ledger, queue: TaskQueue, job_id: str, number: int, error: str) -> None:
    """Show a worker's error in the job's status, then pass work on."""
    _record_slice_error(ledger, job_id, number, error)
    after_slices(ledger, queue, job_id, None, failed=True)


def after_failure(ledger: Ledger, queue: TaskQueue, job_id: str, number: int, error: BaseException) -> None:
    """Record an unexpected error outside of any page, then pass work on.

    The slice fails with the third one, so that no job retries forever.
    """
    enter_failure(ledger, job_id, number, error)
    after_slices(ledger, queue, job_id, None, failed=True)


def enter_failure(ledger: Ledger, job_id: str, number: int, error: BaseException) -> None:
    """Count a failed attempt of a slice; the slice fails with the third one in a row."""

    def entered(stored: StoredSlice) -> dict[str, Any]:
        failures = stored.slice.failures + 1
        ended = {"state": FAILED, "owner": None} if failures >= MOST_TRIES else {}
        return {"failures": failures, "last_error": error_line(error), **ended}

    _change_free_slice(ledger, job_id, number, entered)


def finish_failed(ledger: Ledger, job_id: str, error: BaseException) -> None:
    """Set a job to failed whose end met an unexpected error."""
    stored = patiently(lambda: ledger.find_job(job_id))
    if stored is not None and stored.job.state in ACTIVE:
        patiently(lambda: ledger.change_job(stored, state=FAILED, owner=None, error=error_line(error)))


def pass_on(send: Callable[[], None], job_id: str, patience_s: float = BROKER_PATIENCE_S) -> None:
    """Send messages even if the broker does not answer at once.

    If it does not answer for long, the work is left to the sweep, which finds every job without a worker.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return send()
        except BrokerUnavailableError as error:
            if time.monotonic() + _PAUSE_S > deadline:
                keys = {"action": "message_lost", "job": job_id}
                logger.warning("%s; the job continues when it answers again", error, extra=keys)
                return None
            time.sleep(_PAUSE_S)


def _record_slice_error(ledger: Ledger, job_id: str, number: int, error: str) -> None:
    """Record an error in a slice, unless another worker holds it."""
    _change_free_slice(ledger, job_id, number, lambda _: {"last_error": error})


def _change_free_slice(
    ledger: Ledger, job_id: str, number: int, changes: Callable[[StoredSlice], dict[str, Any]]
) -> None:
    """Change a slice that no other worker holds."""
    if patiently(lambda: ledger.find_job(job_id)) is None:
        return  # a message of a job that was removed
    stored = patiently(lambda: ledger.slice(job_id, number))
    if ledger.claimable(stored.slice):
        patiently(lambda: ledger.change_slice(stored, **changes(stored)))


def give_back(ledger: Ledger, queue: TaskQueue, job_id: str, number: int | None, error: str) -> None:
    """Leave a message to workers with the job's model; ``number`` is its slice, ``None`` the job's end."""
    if number is not None:
        _record_slice_error(ledger, job_id, number, error)
    time.sleep(OTHERS_S)
    found = patiently(lambda: ledger.find_job(job_id))
    if found is None or found.job.state not in ACTIVE:
        return
    if found.job.standing and number is None:
        queue.follow_job(found.job)
    elif number is None:
        queue.finish_job(found.job)
    elif patiently(lambda: ledger.slice(job_id, number)).slice.state not in (DONE, FAILED):
        queue.embed_slice(found.job, number)
