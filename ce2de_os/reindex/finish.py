"""The end of a job: catch up with late writes and deletes, restore settings, verify, move the alias."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendUnavailableError, Ce2deError
from ce2de_os.index import admin
from ce2de_os.index.admin import patiently
from ce2de_os.reindex.cutover import switch
from ce2de_os.reindex.embedding import DocumentEncoder, check_fingerprint
from ce2de_os.reindex.job import DONE, FAILED, FINISHING, READY, RUNNING, WAITING, Job, Slice
from ce2de_os.reindex.ledger import IsGone, Ledger, StoredJob
from ce2de_os.reindex.pipeline import run_slice
from ce2de_os.reindex.reconcile import reconcile
from ce2de_os.reindex.verify import VerifyReport, verify

logger = logging.getLogger(__name__)

CATCH_UP_ROUNDS = 5
FINISH_LEASE_S = 120.0
_RENEW_S = 20.0
"""So often the lease is renewed: the message may come back long before a large job is finished."""


class LeaseLostError(Exception):
    """Somebody else has taken the job over, or it was paused or cancelled."""


def finish(
    client: OpenSearch, encoder: DocumentEncoder, job_id: str, owner: str, is_gone: IsGone | None = None
) -> None:
    """Finish a job whose slices are done; does nothing if somebody else is at it.

    ``is_gone`` tells whether an owner of a lease is known to be dead; ``None``: nobody is.

    Raises:
        ArtifactMismatchError: the encoder is not the job's.
        BackendUnavailableError: OpenSearch stayed away; finishing can be tried again.
        Ce2deError: the job cannot be finished; it is set to failed with this error.
    """
    ledger = Ledger(client)
    stored = patiently(lambda: ledger.job(job_id))
    check_fingerprint(job_id, stored.job.fingerprint, encoder)
    claimed = _claim(ledger, stored, owner, is_gone)
    if claimed is None:
        return
    try:
        _Finish(client, encoder, ledger, claimed, owner).run()
    except LeaseLostError:
        logger.warning("Job taken over, paused or cancelled", extra={"action": "lease_lost", "job": job_id})
    except BackendUnavailableError:
        raise
    except Ce2deError as error:
        _fail(ledger, job_id, str(error))
        raise


def behind(client: OpenSearch, ledger: Ledger, job: Job) -> dict[int, int]:
    """The open-ended slices that have not seen all of their shard, with how many operations they lack."""
    checkpoints = [patiently(lambda: admin.checkpoints(client, part.source)) for part in job.parts]  # noqa: B023
    return lacking(patiently(lambda: ledger.slices(job)), checkpoints)


def lag(client: OpenSearch, ledger: Ledger, job: Job) -> int:
    """Operations of the sources that the targets have not seen."""
    return sum(behind(client, ledger, job).values())


def lacking(records: Sequence[Slice], checkpoints: Sequence[Mapping[int, int]]) -> dict[int, int]:
    """The same from what was read already; ``checkpoints`` are those of each part's shards."""
    unseen = {
        record.number: checkpoints[record.range.part][record.range.shard] - record.cursor
        for record in records
        if record.range.upto is None
    }
    return {number: operations for number, operations in unseen.items() if operations > 0}


def reopen(ledger: Ledger, record: Slice) -> None:
    """Let a finished slice be taken again."""
    if record.state == DONE:
        stored = ledger.slice(record.job_id, record.number)
        ledger.change_slice(stored, state=WAITING, deaths=0)


def _claim(ledger: Ledger, stored: StoredJob, owner: str, is_gone: IsGone | None) -> StoredJob | None:
    job = stored.job
    # A worker may take up its own attempt again: OpenSearch may have gone away in the midst of it.
    others = job.owner not in (None, owner) and not (is_gone is not None and is_gone(str(job.owner)))
    held = job.state == FINISHING and others and job.lease_until_s > ledger.now()
    if job.state not in (RUNNING, FINISHING) or held:
        return None
    return ledger.change_job(
        stored, state=FINISHING, owner=owner, lease_until_s=ledger.now() + FINISH_LEASE_S
    )


