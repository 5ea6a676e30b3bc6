"""The ledger: jobs and slices as documents of one OpenSearch index.

A document is changed only if it was not changed since it was read (``if_seq_no``/``if_primary_term``), so two
workers can never both hold a lease. Leases are timed by the cluster's clock: workers' clocks may disagree.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import JobError
from ce2de_os.index import admin
from ce2de_os.index.client import WHOLE, backend_errors, entries_of, item_error
from ce2de_os.index.templates import render
from ce2de_os.reindex.job import (
    ACTIVE,
    DONE,
    ENDED,
    FAILED,
    RUNNING,
    WAITING,
    Job,
    Slice,
)
from ce2de_os.reindex.records import merged, read_job, read_slice

logger = logging.getLogger(__name__)

LEDGER_INDEX = "ce2de-ledger"
LEASE_S = 30.0
MOST_TRIES = 3
"""Tries of a single document before it becomes a dead letter: crashes of workers, and errors."""

FORGIVEN_DEATHS = 1
"""Deaths that are no try: a worker may be killed, or lose its lease in a pause, whatever it reads."""

CAREFUL_PAGE = 16
CAREFUL_DOCUMENTS = 2048
"""Documents in small pages after a crash of a worker: more than it can have been working on."""

ALONE_DOCUMENTS = 4 * CAREFUL_PAGE
"""Documents in pages of one after a crash in small pages; a worker holds three pages at most."""

IsGone = Callable[[str], bool]
"""Returns whether the owner of a lease is known to be dead."""

_JOBS = {"term": {"kind": "job"}}
_AFRESH = {"deaths": 0, "failures": 0, "condemned": 0, "last_error": None}
_BATCH = 1000
_CONFLICT = 409
_CLOCK_S = 60.0  # seconds for which the offset to the cluster's clock is valid


@dataclass(frozen=True)
class Stored:
    """The version of a record, to change it only if it is still as it was read."""

    seq_no: int
    primary_term: int


@dataclass(frozen=True)
class StoredJob(Stored):
    """A job as it is in the ledger."""

    job: Job
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class StoredSlice(Stored):
    """A slice as it is in the ledger."""

    slice: Slice
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


class Ledger:
    """Reads and changes the records of jobs; every method may raise the errors of ``index.client``."""

    def __init__(self, client: OpenSearch) -> None:
        self._client = client
        self._offset_s, self._asked_at_s = 0.0, -_CLOCK_S

    def now(self) -> float:
        """Return the seconds since the epoch by the cluster's clock, to a second or so."""
        if time.monotonic() - self._asked_at_s >= _CLOCK_S:
            self._offset_s = admin.cluster_time(self._client) - time.monotonic()
            self._asked_at_s = time.monotonic()
        return time.monotonic() + self._offset_s

    def lease_end(self) -> float:
        """Return when a lease that is taken or renewed now expires."""
        return self.now() + LEASE_S

    def create(self) -> None:
        """Create the ledger's index if it does not exist.

        Where it was deleted while a worker still wrote to it, OpenSearch has made it again for that request,
        which it then refused: empty and with another mapping. Such an index is replaced.
        """
        body = render("ledger", {})
        if admin.exists(self._client, LEDGER_INDEX):
            mapped = admin.describe(self._client, LEDGER_INDEX).mappings.get("properties", {})
            if mapped.get("kind") == body["mappings"]["properties"]["kind"]:
                return
            admin.refresh(self._client, LEDGER_INDEX)
            if admin.count(self._client, LEDGER_INDEX):
                raise JobError(
                    f"'{LEDGER_INDEX}' holds records but not in the mapping of ce2de, so jobs would not be "
                    f"found; delete it (DELETE /{LEDGER_INDEX}), then start the job again"
                )
            with backend_errors(f"delete '{LEDGER_INDEX}'"):
                self._client.indices.delete(index=LEDGER_INDEX)
        admin.create(self._client, LEDGER_INDEX, body)

    def add_job(self, job: Job) -> None:
        """Add a new job; one with this id that is there already stays as it is."""
        self._put(_job_key(job.job_id), merged({}, job.to_source()), {"op_type": "create"})

    def add_slices(self, job: Job) -> None:
        """Add the job's slices; those that are there already stay as they are.

        Raises:
            BackendBusyError: OpenSearch took only some of them; the call may be repeated.
        """
        lines: list[dict[str, Any]] = []
        for number, bounds in enumerate(job.ranges):
            record = Slice(job.job_id, number, bounds, cursor=bounds.after)
            lines += [{"create": {"_id": _slice_key(job.job_id, number)}}, merged({}, record.to_source())]
        for start in range(0, len(lines), _BATCH):
            with backend_errors("write the job's slices"):
                answer = self._client.bulk(index=LEDGER_INDEX, body=lines[start : start + _BATCH])
            items = [item["create"] for item in answer["items"]]
            failed = [item for item in items if item["status"] not in (201, _CONFLICT)]
            if failed:
                raise item_error("write the job's slices", failed[0])

    def job(self, job_id: str) -> StoredJob:
        """Read a job.

        Raises:
            JobError: there is no such job.
        """
        found = self.find_job(job_id)
        if found is None:
            raise JobError(f"no job '{job_id}' in this cluster; 'ce2de reindex list' shows all")
        return found

    def find_job(self, job_id: str) -> StoredJob | None:
        """Read a job; ``None`` if there is none of this id."""
        answer = self._get(_job_key(job_id))
        if answer is None:
            return None
        source = answer["_source"]
        return StoredJob(answer["_seq_no"], answer["_primary_term"], read_job(source), source)

    def jobs(self) -> list[Job]:
        """Return all jobs whose records can be read, newest first."""
        return [found for _, found in self.entries() if isinstance(found, Job)]

    def entries(self) -> Iterator[tuple[str, Job | JobError]]:
        """Yield each job's id, newest first, with its record, or with the error that makes it unreadable."""
        if not admin.exists(self._client, LEDGER_INDEX):
            return
        admin.refresh(self._client, LEDGER_INDEX)
        order = [{"created_at_s": {"order": "desc", "unmapped_type": "double"}}, {"job_id": "asc"}]
        body: dict[str, Any] = {"size": _BATCH, "query": _JOBS, "sort": order}
        while True:
            with backend_errors("list jobs"):
                answer = self._client.search(index=LEDGER_INDEX, body=body, params=WHOLE)
            hits = answer["hits"]["hits"]
            yield from _readable(hits)
            if len(hits) < _BATCH:
                return
            body["search_after"] = hits[-1]["sort"]

    def ended_before(self, seconds: float) -> list[Job]:
        """Return the jobs that ended more than ``seconds`` ago; no standing or running jobs."""
        limit = self.now() - seconds
        ended = (job for job in self.jobs() if job.state in ENDED)
        return [job for job in ended if (job.finished_at_s or job.created_at_s) < limit]

    def active_jobs(self) -> list[Job]:
        """Return the jobs that have work for workers; records that cannot be read are left out."""
        body = {"size": _BATCH, "query": {"bool": {"filter": [_JOBS, {"terms": {"state": list(ACTIVE)}}]}}}
        params = {"ignore_unavailable": "true", **WHOLE}
        with backend_errors("look for active jobs"):
            answer = self._client.search(index=LEDGER_INDEX, body=body, params=params)
        return [found for _, found in _readable(answer["hits"]["hits"]) if isinstance(found, Job)]

    def slice(self, job_id: str, number: int) -> StoredSlice:
        """Read a slice.

        Raises:
            JobError: there is no such slice.
        """
        answer = self._get(_slice_key(job_id, number))
        if answer is None:
            raise JobError(f"no slice {number} of job '{job_id}' in this cluster")
        return _stored_slice(answer)

    def slices(self, job: Job) -> list[Slice]:
        """Read all slices of a job, by number, as they are at this moment."""
        return [stored.slice for stored in self.stored_slices(job)]

    def stored_slices(self, job: Job) -> list[StoredSlice]:
        """Return all slices of a job as stored, so that they can be changed."""
        keys = [_slice_key(job.job_id, number) for number in range(len(job.ranges))]
        found: list[StoredSlice] = []
        for start in range(0, len(keys), _BATCH):
            action = f"read the slices of job '{job.job_id}'"
            with backend_errors(action):
                answer = self._client.mget(index=LEDGER_INDEX, body={"ids": keys[start : start + _BATCH]})
            found += [_stored_slice(entry) for entry in entries_of(action, answer) if entry.get("found")]
        return found

    def change_job(self, stored: StoredJob, **changes: Any) -> StoredJob | None:  # noqa: ANN401
        """Change a job; ``None`` if it was changed since it was read."""
        job = replace(stored.job, **changes)
        source = merged(stored.raw, job.to_source())
        written = self._put(_job_key(job.job_id), source, _condition(stored))
        return StoredJob(written.seq_no, written.primary_term, job, source) if written else None

    def change_slice(self, stored: StoredSlice, **changes: Any) -> StoredSlice | None:  # noqa: ANN401
        """Change a slice; ``None`` if it was changed since it was read: the lease is lost."""
        record = replace(stored.slice, **changes)
        source = merged(stored.raw, record.to_source())
        written = self._put(_slice_key(record.job_id, record.number), source, _condition(stored))
        return StoredSlice(written.seq_no, written.primary_term, record, source) if written else None

    def claimable(self, record: Slice, is_gone: IsGone | None = None) -> bool:
        """Return whether a slice has work left and no worker holds its lease."""
        if record.state != RUNNING:
            return record.state == WAITING
        gone = record.owner is None or (is_gone is not None and is_gone(record.owner))
        return gone or record.lease_until_s < self.now()

    def held(self, records: Iterable[Slice], is_gone: IsGone | None = None) -> list[Slice]:
        """Return the slices whose lease a worker holds now."""
        running = (record for record in records if record.state == RUNNING)
        return [record for record in running if not self.claimable(record, is_gone)]

    def claim(self, stored: StoredSlice, owner: str, is_gone: IsGone | None = None) -> StoredSlice | None:
        """Take a slice's lease; ``None`` if there is nothing to do or another worker holds it.

        A slice whose worker died continues in small pages, to find the document that crashed it.
        """
        record = stored.slice
        mine = record.state == RUNNING and record.owner == owner  # it was interrupted, not killed
        if not mine and not self.claimable(record, is_gone):
            return None
        changes: dict[str, Any] = {"state": RUNNING, "owner": owner, "lease_until_s": self.lease_end()}
        if record.state == RUNNING and not mine:
            changes |= after_death(record)
        claimed = self.change_slice(stored, **changes)
        if claimed is not None and claimed.slice.deaths > record.deaths:
            logger.warning("Took over the slice of a dead worker", extra=_taken_over(claimed.slice, record))
        return claimed

    def reset(self, job: Job) -> None:
        """Reopen failed slices and open-ended finished ones, so that workers can take them."""
        for record in self.slices(job):
            reopen = record.state == FAILED or (record.state == DONE and record.range.upto is None)
            if reopen:
                stored = self.slice(job.job_id, record.number)
                self.change_slice(stored, state=WAITING, owner=None, **_AFRESH)

    def forget(self, job: Job) -> None:
        """Remove a job and its slices."""
        keys = [_job_key(job.job_id), *(_slice_key(job.job_id, number) for number in range(len(job.ranges)))]
        for start in range(0, len(keys), _BATCH):
            lines = [{"delete": {"_id": key}} for key in keys[start : start + _BATCH]]
            with backend_errors("remove the job's records"):
                self._client.bulk(index=LEDGER_INDEX, body=lines)

    def _get(self, key: str) -> dict[str, Any] | None:
        with backend_errors("read the ledger"):
            answer = self._client.get(index=LEDGER_INDEX, id=key, params={"ignore": [404]})
        return answer if answer.get("found") else None

    def _put(self, key: str, source: dict[str, Any], condition: dict[str, Any]) -> Stored | None:
        params = {**condition, "ignore": [_CONFLICT]}
        with backend_errors("write the ledger"):
            answer = self._client.index(index=LEDGER_INDEX, id=key, body=source, params=params)
        if "error" in answer:
            return None
        return Stored(answer["_seq_no"], answer["_primary_term"])


