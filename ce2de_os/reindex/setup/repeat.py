"""Start a job again: it continues, takes the new options, or reports why it cannot."""

from __future__ import annotations

from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import JobError
from ce2de_os.index import aliases
from ce2de_os.reindex import standing
from ce2de_os.reindex.job import (
    CANCELLED,
    DONE,
    FAILED,
    FINISHING,
    MIRROR,
    PAUSED,
    READY,
    ROLLED_BACK,
    RUNNING,
    SOURCE,
    SWITCHING,
    Job,
)
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.queue import TaskQueue, send_waiting
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.targets import arm


def after_handover(
    client: OpenSearch, ledger: Ledger, job: Job, request: JobRequest, queue: TaskQueue
) -> Job:
    """Keep the vectors up to date; copy nothing any more, since applications write to the target.

    Raises:
        JobError: the request has an option that is not possible any more.
    """
    asked = [
        name
        for name, value in (
            ("`hold`", request.hold),
            ("`pipeline`", request.pipeline is not None),
            ("`way=mirror`", request.way == MIRROR),
        )
        if value
    ]
    if asked:
        raise JobError(
            f"job '{job.job_id}' has handed over: applications write to {', '.join(job.targets)}, so "
            f"{' and '.join(asked)} cannot apply any more; to go back: ce2de reindex rollback {job.job_id}"
        )
    _check_alias(client, job)
    if not request.follow:
        _check_not_followed(ledger, job)
        return job
    return _follow(client, ledger, job, request, queue)


def _check_not_followed(ledger: Ledger, job: Job) -> None:
    """Reject a request for no standing job where there is one."""
    found = standing.active_follower(ledger, job)
    if found is not None:
        raise JobError(
            f"job '{found.job_id}' keeps the vectors of {', '.join(job.targets)} up to date, so "
            f"`follow=False` does not apply; end it first: ce2de reindex cancel {found.job_id}"
        )


def go_on(client: OpenSearch, ledger: Ledger, job: Job, request: JobRequest, queue: TaskQueue) -> Job:
    """Send a new or stopped job to the workers; one that is done continues as a standing job.

    Raises:
        JobError: the request has an option that the job cannot take now.
    """
    stored = ledger.job(job.job_id)
    job = stored.job
    _check_options(job, request)
    if job.state == DONE:
        _check_alias(client, job)
    if job.state == DONE and job.follow and request.follow:
        return _follow(client, ledger, job, request, queue)
    changes = _new_options(job, request)
    if job.state not in (RUNNING, FINISHING):
        standing.stop(ledger, job)
        if job.truth == SOURCE:  # a worker that failed may have hidden that the job was cancelled
            arm(client, job)
        ledger.reset(job)
        changes |= {"state": RUNNING, "error": None, "finished_at_s": None}
        stored = ledger.job(job.job_id)
    if changes and ledger.change_job(stored, **changes) is None:
        raise JobError(f"job '{job.job_id}' is being changed by another command; try again")
    job = ledger.job(job.job_id).job
    send_waiting(ledger, job, queue)
    return job


def _check_alias(client: OpenSearch, job: Job) -> None:
    """Reject a job whose alias another job has moved since."""
    members = aliases.definitions(client, job.alias) if job.alias is not None else {}
    if job.mode == "copy" and not set(job.targets) & set(members):
        raise JobError(
            f"alias '{job.alias}' points to {', '.join(sorted(members)) or 'nothing'}, not to the index of "
            "job "
            f"'{job.job_id}' any more; clean this job, or choose another `alias`"
        )


def _follow(client: OpenSearch, ledger: Ledger, job: Job, request: JobRequest, queue: TaskQueue) -> Job:
    found = standing.start(client, ledger, job)
    if request.docs_per_s != found.docs_per_s and request.docs_per_s is not None:
        stored = ledger.job(found.job_id)
        found = (ledger.change_job(stored, docs_per_s=request.docs_per_s) or ledger.job(found.job_id)).job
    send_waiting(ledger, found, queue)
    return job


def _check_options(job: Job, request: JobRequest) -> None:
    if job.pipeline != request.pipeline:
        raise JobError(
            f"job '{job.job_id}' writes {_through(job.pipeline)}, this command asks for "
            f"{_through(request.pipeline)}; documents that are written already would differ: start a new "
            "job with another `target`, or repeat the option"
        )
    if job.hold and not request.hold and job.state in (READY, ROLLED_BACK, PAUSED, CANCELLED, FAILED):
        raise JobError(
            f"job '{job.job_id}' was started with `hold`; repeat it, or move the alias with: "
            f"ce2de reindex cutover {job.job_id}"
        )
    if job.state == ROLLED_BACK and not request.hold:
        raise JobError(
            f"job '{job.job_id}' was rolled back; to move the alias again: ce2de reindex cutover "
            f"{job.job_id}; "
            "to bring the target up to date without that, add `hold`"
        )
    if job.state == DONE and request.hold and job.alias is not None and job.mode == "copy":
        raise JobError(
            f"job '{job.job_id}' is done and alias '{job.alias}' has moved, so `hold` cannot apply; to go "
            "back: "
            f"ce2de reindex rollback {job.job_id}"
        )
    if request.way not in ("auto", job.way) and job.mode == "copy":
        raise JobError(
            f"job '{job.job_id}' is a {job.way}; to change that, cancel and clean it, then start again"
        )
    if job.truth == SWITCHING and _new_options(job, request):
        raise JobError(f"job '{job.job_id}' is switching; change its options when that is over, in seconds")


def _through(pipeline: str | None) -> str:
    return f"through pipeline '{pipeline}'" if pipeline else "without a pipeline"


def _new_options(job: Job, request: JobRequest) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "hold": request.hold,
        "accept_refused": request.accept_rejected or job.accept_refused,
        "accept_unreplicated": request.accept_unreplicated or job.accept_unreplicated,
        "block": request.block,
        "max_block_s": request.max_block_s,
        "follow": request.follow,
    }
    if request.docs_per_s is not None:  # none given: the limit of `throttle` stays
        wanted["docs_per_s"] = request.docs_per_s
    return {name: value for name, value in wanted.items() if getattr(job, name) != value}
