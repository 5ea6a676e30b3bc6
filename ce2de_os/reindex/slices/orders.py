"""Requests of the operator to running workers: to stop, or to slow down."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ce2de_os.index.admin import patiently
from ce2de_os.reindex.job import CANCELLED, PAUSED, Job
from ce2de_os.reindex.ledger import Ledger

logger = logging.getLogger(__name__)

LOOK_S = 1.0  # seconds between two looks for changes of the job by the operator
SHARE_S = 5.0  # seconds between two counts of the workers that share a throttled rate


class Orders:
    """The operator's requests for a job, as a worker sees them; reads the ledger at most once per second."""

    def __init__(self, ledger: Ledger, job: Job) -> None:
        self._ledger, self._job = ledger, job
        self._looked_at = time.monotonic()  # the caller has just read the job
        self._counted_at = 0.0
        self._busy = 1
        self._since_s = time.monotonic()  # when the page that is paced began

    def is_stopped(self) -> bool:
        """Return whether the job is paused or cancelled; read it again from the ledger after an interval."""
        if time.monotonic() - self._looked_at >= LOOK_S:
            before, self._job = self._job, patiently(lambda: self._ledger.job(self._job.job_id)).job
            if (before.state, before.docs_per_s) != (self._job.state, self._job.docs_per_s):
                logger.info("The job was changed", extra=_keys(self._job))
            self._looked_at = time.monotonic()
        return self._job.state in (PAUSED, CANCELLED)

    def docs_per_s(self) -> float | None:
        """Return this worker's share of the job's rate limit, read again at intervals; ``None``: no limit."""
        if self._job.docs_per_s is None:
            return None
        if time.monotonic() - self._counted_at >= SHARE_S:
            records = patiently(lambda: self._ledger.slices(self._job))
            self._busy = max(1, len({record.owner for record in self._ledger.held(records)}))
            self._counted_at = time.monotonic()
        return self._job.docs_per_s / self._busy

    def wait(self, documents: int, meanwhile: Callable[[], None]) -> None:
        """Sleep until a page of ``documents``, begun after the last call, is within the rate, or work stops.

        Call ``meanwhile`` each second.
        """
        while (rate := self.docs_per_s()) is not None and not self.is_stopped():
            left_s = self._since_s + documents / rate - time.monotonic()
            if left_s <= 0:
                break
            time.sleep(min(left_s, LOOK_S))
            meanwhile()
        self._since_s = time.monotonic()


def _keys(job: Job) -> dict[str, object]:
    return {
        "action": "job_changed",
        "job": job.job_id,
        "state": job.state,
        "limit_docs_per_s": job.docs_per_s,
    }