class _Finish:
    def __init__(
        self, client: OpenSearch, encoder: DocumentEncoder, ledger: Ledger, stored: StoredJob, owner: str
    ) -> None:
        self._client, self._encoder, self._ledger = client, encoder, ledger
        self._stored, self._owner = stored, owner
        self._job = stored.job
        self._deletions: dict[str, int] = {}
        self._renewed_s = time.monotonic()

    def run(self) -> None:
        if self._job.mode == "copy":
            for part in self._job.parts:
                patiently(lambda: admin.put_settings(self._client, part.target, part.restore))  # noqa: B023
        report = VerifyReport()
        for _ in range(CATCH_UP_ROUNDS):
            self._renew()
            report = self._round()
            if not report.problems or not self._lag():
                break  # another round would find the same
        if report.problems:
            self._end(FAILED, report, error="; ".join(report.problems))
        elif self._job.hold:
            self._end(READY, report)
        else:
            self._renew()
            previous = patiently(lambda: switch(self._client, self._job))
            self._catch_up()  # what was written to the sources until the alias moved
            self._end(DONE, report, previous=previous)

    def _round(self) -> VerifyReport:
        self._catch_up()
        for target in self._job.targets:
            patiently(lambda: admin.refresh(self._client, target))  # noqa: B023
        self._reconcile()
        return patiently(
            lambda: verify(self._client, self._encoder, self._job, self._lag, self._job.accept_refused)
        )

    def _lag(self) -> int:
        return lag(self._client, self._ledger, self._job)

    def _catch_up(self) -> None:
        records = {record.number: record for record in patiently(lambda: self._ledger.slices(self._job))}
        for number in behind(self._client, self._ledger, self._job):
            reopen(self._ledger, records[number])
            while run_slice(self._client, self._encoder, self._job.job_id, number, self._owner, _RENEW_S):
                self._renew()
            self._keep()

    def _reconcile(self) -> None:
        """Remove what was deleted from the sources, if anything was since the last look."""
        if self._job.mode == "in_place":
            return
        for part in self._job.parts:
            if reconcile_if_needed(self._client, part.source, part.target, self._deletions):
                deleted = reconcile(self._client, part, self._keep)
                patiently(lambda: admin.refresh(self._client, part.target))  # noqa: B023
                logger.info(
                    "Removed documents that are gone from the source",
                    extra={"action": "reconcile", "job": self._job.job_id, "deleted": deleted},
                )

    def _keep(self) -> None:
        """Renew the lease if that was some time ago."""
        if time.monotonic() - self._renewed_s > _RENEW_S:
            self._renew()

    def _renew(self) -> None:
        self._change(lease_until_s=self._ledger.now() + FINISH_LEASE_S)
        self._renewed_s = time.monotonic()

    def _end(self, state: str, report: VerifyReport, error: str | None = None, **changes: Any) -> None:  # noqa: ANN401
        self._change(
            state=state,
            owner=None,
            finished_at_s=self._ledger.now(),
            report=report.to_source(),
            error=error,
            **changes,
        )
        keys = {"action": "job_finished", "job": self._job.job_id, "problems": len(report.problems)}
        logger.info("Job finished", extra={**keys, "state": state})

    def _change(self, **changes: Any) -> None:  # noqa: ANN401 - fields of Job
        """Change the job, which is this worker's, though an operator may change something else in it.

        Raises:
            LeaseLostError: it is paused, cancelled, or somebody else's by now.
        """
        while (changed := patiently(lambda: self._ledger.change_job(self._stored, **changes))) is None:
            self._stored = patiently(lambda: self._ledger.job(self._job.job_id))
            if (self._stored.job.state, self._stored.job.owner) != (FINISHING, self._owner):
                raise LeaseLostError
        self._stored = changed


def reconcile_if_needed(client: OpenSearch, source: str, target: str, seen: dict[str, int]) -> bool:
    """Whether ids must be compared: something was deleted since ``seen``, or the counts differ."""
    deletions = patiently(lambda: admin.deletions(client, source))
    moved = seen.get(source) != deletions
    seen[source] = deletions
    patiently(
        lambda: admin.refresh(client, source)
    )  # after counting, so that all these deletions are visible
    if moved and deletions:
        return True
    return patiently(lambda: admin.count(client, target)) > patiently(lambda: admin.count(client, source))


def _fail(ledger: Ledger, job_id: str, error: str) -> None:
    ledger.change_job(ledger.job(job_id), state=FAILED, owner=None, error=error)
    logger.error("Job failed", extra={"action": "job_failed", "job": job_id})  # why is in the ledger
