"""Follow an index: a standing job embeds every write within seconds, until it is cancelled.

The worker that holds the job's lease looks each half second at the shards' checkpoints. New documents are
processed as in every reindex: pages by ``_seq_no``, leases, dead letters. The job sees its own updates once
and skips them. A mirror also removes what was deleted from the source.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from opensearchpy import OpenSearch

from ce2de_os.errors import (
    BackendUnavailableError,
    BulkWriteError,
    Ce2deError,
    IdentityError,
    IndexSchemaError,
)
from ce2de_os.index.admin import patiently
from ce2de_os.reindex.failures import is_failure
from ce2de_os.reindex.following.connected import CheckConnection, ConnectionWatch
from ce2de_os.reindex.following.members import Members
from ce2de_os.reindex.held_job import HeldJob, LeaseLostError, claim_job
from ce2de_os.reindex.job import FAILED, FOLLOWING, Job, Slice
from ce2de_os.reindex.ledger import IsGone, Ledger
from ce2de_os.reindex.queue import TaskQueue, complete_slices, enter_failure
from ce2de_os.reindex.slices.embedding import DocumentEncoder, check_fingerprint
from ce2de_os.reindex.slices.pipeline import run_slice
from ce2de_os.reindex.syncing.arrived import forget_arrived
from ce2de_os.reindex.syncing.catch_up import lacking, reopen
from ce2de_os.reindex.syncing.repair import Proved, cursors, repair

logger = logging.getLogger(__name__)

LOOK_S = 0.5
"""Seconds between two looks for new documents."""

DELETES_S = 2.0
"""Seconds between two comparisons of source and target, to find deletes, while a mirror is written."""

FRESH_S = 2.0
"""Seconds between two updates of ``fresh_at_s`` in the record while nothing is written."""

LETTERS_S = 15.0
"""Seconds between two looks for dead letters whose documents are right by now."""

LEASE_S = 30.0

MANY_OPERATIONS = 5000
"""Backlog in documents from which other workers are asked to help, one shard each."""

_SLICE_S, _ALONE_S = 5.0, 15.0
"""Seconds that the worker stays on one shard: while others wait too, and while it is the only one."""


def follow(
    client: OpenSearch,
    encoder: DocumentEncoder,
    queue: TaskQueue,
    job_id: str,
    owner: str,
    budget_s: float,
    is_gone: IsGone | None = None,
    check_connection: CheckConnection | None = None,
) -> bool:
    """Follow for about ``budget_s`` seconds, less if other messages wait; return whether to continue.

    ``check_connection`` is called now and then where `ce2de connect` has connected the job's indices.

    Raises:
        ArtifactMismatchError: the encoder is not the job's.
        BackendUnavailableError: OpenSearch did not answer; following can continue later.
        Ce2deError: the job cannot continue; it is set to failed with this error.
    """
    ledger = Ledger(client)
    stored = patiently(lambda: ledger.find_job(job_id))
    if stored is None or stored.job.state != FOLLOWING:
        return False
    check_fingerprint(job_id, stored.job.fingerprint, encoder)
    held = claim_job(ledger, stored, owner, is_gone, state=FOLLOWING, among=(FOLLOWING,), lease_s=LEASE_S)
    if held is None:
        return False
    try:
        patiently(lambda: complete_slices(ledger, held.job))
        _Follow(client, encoder, queue, held, ConnectionWatch(held, check_connection)).run(budget_s)
    except LeaseLostError:
        logger.info("Following ends here", extra={"action": "lease_lost", "job": job_id})
        return False
    except BackendUnavailableError:
        raise
    except Ce2deError as error:
        try:
            held.end(FAILED, error=str(error))
        except LeaseLostError:
            return False  # the job was paused, ended or replaced, which is why it may not write any more
        logger.error("Following failed", extra={"action": "job_failed", "job": job_id})
        raise
    return True


class _Follow:
    def __init__(
        self,
        client: OpenSearch,
        encoder: DocumentEncoder,
        queue: TaskQueue,
        held: HeldJob,
        connections: ConnectionWatch,
    ) -> None:
        self._client, self._encoder, self._queue, self._held = client, encoder, queue, held
        self._members, self._connections = Members(client, held), connections
        self._equal_at: dict[int, Mapping[int, int]] = {}  # checkpoints at which nothing was missing
        self._compared_at: dict[int, Mapping[int, int]] = {}  # and at which a mirror was equal
        self._proved: Proved = {}
        self._compared_s = self._fresh_s = -FRESH_S
        self._letters_s = time.monotonic()

    def run(self, budget_s: float) -> None:
        deadline_s = time.monotonic() + budget_s
        while True:
            begun = time.monotonic()
            self._look()
            # The pause comes first: two messages of one job would chase each other without it.
            time.sleep(max(0.0, LOOK_S - (time.monotonic() - begun)))
            if time.monotonic() > deadline_s or self._queue.waiting() or self._queue.following():
                break
        self._held.end(FOLLOWING)  # the message that follows finds the job free

    def _look(self) -> None:
        self._held.look()
        self._held.keep()
        self._members.look()
        job = self._held.job
        now_s = self._held.ledger.now()
        checkpoints = self._members.checkpoints()
        if checkpoints != self._equal_at and self._embedded(job, checkpoints):
            self._equal_at = checkpoints
        if job.mode == "copy":
            self._remove_deleted(checkpoints)
        if self._equal_at == checkpoints:
            self._enter_fresh(now_s)
        if time.monotonic() - self._letters_s > LETTERS_S:
            self._letters_s = time.monotonic()
            patiently(lambda: forget_arrived(self._client, job))
        self._connections.look(self._members.connected())

    def _embedded(self, job: Job, checkpoints: Mapping[int, Mapping[int, int]]) -> bool:
        """Embed what is new; return whether nothing is left, and every index is still there."""
        try:
            return not self._embed(job, checkpoints)
        except (BulkWriteError, IdentityError, IndexSchemaError):
            if job.mode == "copy":
                raise
            self._members.look(now=True)
            if self._members.checkpoints().keys() >= checkpoints.keys():
                # All are there: one was away for a moment, or the error comes again.
                return not self._embed(self._held.job, checkpoints)
            return False

    def _embed(self, job: Job, checkpoints: Mapping[int, Mapping[int, int]]) -> int:
        """Embed what is new; return the number of operations that are left to other workers."""
        records = {record.number: record for record in patiently(lambda: self._held.ledger.slices(job))}
        mine = {number: record for number, record in records.items() if record.range.part in checkpoints}
        lacks = lacking(mine.values(), checkpoints)
        if sum(lacks.values()) > MANY_OPERATIONS:
            self._ask_for_help(job, lacks)
        left = 0
        budget_s = _SLICE_S if len(lacks) > 1 else _ALONE_S  # each start costs some small pages
        for number in sorted(lacks, key=lacks.__getitem__):  # the small ones first: each shard stays fresh
            if not self._embed_slice(job, records[number], budget_s):
                left += lacks[number]
        return left

    def _embed_slice(self, job: Job, record: Slice, budget_s: float) -> bool:
        """Work on one shard for a while; return whether it has caught up."""
        ledger = self._held.ledger
        patiently(lambda: reopen(ledger, record))
        stored = patiently(lambda: ledger.slice(job.job_id, record.number))
        if not ledger.claimable(stored.slice) and stored.slice.owner != self._held.owner:
            return False  # another worker has it
        try:
            more = run_slice(
                self._client, self._encoder, job.job_id, record.number, self._held.owner, budget_s
            )
        except BaseException as error:
            if isinstance(error, Ce2deError) or not is_failure(error):
                raise
            enter_failure(ledger, job.job_id, record.number, error)  # smaller pages find its document
            more = True
        self._held.keep()
        return not more

    def _ask_for_help(self, job: Job, lacks: Mapping[int, int]) -> None:
        if self._queue.waiting():
            return
        for number in sorted(lacks, key=lacks.__getitem__)[1:]:
            self._queue.embed_slice(job, number)

    def _remove_deleted(self, checkpoints: Mapping[int, Mapping[int, int]]) -> None:
        """Compare the mirror's parts whose source has changed since both were equal."""
        changed = {part for part, found in checkpoints.items() if self._compared_at.get(part) != found}
        if not changed or time.monotonic() - self._compared_s < DELETES_S:
            return
        self._compared_s = time.monotonic()
        for number in changed:
            part = self._held.job.parts[number]
            upto = cursors(self._held.ledger, self._held.job, number)
            differing = repair(self._client, self._encoder, self._held, self._proved, part)
            if not differing and upto == checkpoints[number]:
                self._compared_at[number] = checkpoints[number]

    def _enter_fresh(self, now_s: float) -> None:
        """Record the time up to which every write has its vector."""
        if time.monotonic() - self._fresh_s >= FRESH_S:
            self._held.change(fresh_at_s=now_s)
            self._fresh_s = time.monotonic()
