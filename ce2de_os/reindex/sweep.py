"""The sweep: find jobs without a worker, and send their message again.

A message may be lost with the broker, with its worker, or after a long outage. Therefore no message is the
only thing that keeps a job alive: every worker looks once a minute.
"""

from __future__ import annotations

import logging

from ce2de_os.errors import JobError
from ce2de_os.reindex.job import DONE, FAILED, FINISHING, Job, Slice
from ce2de_os.reindex.ledger import IsGone, Ledger
from ce2de_os.reindex.queue import TaskQueue, complete_slices, standing_jobs

logger = logging.getLogger(__name__)

SWEEP_S = 60.0
"""Seconds between two sweeps of a worker."""


def sweep(
    ledger: Ledger, queue: TaskQueue, fingerprint: str | None = None, is_gone: IsGone | None = None
) -> list[str]:
    """Send one message for each job that has work, but neither a live lease nor a waiting message.

    One is enough: the worker that gets it sends the others. An idle cluster gets one small request; several
    workers may sweep at once, since a repeated message does no harm. ``fingerprint`` is the model
    of the jobs to look at, ``None``: any; a worker could not do other models' jobs. ``is_gone`` returns
    whether the owner of a lease is known to be dead, ``None``: none is; a dead owner's lease is ignored.

    Returns:
        The jobs' ids.

    Raises:
        BackendError: the ledger cannot be read.
        BrokerUnavailableError: the broker does not answer.
    """
    active = [job for job in ledger.active_jobs() if fingerprint in (None, job.fingerprint)]
    if not active:
        return []
    standing = standing_jobs(active, None)
    left = [job for job in active if not job.standing] if not queue.waiting() else []
    if standing and queue.following() < len(standing):
        left += standing
    return [job.job_id for job in left if _nudged(ledger, queue, job, is_gone)]


def _nudged(ledger: Ledger, queue: TaskQueue, job: Job, is_gone: IsGone | None) -> bool:
    """Send a job's message if no worker works on it."""
    if _is_held(ledger, job, is_gone):
        return False
    try:
        records = complete_slices(ledger, job)
    except JobError as error:
        logger.warning("%s", error, extra={"action": "record_unreadable", "job": job.job_id})
        return False
    if ledger.held(records, is_gone) or _is_awaited(ledger, records):
        return False
    if job.standing:
        queue.follow_job(job)
    elif job.state == FINISHING or all(record.state == DONE for record in records):
        queue.finish_job(job)
    else:
        queue.embed_slice(job, _choice(ledger, records, is_gone))
    logger.info("A job without a worker is continued", extra={"action": "job_swept", "job": job.job_id})
    return True


def _is_held(ledger: Ledger, job: Job, is_gone: IsGone | None) -> bool:
    """Return whether a worker that may live has the lease of the job itself."""
    if job.owner is None or (is_gone is not None and is_gone(job.owner)):
        return False
    return job.lease_until_s >= ledger.now()


def _is_awaited(ledger: Ledger, records: list[Slice]) -> bool:
    """Return whether a worker will retry a slice that it released because OpenSearch did not answer."""
    return any(record.retry_at_s > ledger.now() for record in records)


def _choice(ledger: Ledger, records: list[Slice], is_gone: IsGone | None) -> int:
    """Choose a slice for a message: one that can be leased, else one that failed and so ends the job."""
    takeable = [record.number for record in records if ledger.claimable(record, is_gone)]
    failed = [record.number for record in records if record.state == FAILED]
    return (takeable or failed or [0])[0]
