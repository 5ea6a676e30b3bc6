"""The end of a job: catch up with late writes and deletes, restore settings, verify, move the alias."""

from __future__ import annotations

import logging
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendUnavailableError, Ce2deError
from ce2de_os.index import admin
from ce2de_os.index.admin import patiently
from ce2de_os.reindex import standing
from ce2de_os.reindex.cutover.replicas import wait_for_replicas
from ce2de_os.reindex.cutover.steps import reached
from ce2de_os.reindex.cutover.switch import Switch, TooSlowError
from ce2de_os.reindex.held_job import HeldJob, LeaseLostError, claim_job
from ce2de_os.reindex.job import DONE, FAILED, FINISHING, READY, RUNNING, SWITCHING, TARGET, Job
from ce2de_os.reindex.ledger import IsGone, Ledger
from ce2de_os.reindex.queue import complete_slices
from ce2de_os.reindex.setup.sources import new_members
from ce2de_os.reindex.setup.targets import restored
from ce2de_os.reindex.slices.embedding import DocumentEncoder, check_fingerprint
from ce2de_os.reindex.syncing.arrived import forget_arrived
from ce2de_os.reindex.syncing.catch_up import catch_up, lag
from ce2de_os.reindex.syncing.extend import add_copies, add_in_place, enter_problems
from ce2de_os.reindex.syncing.repair import Proved, repair
from ce2de_os.reindex.verify import VerifyReport, verify

logger = logging.getLogger(__name__)

ROUNDS = 5
"""Most comparisons with the target while the source is still written."""

SWITCH_TRIES = 3
"""Most tries of a handover whose last step took longer than writes may be blocked."""

FINISH_LEASE_S = 60.0


def finish(
    client: OpenSearch, encoder: DocumentEncoder, job_id: str, owner: str, is_gone: IsGone | None = None
) -> None:
    """Finish a job whose slices are done; do nothing if another worker does it.

    ``is_gone`` returns whether an owner of a lease is known to be dead; ``None``: none is.

    Raises:
        ArtifactMismatchError: the encoder is not the job's.
        BackendUnavailableError: OpenSearch did not answer; finishing can be retried.
        Ce2deError: the job cannot be finished; it is set to failed with this error.
    """
    ledger = Ledger(client)
    stored = patiently(lambda: ledger.job(job_id))
    check_fingerprint(job_id, stored.job.fingerprint, encoder)
    held = claim_job(
        ledger, stored, owner, is_gone, state=FINISHING, among=(RUNNING, FINISHING), lease_s=FINISH_LEASE_S
    )
    if held is None:
        return
    try:
        patiently(lambda: complete_slices(ledger, held.job))
        _Finish(client, encoder, held).run()
    except LeaseLostError:
        logger.warning("Job taken over, paused or cancelled", extra={"action": "lease_lost", "job": job_id})
    except BackendUnavailableError:
        raise
    except Ce2deError as error:
        _fail(held, str(error))
        raise


class _Finish:
    def __init__(self, client: OpenSearch, encoder: DocumentEncoder, held: HeldJob) -> None:
        self._client, self._encoder, self._held = client, encoder, held
        self._proved: Proved = {}
        self._switch = Switch(client, encoder, held, self._proved)

    @property
    def _job(self) -> Job:
        return self._held.job

    def run(self) -> None:
        if self._complete_switch():
            self._follow_and_end()
            return
        standing.stop(self._held.ledger, self._job)
        if self._job.mode == "copy":
            self._restore()
        report = self._verified()
        for attempt in range(SWITCH_TRIES):
            if report.problems:
                self._end(FAILED, report, error="; ".join(report.problems))
                return
            if self._job.hold:
                self._end(READY, report, error=None)
                self._follow()
                return
            try:
                self._switch.move()
            except TooSlowError as error:
                if attempt == SWITCH_TRIES - 1:
                    self._end(READY, report, error=str(error), hold=True)
                    self._follow()
                    return
                report = self._verified()
            else:
                self._held.change(report=report.to_source())
                self._follow_and_end()
                return

    def _complete_switch(self) -> bool:
        """Return whether another worker has switched already; complete a switch that another one began."""
        if self._job.mode == "copy" and self._job.truth == TARGET:
            return True
        return self._job.truth == SWITCHING and self._switch.resume()

    def _restore(self) -> None:
        """Give the targets replicas and refresh interval back; pipelines wait until applications write."""
        parts = tuple(patiently(lambda: restored(self._client, part)) for part in self._job.parts)  # noqa: B023
        if parts != self._job.parts:
            self._held.change(parts=parts)
        reached("restored", self._job.job_id)

    def _verified(self) -> VerifyReport:
        """Bring the targets up to date and compare them; again while they differ and the sources move."""
        report = VerifyReport()
        for _ in range(ROUNDS):
            self._held.renew()
            self._join_new()
            catch_up(self._client, self._encoder, self._held)
            patiently(lambda: forget_arrived(self._client, self._job))
            reached("caught_up", self._job.job_id)
            for target in self._job.targets:
                patiently(lambda: admin.refresh(self._client, target))  # noqa: B023
            if self._job.mode == "copy":
                repair(self._client, self._encoder, self._held, self._proved)
                reached("compared", self._job.job_id)
                if not self._job.accept_unreplicated:
                    wait_for_replicas(self._client, self._job, self._held.keep)
            report = patiently(
                lambda: verify(self._client, self._encoder, self._job, self._lag, self._job.accept_refused)
            )
            reached("verified", self._job.job_id)
            if not report.problems or not self._lag():
                break  # another round would find the same
        return report

    def _join_new(self) -> None:
        """Add indices that appeared behind the source since the job began, so that none is left out."""
        names = patiently(lambda: new_members(self._client, self._job))
        found = [patiently(lambda: admin.describe(self._client, name)) for name in names]  # noqa: B023
        if self._job.mode == "copy":
            add_copies(self._client, self._held, found)
        else:
            enter_problems(self._held, add_in_place(self._client, self._held, found))

    def _lag(self) -> int:
        return lag(self._client, self._held.ledger, self._job)

    def _follow(self) -> None:
        if self._job.follow:
            standing.start(self._client, self._held.ledger, self._job)
            reached("follow_started", self._job.job_id)

    def _follow_and_end(self) -> None:
        """Start the standing job, then end this job: if the worker dies between, a retry repeats both."""
        self._follow()
        self._end(DONE, None, error=None)

    def _end(self, state: str, report: VerifyReport | None, **changes: Any) -> None:  # noqa: ANN401
        if report is not None:
            changes["report"] = report.to_source()
        self._held.end(state, finished_at_s=self._held.ledger.now(), **changes)
        keys = {"action": "job_finished", "job": self._job.job_id, "state": state}
        logger.info("Job finished", extra=keys)


def _fail(held: HeldJob, error: str) -> None:
    try:
        held.end(FAILED, error=error)
    except LeaseLostError:
        return  # the job was cancelled or taken over, which may be the cause of the error
    logger.error(
        "Job failed", extra={"action": "job_failed", "job": held.job.job_id}
    )  # the ledger has the reason
