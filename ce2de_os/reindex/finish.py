"""The end of a job: catch up with late writes, restore settings, verify, move the alias."""

from __future__ import annotations

import logging
import time

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendUnavailableError, Ce2deError
from ce2de_os.index import admin
from ce2de_os.index.admin import patiently
from ce2de_os.reindex.job import DONE, FAILED, FINISHING, RUNNING, WAITING, Job
from ce2de_os.reindex.ledger import Ledger, StoredJob
from ce2de_os.reindex.pipeline import DocumentEncoder, check_fingerprint, run_slice
from ce2de_os.reindex.verify import VerifyReport, verify

logger = logging.getLogger(__name__)

CATCH_UP_ROUNDS = 5
FINISH_LEASE_S = 120.0
_NO_LIMIT_S = float("inf")


def finish(client: OpenSearch, encoder: DocumentEncoder, job_id: str, owner: str) -> None:
    """Finish a job whose slices are done; does nothing if somebody else is at it.

    Raises:
        ArtifactMismatchError: the encoder is not the job's.
        BackendUnavailableError: OpenSearch stayed away; finishing can be tried again.
        Ce2deError: the job cannot be finished; it is set to failed with this error.
    """
    ledger = Ledger(client)
    stored = patiently(lambda: ledger.job(job_id))
    check_fingerprint(job_id, stored.job.fingerprint, encoder)
    claimed = _claim(ledger, stored, owner)
    if claimed is None:
        return
    try:
        _finish(client, encoder, ledger, claimed, owner)
    except BackendUnavailableError:
        raise
    except Ce2deError as error:
        _fail(ledger, job_id, str(error))
        raise


def _claim(ledger: Ledger, stored: StoredJob, owner: str) -> StoredJob | None:
    job = stored.job
    # A worker may take up its own attempt again: OpenSearch may have gone away in the midst of it.
    held = job.state == FINISHING and job.owner != owner and job.lease_until_s > time.time()
    if job.state not in (RUNNING, FINISHING) or held:
        return None
    return ledger.change_job(stored, state=FINISHING, owner=owner, lease_until_s=time.time() + FINISH_LEASE_S)


def _finish(
    client: OpenSearch, encoder: DocumentEncoder, ledger: Ledger, stored: StoredJob, owner: str
) -> None:
    job = stored.job
    patiently(lambda: admin.put_settings(client, job.target, job.restore))
    report = VerifyReport()
    for _ in range(CATCH_UP_ROUNDS):
        _catch_up(client, encoder, ledger, job, owner)
        patiently(lambda: admin.refresh(client, job.target))
        report = patiently(lambda: verify(client, encoder, job))
        if not report.problems or not _behind(client, ledger, job):
            break  # another round would find the same
    if report.problems:
        ledger.change_job(
            stored, state=FAILED, owner=None, report=report.to_source(), error="; ".join(report.problems)
        )
        return
    previous = patiently(lambda: admin.move_alias(client, job.alias, job.target))
    logger.info("Alias moved", extra={"action": "cutover", "job": job.job_id, "target": job.target})
    ledger.change_job(
        stored,
        state=DONE,
        owner=None,
        finished_at_s=time.time(),
        previous=tuple(previous),
        report=report.to_source(),
        error=None,
    )


def _behind(client: OpenSearch, ledger: Ledger, job: Job) -> list[int]:
    """Numbers of the open-ended slices whose shard has operations beyond their cursor."""
    checkpoints = patiently(lambda: admin.checkpoints(client, job.source))
    return [
        record.number
        for record in patiently(lambda: ledger.slices(job))
        if record.range.upto is None and record.cursor < checkpoints[record.range.shard]
    ]


def _catch_up(client: OpenSearch, encoder: DocumentEncoder, ledger: Ledger, job: Job, owner: str) -> None:
    for number in _behind(client, ledger, job):
        stored = ledger.slice(job.job_id, number)
        if stored.slice.state == DONE:
            ledger.change_slice(stored, state=WAITING, attempts=0)
        run_slice(client, encoder, job.job_id, number, owner, _NO_LIMIT_S)


def _fail(ledger: Ledger, job_id: str, error: str) -> None:
    ledger.change_job(ledger.job(job_id), state=FAILED, owner=None, error=error)
