"""Connect to the queue of the workers, and wait for jobs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ce2de_os.errors import BackendUnavailableError, BrokerUnavailableError, extra_needed

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from ce2de_os.reindex.job import Job
    from ce2de_os.reindex.queue import TaskQueue
    from ce2de_os.reindex.status import JobStatus
    from ce2de_os.worker.queue import CeleryQueue

logger = logging.getLogger(__name__)

POLL_S = 1.0
NUDGE_S = 30.0  # seconds until messages that may be lost are sent again

Watch = Callable[["OpenSearch", "TaskQueue", "Job"], "JobStatus"]
"""Waits for a job that has started, and returns its last status."""


def task_queue(broker_url: str, fingerprint: str | None = None) -> CeleryQueue:
    """Connect to the queue of a model's workers; check once that Redis answers.

    Raises:
        BrokerUnavailableError: Redis does not answer.
        MissingExtraError: Celery is not installed.
    """
    with extra_needed("worker"):
        from ce2de_os.worker.queue import CeleryQueue
    queue = CeleryQueue(broker_url, fingerprint)
    queue.check()
    return queue


def wait_until_done(client: OpenSearch, queue: TaskQueue, job: Job) -> JobStatus:
    """Wait until a reindex has ended, or needs an operator; return its last status."""
    from ce2de_os.reindex.job import FINISHING, RUNNING

    return _wait(client, queue, job, lambda found: found.job.state not in (RUNNING, FINISHING))


def wait_until_fresh(client: OpenSearch, queue: TaskQueue, job: Job) -> JobStatus:
    """Wait until every document written so far has its vector, or the standing job has stopped."""
    from ce2de_os.reindex.job import FOLLOWING

    return _wait(client, queue, job, lambda found: found.job.state != FOLLOWING or found.lag == 0)


def return_at_once(client: OpenSearch, queue: TaskQueue, job: Job) -> JobStatus:
    """Return the status of a job that has just started; the workers continue."""
    from ce2de_os.reindex.status import status

    return status(client, job.job_id)


def _wait(client: OpenSearch, queue: TaskQueue, job: Job, is_over: Callable[[JobStatus], bool]) -> JobStatus:
    return next(found for found in statuses(client, queue, job.job_id, POLL_S, _log) if is_over(found))


def _log(error: BackendUnavailableError | BrokerUnavailableError) -> None:
    logger.warning("%s; waiting", error, extra={"action": "wait"})


def statuses(
    client: OpenSearch,
    queue: TaskQueue,
    job_id: str,
    poll_s: float,
    away: Callable[[BackendUnavailableError | BrokerUnavailableError], None],
) -> Iterator[JobStatus]:
    """Yield a job's status every ``poll_s`` seconds, without end; send messages again that may be lost.

    If OpenSearch or Redis does not answer, call ``away`` and keep waiting.
    """
    from ce2de_os.reindex.ledger import Ledger
    from ce2de_os.reindex.queue import nudge
    from ce2de_os.reindex.status import status

    nudged_at = time.monotonic()
    while True:
        try:
            found = status(client, job_id)
        except BackendUnavailableError as error:
            away(error)
            time.sleep(poll_s)
            continue
        yield found
        if time.monotonic() - nudged_at > NUDGE_S:
            nudged_at = time.monotonic()
            try:
                nudge(Ledger(client), queue, job_id)
            except (BackendUnavailableError, BrokerUnavailableError) as error:
                away(error)
        time.sleep(poll_s)
