"""Find the operations that the targets lack, and copy them by the worker that holds the job."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence

from opensearchpy import OpenSearch

from ce2de_os.index.admin import patiently
from ce2de_os.reindex.held_job import HeldJob
from ce2de_os.reindex.identity import checkpoints_of, cursors_of, settle
from ce2de_os.reindex.job import DONE, FAILED, WAITING, Job, Slice
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.slices.embedding import DocumentEncoder
from ce2de_os.reindex.slices.pipeline import run_slice

_BUDGET_S = 20.0
"""Seconds that the worker stays on a slice before it renews the job's lease."""


def behind(client: OpenSearch, ledger: Ledger, job: Job) -> dict[int, int]:
    """Return the operations that open-ended slices lack, by slice; wait until all writes are counted."""
    patiently(lambda: settle(client, job.sources))
    records = patiently(lambda: ledger.slices(job))
    cursors = cursors_of(len(job.parts), records)
    return lacking(records, patiently(lambda: checkpoints_of(client, job.parts, cursors)))


def lag(client: OpenSearch, ledger: Ledger, job: Job) -> int:
    """Return the number of source operations that the targets have not seen."""
    return sum(behind(client, ledger, job).values())


def lacking(
    records: Iterable[Slice], checkpoints: Sequence[Mapping[int, int]] | Mapping[int, Mapping[int, int]]
) -> dict[int, int]:
    """Return the operations that slices lack, without requests; ``checkpoints``: by part and shard."""
    unseen = {
        record.number: checkpoints[record.range.part][record.range.shard] - record.cursor
        for record in records
        if record.range.upto is None
    }
    return {number: operations for number, operations in unseen.items() if operations > 0}


def reopen(ledger: Ledger, record: Slice) -> None:
    """Reopen a finished slice; the error of one that failed is forgotten."""
    if record.state in (DONE, FAILED):
        stored = ledger.slice(record.job_id, record.number)
        error = stored.slice.last_error if record.state == DONE else None
        ledger.change_slice(stored, state=WAITING, deaths=0, last_error=error)


def catch_up(client: OpenSearch, encoder: DocumentEncoder, held: HeldJob, until_s: float = math.inf) -> int:
    """Copy what the sources have now and the targets lack; return the number of operations.

    Later writes are left to the next call, else an application that writes faster than the
    encoder would keep the worker here forever. ``until_s`` is a time of `time.monotonic` to stop at.
    """
    lacks = behind(client, held.ledger, held.job)
    if not lacks:
        return 0
    records = {record.number: record for record in patiently(lambda: held.ledger.slices(held.job))}
    for number, operations in lacks.items():
        reopen(held.ledger, records[number])
        goal = records[number].cursor + operations
        while _work_on(client, encoder, held, number, until_s) and _cursor(held, number) < goal:
            if time.monotonic() >= until_s:
                return sum(lacks.values())
            held.renew()
        held.keep()
    return sum(lacks.values())


def _work_on(
    client: OpenSearch, encoder: DocumentEncoder, held: HeldJob, number: int, until_s: float
) -> bool:
    budget_s = min(_BUDGET_S, max(0.0, until_s - time.monotonic()))
    return run_slice(client, encoder, held.job.job_id, number, held.owner, budget_s)


def _cursor(held: HeldJob, number: int) -> int:
    return patiently(lambda: held.ledger.slice(held.job.job_id, number)).slice.cursor
