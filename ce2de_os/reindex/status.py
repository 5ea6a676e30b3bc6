"""Read the status of a job: counts, rate, time left, the slowest slice, errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendError, Ce2deError, IdentityError, JobError
from ce2de_os.reindex import dead_letters, identity
from ce2de_os.reindex.job import (
    ACTIVE,
    DONE,
    ENDED,
    PAUSED,
    READY,
    RUNNING,
    Counts,
    Job,
    Slice,
)
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.left_behind import reconnect
from ce2de_os.reindex.records import undamaged

_ERRORS = 5
_WATCHED = (*ACTIVE, READY, DONE, PAUSED)

WEEK_S = 7 * 24 * 3600.0
"""Seconds for which the status of an ended job is read with those of all jobs."""


@dataclass(frozen=True)
class JobStatus:
    """The status of a job.

    Attributes:
        counts: sums over all slices.
        slices: number of slices in each state.
        workers: number of workers that hold a lease now.
        docs_per_s: rate of the workers now; if none works, the mean over the time of the job. ``None``:
            neither.
        eta_s: seconds until every document of the start has been read; ``None``: unknown.
        slowest: the unfinished slice with most operations left, and how many; ``None``: all are done.
        doing: progress inside the page, of each slice whose page takes long.
        lag: operations of live writes that the targets have not seen; ``None``: a source is another one.
        freshness_s: age of the oldest write whose vector is missing or stale, to two seconds; 0: there
            is none; ``None``: unknown, or no standing job.
        dead_letters: number of dead letters; ``refusals``: their number for each kind of error.
        errors: the newest errors and refusals of the slices.
        reconnect: what to do because the alias has moved away from what `ce2de connect` made; ``None``:
            nothing. Only `status` looks.
    """

    job: Job
    counts: Counts
    slices: Mapping[str, int]
    workers: int
    docs_per_s: float | None
    eta_s: float | None
    slowest: tuple[int, int] | None
    doing: tuple[str, ...]
    lag: int | None
    freshness_s: float | None
    dead_letters: int
    refusals: Mapping[str, int]
    errors: tuple[str, ...]
    reconnect: str | None = None

    @property
    def documents_left(self) -> int:
        """Documents of the start that are still to be read; one that changes counts twice."""
        if self.job.state in (DONE, READY):
            return 0
        return max(0, self.job.documents - self.counts.documents)

    def to_json(self) -> dict[str, Any]:
        """Return the status as JSON values."""
        job = self.job.to_source()
        for internal in ("kind", "ranges", "owner", "lease_until_s"):
            del job[internal]
        job["parts"] = [
            {"source": part.source, "target": part.target, "documents": part.documents}
            for part in self.job.parts
        ]
        rest = {key: value for key, value in vars(self).items() if key not in ("job", "counts", "slices")}
        return {
            **job,
            "documents": self.job.documents,
            "counts": asdict(self.counts),
            "slices": dict(self.slices),
            **rest,
            "errors": list(self.errors),
        }


@dataclass(frozen=True)
class JobEntry:
    """A job of the ledger.

    Attributes:
        job: its record; ``None``: it cannot be read.
        status: its status; ``None``: it cannot be read, or the job ended over a week ago.
        error: why one of both cannot be read; ``None``: both can.
    """

    job_id: str
    job: Job | None = None
    status: JobStatus | None = None
    error: Ce2deError | None = None


def entries(client: OpenSearch) -> Iterator[JobEntry]:
    """Yield every job with its status, newest first; one that cannot be read hides no other.

    Raises:
        BackendError: the ledger itself cannot be read.
    """
    ledger = Ledger(client)
    for job_id, job in ledger.entries():
        yield JobEntry(job_id, error=job) if isinstance(job, JobError) else _entry(client, ledger, job)


def _entry(client: OpenSearch, ledger: Ledger, job: Job) -> JobEntry:
    try:
        with undamaged(job.job_id):
            is_new = is_shown(job, ledger.now())
        return JobEntry(job.job_id, job, status_of(client, ledger, job) if is_new else None)
    except Ce2deError as error:
        return JobEntry(job.job_id, job, error=error)


def is_shown(job: Job, now_s: float) -> bool:
    """Return whether a job has not ended, or has done so less than a week ago."""
    return job.state not in ENDED or now_s - (job.finished_at_s or job.created_at_s) < WEEK_S


def status(client: OpenSearch, job_id: str) -> JobStatus:
    """Read the status of a job.

    Raises:
        JobError: there is no such job, or a record of it is damaged.
    """
    ledger = Ledger(client)
    found = status_of(client, ledger, ledger.job(job_id).job)
    return replace(found, reconnect=reconnect(client, found.job))


def status_of(client: OpenSearch, ledger: Ledger, job: Job) -> JobStatus:
    """Read the status of a job of the ledger.

    Raises:
        JobError: a record of it is damaged.
    """
    with undamaged(job.job_id):
        return _status_of(client, ledger, job)


def _status_of(client: OpenSearch, ledger: Ledger, job: Job) -> JobStatus:
    records = ledger.slices(job)
    lag = _lag(client, job, records)
    letters = dead_letters.by_kind(client, job.job_id)
    found = summarize(job, records, ledger.held(records), lag, letters, ledger.now())
    changed = identity.problems(client, job) if lag is None or job.state in _WATCHED else []
    return replace(found, errors=(*changed, *found.errors)[:_ERRORS])


def summarize(
    job: Job,
    records: Sequence[Slice],
    alive: Sequence[Slice],
    lag: int | None,
    letters: Mapping[str, int],
    now_s: float,
) -> JobStatus:
    """Add up a job's slices; ``alive`` are those with a worker."""
    counts = sum((record.counts for record in records), Counts())
    rate = _rate(alive) or _mean_rate(job, counts, now_s)
    rate = None if job.state == PAUSED else rate
    left = max(0, job.documents - counts.documents)
    # What was the matter with an index that has left a standing job is no matter any more.
    present = [one for one in records if not job.standing or job.parts[one.range.part].source_uuid]
    unfinished = [record for record in present if record.state != DONE]
    errors = [f"slice {record.number}: {record.last_error}" for record in present if record.last_error]
    return JobStatus(
        job=job,
        counts=counts,
        slices=Counter(record.state for record in present),
        workers=len({record.owner for record in alive}),
        docs_per_s=rate,
        eta_s=left / rate if rate and job.state == RUNNING else None,
        slowest=_slowest(job, unfinished) if unfinished else None,
        doing=tuple(f"slice {record.number}: {record.doing}" for record in alive if record.doing),
        lag=lag,
        freshness_s=_freshness_s(job, lag, now_s),
        dead_letters=sum(letters.values()),
        refusals=letters,
        errors=tuple(errors[:_ERRORS]),
    )