def after_death(record: Slice) -> dict[str, Any]:
    """Return the changes for a slice whose worker died: one more death, and smaller pages for a while."""
    return {"deaths": record.deaths + 1, **_smaller_pages(record)}


def after_failure(record: Slice) -> dict[str, Any]:
    """Return the changes for a slice with a failed page: one more failure, and smaller pages."""
    return {"failures": record.failures + 1, **_smaller_pages(record)}


def is_poisoned(record: Slice) -> bool:
    """Return whether the document after the cursor has used all its tries."""
    tries = max(record.deaths - FORGIVEN_DEATHS, 0) + record.failures
    return record.page_limit == 1 and tries >= MOST_TRIES


def _smaller_pages(record: Slice) -> dict[str, Any]:
    first = record.page_limit is None
    return {
        "page_limit": CAREFUL_PAGE if first else 1,
        "careful": CAREFUL_DOCUMENTS if first else ALONE_DOCUMENTS,
    }


def _readable(hits: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Job | JobError]]:
    """Yield each job's id with its record, or with the error that makes it unreadable."""
    for hit in hits:
        job_id = str(hit["_id"]).removeprefix(_job_key(""))
        try:
            yield job_id, read_job(hit["_source"])
        except JobError as error:
            yield job_id, error


def _stored_slice(answer: Mapping[str, Any]) -> StoredSlice:
    source = answer["_source"]
    return StoredSlice(answer["_seq_no"], answer["_primary_term"], read_slice(source), source)


def _taken_over(record: Slice, before: Slice) -> dict[str, Any]:
    keys = {"action": "slice_taken_over", "job": record.job_id, "slice": record.number}
    return {**keys, "cursor": record.cursor, "deaths": record.deaths, "dead_worker": before.owner}


def _job_key(job_id: str) -> str:
    return f"job:{job_id}"


def _slice_key(job_id: str, number: int) -> str:
    return f"slice:{job_id}:{number}"


def _condition(stored: Stored) -> dict[str, Any]:
    return {"if_seq_no": stored.seq_no, "if_primary_term": stored.primary_term}
