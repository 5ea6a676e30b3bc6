"""The moment of change: the alias moves to the targets, or back."""

from __future__ import annotations

import logging

from opensearchpy import OpenSearch

from ce2de_os.errors import JobError
from ce2de_os.index import admin
from ce2de_os.index.admin import patiently
from ce2de_os.index.metadata import fields_from
from ce2de_os.reindex.job import DONE, ROLLED_BACK, Job
from ce2de_os.reindex.ledger import Ledger

logger = logging.getLogger(__name__)


def switch(client: OpenSearch, job: Job) -> tuple[str, ...]:
    """Let searches see the job's vectors; returns the indices that the alias pointed to before.

    One request moves the alias to all targets; each takes over how its source was in the alias: filter,
    routing, ``is_write_index``. In place, the new field is marked as ready.
    """
    if job.mode == "in_place":
        set_ready(client, job, ready=True)
    previous: tuple[str, ...] = ()
    if job.alias is not None:
        before = admin.alias_definitions(client, job.alias)
        definitions = {
            part.target: before.get(part.source, before.get(part.target, {})) for part in job.parts
        }
        admin.move_alias(client, job.alias, definitions)
        # After a catch-up the alias points to the targets already; what came before them is still known.
        moved = tuple(sorted(set(before) - set(job.targets)))
        previous = moved or job.previous
    logger.info("Alias moved", extra={"action": "cutover", "job": job.job_id, "alias": job.alias})
    return previous


def set_ready(client: OpenSearch, job: Job, *, ready: bool) -> None:
    """Mark the job's field as ready for searches, or not, in every target that carries it."""
    for part in job.parts:
        described = fields_from(admin.describe(client, part.target).mappings)
        mine = [entry for entry in described if entry.vector_field == job.vector.name]
        for entry in mine:
            changed = type(entry)(**{**vars(entry), "ready": ready})
            admin.put_meta(client, part.target, changed.to_meta(described), {})


def rollback(client: OpenSearch, job_id: str) -> Job:
    """Let the alias point where it pointed before the job; the targets stay as they are.

    Documents that applications wrote to the targets since are not copied back.

    Raises:
        JobError: the job has not moved an alias, or an index of before is gone.
    """
    ledger = Ledger(client)
    stored = ledger.job(job_id)
    job = stored.job
    if job.state != DONE:
        raise JobError(f"job '{job_id}' is {job.state}; only a job that is done can be rolled back")
    gone = [name for name in job.previous if not admin.exists(client, name)]
    if gone:
        raise JobError(f"job '{job_id}' cannot be rolled back: index '{gone[0]}' does not exist any more")
    if job.alias is not None and not job.previous and job.mode == "copy":
        raise JobError(
            f"alias '{job.alias}' pointed nowhere before job '{job_id}'; "
            f"let applications search '{job.source}', or remove the alias"
        )
    if job.mode == "in_place":
        set_ready(client, job, ready=False)
    if job.alias is not None and job.previous:
        before = admin.alias_definitions(client, job.alias)
        by_source = {part.source: part.target for part in job.parts}
        definitions = {name: before.get(by_source.get(name, name), {}) for name in job.previous}
        patiently(lambda: admin.move_alias(client, str(job.alias), definitions))
    changed = ledger.change_job(stored, state=ROLLED_BACK)
    if changed is None:
        raise JobError(
            f"somebody else changed job '{job_id}' at the same time; look: ce2de reindex status {job_id}"
        )
    return changed.job