def _lag(client: OpenSearch, job: Job, records: Sequence[Slice]) -> int | None:
    try:
        checkpoints = identity.checkpoints_of(client, job.parts, identity.cursors_of(len(job.parts), records))
        return live_writes(job, records, checkpoints)
    except (BackendError, IdentityError, KeyError):  # one index is red or gone; the rest is still known
        return None


def live_writes(job: Job, records: Sequence[Slice], checkpoints: Sequence[Mapping[int, int]]) -> int:
    """Count the operations since the job was created that the targets have not seen."""
    return sum(
        max(0, checkpoints[record.range.part][record.range.shard] - max(record.cursor, _end(job, record)))
        for record in records
        if record.range.upto is None and checkpoints[record.range.part]  # else its index has left the job
    )


def _freshness_s(job: Job, lag: int | None, now_s: float) -> float | None:
    if not job.standing or lag is None:
        return None
    return max(0.0, now_s - (job.fresh_at_s or job.created_at_s)) if lag else 0.0


def _rate(alive: Sequence[Slice]) -> float:
    """Sum the rates of all workers; one that holds two slices has recorded its rate in both."""
    by_owner: dict[str | None, float] = {}
    for record in alive:
        by_owner[record.owner] = max(by_owner.get(record.owner, 0.0), record.docs_per_s)
    return sum(by_owner.values())


def _mean_rate(job: Job, counts: Counts, now_s: float) -> float | None:
    elapsed_s = (job.finished_at_s or now_s) - job.created_at_s
    return counts.documents / elapsed_s if counts.documents and elapsed_s > 0 else None


def _slowest(job: Job, unfinished: Sequence[Slice]) -> tuple[int, int]:
    left = {record.number: max(0, _end(job, record) - record.cursor) for record in unfinished}
    number = max(left, key=left.__getitem__)
    return number, left[number]


def _end(job: Job, record: Slice) -> int:
    """Return a slice's last operation at the job's creation; if that is not known, where the slice begins."""
    bounds, snapshot = record.range, job.parts[record.range.part].snapshot
    if bounds.upto is not None:
        return bounds.upto
    return snapshot[bounds.shard] if bounds.shard < len(snapshot) else bounds.after
