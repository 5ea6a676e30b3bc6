"""Choose the slice that a worker takes: the one in its message, a further one, or any free one.

Workers choose further slices at random, so that they seldom want the same one. If two do, one gets the
lease, and the other takes its next choice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ce2de_os.index.admin import patiently
from ce2de_os.reindex.job import DONE, FAILED, RUNNING, WAITING, Job, Slice
from ce2de_os.reindex.ledger import IsGone, Ledger, StoredSlice

HELD_S = 6.0
"""Age in seconds of a lease from which a worker waits for its end; a living owner renews it sooner."""


@dataclass(frozen=True)
class Claims:
    """Takes leases of a job's slices for ``owner``.

    ``is_gone`` returns whether an owner of a lease is known to be dead; ``None``: none is.
    """

    ledger: Ledger
    job: Job
    owner: str
    is_gone: IsGone | None = None
    chance: random.Random = field(default_factory=random.Random)

    def named(self, number: int, or_free: bool) -> StoredSlice | None:
        """Take the slice that a message names; if it is done or held, with ``or_free``, any that is free.

        The message may be the last one for this slice. If there is nothing else to do, wait for a lease that
        its owner does not renew any more: else a slice whose worker died could be forgotten.
        """
        held, since = -1, time.monotonic()
        while True:
            stored = patiently(lambda: self.ledger.slice(self.job.job_id, number))
            claimed = self._claim(stored) or (self.free() if or_free else None)
            if claimed is not None or stored.slice.state in (DONE, FAILED):
                return claimed
            if stored.slice.state == WAITING or held not in (-1, stored.seq_no):
                return None  # another worker was faster, or renews the lease
            held = stored.seq_no
            time.sleep(patience(stored.slice.lease_until_s - self.ledger.now(), time.monotonic() - since))

    def free(self) -> StoredSlice | None:
        """Lease any free slice, for a worker that has none."""
        return self._first(self._is_free)

    def ahead(self) -> StoredSlice | None:
        """Lease one more slice, for a worker that still has another one.

        Only slices that crashed no worker: if this worker dies, both of its slices are suspects.
        """
        return self._first(may_go_along)

    def _is_free(self, record: Slice) -> bool:
        mine = record.state == RUNNING and record.owner == self.owner  # it was interrupted
        return mine or self.ledger.claimable(record, self.is_gone)

    def _first(self, wanted: Callable[[Slice], bool]) -> StoredSlice | None:
        found = patiently(lambda: self.ledger.stored_slices(self.job))
        choices = in_turn([stored for stored in found if wanted(stored.slice)], self.chance)
        return next(filter(None, map(self._claim, choices)), None)

    def _claim(self, stored: StoredSlice) -> StoredSlice | None:
        return patiently(lambda: self.ledger.claim(stored, self.owner, self.is_gone))


def may_go_along(record: Slice) -> bool:
    """Return whether a slice may be taken by a worker that already works on another one."""
    return record.state == WAITING and record.page_limit is None


def in_turn(found: Iterable[StoredSlice], chance: random.Random) -> list[StoredSlice]:
    """Sort slices in the order to try them: sound ones first, open-ended ones after the others."""

    def key(stored: StoredSlice) -> tuple[bool, bool, float]:
        record = stored.slice
        return not may_go_along(record), record.range.upto is None, chance.random()

    return sorted(found, key=key)


def patience(lease_left_s: float, waited_s: float) -> float:
    """Return the seconds until the next look at a lease that another worker holds."""
    left_s = lease_left_s + 1
    return max(0.2, min(left_s, HELD_S if waited_s < HELD_S else left_s))
