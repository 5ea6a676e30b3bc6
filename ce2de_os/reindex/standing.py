"""The records of standing jobs: one for each alias or index whose vectors are kept up to date.

A mirror copies from the source to the targets. After a handover, and in place, the indices that applications
write to are read and updated themselves.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace

from opensearchpy import OpenSearch

from ce2de_os.index import aliases
from ce2de_os.index.admin import patiently
from ce2de_os.reindex.job import (
    CANCELLED,
    DONE,
    FOLLOWING,
    PAUSED,
    READY,
    TARGET,
    Job,
    Part,
    Range,
    Slice,
)
from ce2de_os.reindex.ledger import Ledger


def standing_id(name: str) -> str:
    """Return the id of the standing job of an alias or index, or of a held job; each has at most one."""
    slug = re.sub(r"[^a-z0-9_.-]+", "", name.lower()).strip(".-")[:80] or "index"
    return f"follow-{slug}-{_digest(name)}"


def followed_name(job: Job) -> str:
    """Return what this job's standing job follows: its alias, or its source if in place without one."""
    return job.alias or job.source


def start(client: OpenSearch, ledger: Ledger, job: Job) -> Job:
    """Start the standing job of a finished job; one that does the same already continues.

    It begins where the job ended, so nothing is read twice and nothing is left out.
    """
    record = _record(client, ledger, job)
    stored = ledger.find_job(record.job_id)
    if stored is not None and _same_work(stored.job, record):
        ledger.add_slices(stored.job)  # the worker that made it may have died before it added them
        if stored.job.state in (FOLLOWING, PAUSED):
            return stored.job
        changed = ledger.change_job(stored, state=FOLLOWING, error=None)
        return changed.job if changed else ledger.job(record.job_id).job
    return enter(ledger, record)


def enter(ledger: Ledger, record: Job) -> Job:
    """Add a standing job, in place of any job with its id; one that did other work is kept for `restore`."""
    stored = ledger.find_job(record.job_id)
    if stored is not None:
        if stored.job.state != CANCELLED and not _same_work(stored.job, record):
            _put_aside(ledger, stored.job)
        ledger.forget(stored.job)
    ledger.add_job(record)
    ledger.add_slices(record)
    return ledger.job(record.job_id).job


def stop(ledger: Ledger, job: Job) -> None:
    """End the standing job of this job, and let this job continue where that one stopped."""
    for other in followers_of(ledger, job):
        if other.state in (FOLLOWING, PAUSED):
            patiently(lambda: ledger.change_job(ledger.job(other.job_id), state=CANCELLED, owner=None))  # noqa: B023
        if other.mode == job.mode:
            _take_over(ledger, job, ledger.slices(other), other)


def restore(client: OpenSearch, ledger: Ledger, job: Job) -> Job | None:
    """Start the standing job again that this job's one has replaced, after the alias moved back.

    It continues where it stopped, so that it embeds what was written since; paused, if it was. ``None``:
    there was none, or its indices are not behind the alias, or another standing job is active.
    """
    name = followed_name(job)
    stored = ledger.find_job(standing_id(name))
    if stored is not None and stored.job.state in (FOLLOWING, PAUSED):
        return None  # this job was not the last one: what is searched is kept up to date
    shown = set(aliases.definitions(client, job.alias) if job.alias else job.targets)
    kept = [one for key, one in ledger.entries() if key.startswith(f"{standing_id(name)}-")]
    formers = [one for one in kept if isinstance(one, Job) and not _works_for(one, job)]
    found = [one for one in formers if not shown.isdisjoint(one.targets)]  # some may have left the alias
    if not found:
        return None
    former = max(found, key=lambda one: one.finished_at_s or 0.0)
    if stored is not None:
        ledger.forget(stored.job)
    state = PAUSED if former.hold else FOLLOWING
    record = replace(
        former, job_id=standing_id(name), state=state, hold=False, finished_at_s=None, error=None
    )
    restored = enter(ledger, record)
    ledger.forget(former)
    return restored


