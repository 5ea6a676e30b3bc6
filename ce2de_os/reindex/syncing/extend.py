"""Add new indices to a job: an index that appears behind an alias, data stream or pattern becomes a part."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from opensearchpy import OpenSearch

from ce2de_os.errors import Ce2deError
from ce2de_os.index import admin, aliases
from ce2de_os.index.admin import IndexInfo, patiently
from ce2de_os.index.metadata import fields_from
from ce2de_os.reindex.held_job import HeldJob
from ce2de_os.reindex.identity import history_of
from ce2de_os.reindex.job import MIRROR, Job, Part, Range
from ce2de_os.reindex.setup.preparation import field_in_place, new_copies
from ce2de_os.reindex.setup.targets import restored

logger = logging.getLogger(__name__)


def enter_parts(held: HeldJob, parts: Sequence[Part], shards: Sequence[int]) -> None:
    """Add parts to a job, each with its number of shards, from their first document on."""
    if not parts:
        return
    job = held.job
    first = len(job.parts)
    ranges = tuple(
        Range(first + number, shard, -1, None)
        for number, count in enumerate(shards)
        for shard in range(count)
    )
    changed = held.change(parts=(*job.parts, *parts), ranges=(*job.ranges, *ranges))
    patiently(lambda: held.ledger.add_slices(changed))
    keys = {"action": "members_joined", "job": job.job_id, "indices": [part.source for part in parts]}
    logger.info("New indices joined the job", extra=keys)


def add_in_place(client: OpenSearch, held: HeldJob, found: Sequence[IndexInfo]) -> list[str]:
    """Add indices whose own documents get vectors; return why that is impossible for some."""
    able, unable = [], []
    for info in found:
        try:
            if not any(_is_ours(held.job, entry) for entry in fields_from(info.mappings)):
                field_in_place(client, info, held.job)
            able.append(info)
        except Ce2deError as error:
            unable.append(str(error))
    parts = [
        Part(
            info.name,
            info.uuid,
            info.name,
            admin.count(client, info.name),
            existed=True,
            target_uuid=info.uuid,
            source_history=history_of(client, info.name, int(info.settings["number_of_shards"])),
        )
        for info in able
    ]
    enter_parts(held, parts, [int(info.settings["number_of_shards"]) for info in able])
    return unable


def enter_problems(held: HeldJob, problems: Sequence[str]) -> None:
    """Record why some indices are no parts of the job at present; empty: all are."""
    problem = "; ".join(problems) or None
    if held.job.error != problem:
        held.change(error=problem)


def add_copies(client: OpenSearch, held: HeldJob, found: Sequence[IndexInfo]) -> None:
    """Add indices to a mirror: each gets a target of its own, which joins the alias."""
    if not found:
        return
    # They join while others search: there is no load that less settings would make faster.
    parts = [restored(client, part) for part in new_copies(client, held.job, found)]
    enter_parts(held, parts, [int(info.settings["number_of_shards"]) for info in found])
    job = held.job
    if job.alias is None or job.way != MIRROR:
        return
    current = aliases.definitions(client, job.alias)
    if any(part.target in current for part in job.parts):  # it has moved, so the new ones belong there too
        joining = {part.target: {"is_write_index": False} for part in parts if part.target not in current}
        aliases.update(client, aliases.moved(job.alias, [], joining), f"extend alias '{job.alias}'")


def _is_ours(job: Job, entry: object) -> bool:
    return (getattr(entry, "vector_field", None), getattr(entry, "fingerprint", None)) == (
        job.vector.name,
        job.fingerprint,
    )
