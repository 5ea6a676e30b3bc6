"""A job whose lease a worker holds: only this worker finishes, switches or follows it."""

from __future__ import annotations

import time
from typing import Any

from ce2de_os.index.admin import patiently
from ce2de_os.reindex.job import Job
from ce2de_os.reindex.ledger import IsGone, Ledger, StoredJob


class LeaseLostError(Exception):
    """Another worker has taken the job over, or it was paused or cancelled."""


class HeldJob:
    """The lease of a job, renewed whenever a third of it is over.

    Attributes:
        ledger: where the job's record is.
        owner: the worker that holds the lease.
    """

    def __init__(self, ledger: Ledger, stored: StoredJob, owner: str, lease_s: float) -> None:
        self.ledger, self.owner = ledger, owner
        self._stored, self._lease_s = stored, lease_s
        self._state = stored.job.state
        self._renewed_s = time.monotonic()

    @property
    def job(self) -> Job:
        """The record, as it was last read or changed."""
        return self._stored.job

    def change(self, **changes: Any) -> Job:  # noqa: ANN401 - fields of Job
        """Change the record, although an operator may change something else in it at the same time.

        Raises:
            LeaseLostError: the job is paused, cancelled, or another worker's by now.
        """
        while (changed := patiently(lambda: self.ledger.change_job(self._stored, **changes))) is None:
            self.look()
        self._stored = changed
        return changed.job

    def look(self) -> Job:
        """Read the record again.

        Raises:
            LeaseLostError: the job is paused, cancelled, or another worker's by now.
        """
        self._stored = patiently(lambda: self.ledger.job(self.job.job_id))
        if (self.job.state, self.job.owner) != (self._state, self.owner):
            raise LeaseLostError
        return self.job

    def renew(self, lease_s: float | None = None) -> None:
        """Renew the lease now; ``lease_s`` sets its length from now on, ``None`` keeps it."""
        self._lease_s = lease_s or self._lease_s
        self.change(lease_until_s=self.ledger.now() + self._lease_s)
        self._renewed_s = time.monotonic()

    def keep(self) -> None:
        """Renew the lease if a third of it is over."""
        if time.monotonic() - self._renewed_s > self._lease_s / 3:
            self.renew()

    def end(self, state: str, **changes: Any) -> Job:  # noqa: ANN401 - fields of Job
        """Set the job to ``state`` and release the lease."""
        return self.change(state=state, owner=None, **changes)


def claim_job(
    ledger: Ledger,
    stored: StoredJob,
    owner: str,
    is_gone: IsGone | None,
    *,
    state: str,
    among: tuple[str, ...],
    lease_s: float,
) -> HeldJob | None:
    """Take a job's lease and set its ``state``; ``None``: not ``among`` these, or it is held.

    A worker may continue its own attempt: OpenSearch may not have answered for a while.
    """
    job = stored.job
    others = job.owner not in (None, owner) and not (is_gone is not None and is_gone(str(job.owner)))
    held = job.state == state and others and job.lease_until_s > ledger.now()
    if job.state not in among or held:
        return None
    changed = patiently(
        lambda: ledger.change_job(stored, state=state, owner=owner, lease_until_s=ledger.now() + lease_s)
    )
    return HeldJob(ledger, changed, owner, lease_s) if changed else None