def _put_aside(ledger: Ledger, job: Job) -> None:
    kept = replace(
        job,
        job_id=f"{standing_id(followed_name(job))}-{_digest(job.fingerprint, *job.targets)}",
        ranges=tuple(_ranges(ledger, job)),
        state=CANCELLED,
        hold=job.state == PAUSED,
        finished_at_s=ledger.now(),
        owner=None,
        lease_until_s=0.0,
    )
    ledger.forget(kept)
    ledger.add_job(kept)
    ledger.add_slices(kept)


def _digest(*names: str) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:6]


def followers_of(ledger: Ledger, job: Job) -> list[Job]:
    """Return the standing jobs that keep this job's vectors up to date, or did so: at most one is active.

    The standing job of its alias is none of them while that still shows another model's vectors.
    """
    found = (ledger.find_job(standing_id(name)) for name in (followed_name(job), job.job_id))
    return [stored.job for stored in found if stored is not None and _works_for(stored.job, job)]


def active_follower(ledger: Ledger, job: Job) -> Job | None:
    """Return the standing job, maybe paused, that keeps this job's vectors right; ``None``: none does."""
    found = followers_of(ledger, job)
    return next((other for other in found if other.state in (FOLLOWING, PAUSED)), None)


def _works_for(one: Job, job: Job) -> bool:
    same = (one.fingerprint, one.vector.name) == (job.fingerprint, job.vector.name)
    return one.standing and same and not set(one.targets).isdisjoint(job.targets)


def _take_over(ledger: Ledger, job: Job, seen: Iterable[Slice], other: Job) -> None:
    """Move the job's cursors to those of another job that wrote to the same targets."""
    reached = {(other.parts[one.range.part].target, one.range.shard): one.cursor for one in seen}
    uuids = {part.target: part.target_uuid for part in other.parts}
    for record in ledger.slices(job):
        part = job.parts[record.range.part]
        cursor = reached.get((part.target, record.range.shard), -1)
        newer = record.range.upto is None and record.state == DONE and cursor > record.cursor
        if newer and uuids.get(part.target) == part.target_uuid:
            ledger.change_slice(ledger.slice(job.job_id, record.number), cursor=cursor)


def _record(client: OpenSearch, ledger: Ledger, job: Job) -> Job:
    name = followed_name(job)
    held = job.state == READY  # the alias still shows what its own standing job keeps up to date
    in_place_now = job.mode == "in_place" or job.truth == TARGET
    return replace(
        in_place(job) if in_place_now else job,
        job_id=standing_id(job.job_id if held else name),
        source=name if in_place_now else job.source,
        ranges=tuple(_ranges(ledger, job)),
        created_at_s=ledger.now(),
        state=FOLLOWING,
        standing=True,
        owner=None,
        lease_until_s=0.0,
        finished_at_s=None,
        hold=False,
        before=None,
        report=None,
        error=None,
        blocked_at_s=None,
        blocked_s=None,
        fresh_at_s=ledger.now(),
        connection_at_s=None,
        connection_right=None,
        connection_error=None,
    )


def in_place(job: Job) -> Job:
    """Return the job as it is after a handover: it reads and updates the targets themselves."""
    if job.mode == "in_place":
        return job
    return replace(job, mode="in_place", parts=tuple(map(_itself, job.parts)))


def _itself(part: Part) -> Part:
    return replace(
        part,
        source=part.target,
        source_uuid=part.target_uuid or "",
        source_history=part.target_history,
        snapshot=(),
        existed=True,
        restore={},
        dropped=(),
    )


def _ranges(ledger: Ledger, job: Job) -> Iterable[Range]:
    """Yield each shard's range from where the job has read it; after a handover, from the fences."""
    if job.mode == "copy" and job.truth == TARGET:
        for number, part in enumerate(job.parts):
            for shard, fence in enumerate(job.fences.get(part.target, ())):
                yield Range(number, shard, fence, None)
        return
    for record in ledger.slices(job):
        if record.range.upto is None:
            yield Range(record.range.part, record.range.shard, record.cursor, None)


def _same_work(one: Job, other: Job) -> bool:
    """Return whether two standing jobs read the same indices, write the same and embed the same text."""

    def work(job: Job) -> tuple[object, ...]:
        parts = {(part.source, part.source_uuid, part.target, part.target_uuid) for part in job.parts}
        return job.mode, job.fingerprint, job.text, job.vector, job.languages, parts

    return one.standing and work(one) == work(other)
