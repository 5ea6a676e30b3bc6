"""A job's right to write to its targets: from its start until it is cancelled or has switched."""

from __future__ import annotations

from dataclasses import replace

from opensearchpy import OpenSearch

from ce2de_os.errors import JobError
from ce2de_os.index import admin, aliases
from ce2de_os.index.guard import guard_name
from ce2de_os.reindex.job import SOURCE, Job, Part


def arm(client: OpenSearch, job: Job) -> None:
    """Let the job write to its targets again; they take no writes of applications and run no pipelines.

    Raises:
        JobError: the truth is not in the source, or a target is not the one that the job made.
    """
    if job.mode != "copy":
        return
    if job.truth != SOURCE:
        raise JobError(
            f"job '{job.job_id}' has handed over: applications write to {', '.join(job.targets)} now, and "
            "copying the source again would overwrite that"
        )
    for part in job.parts:
        info = admin.describe(client, part.target)
        if part.target_uuid and info.uuid != part.target_uuid:
            raise JobError(
                f"'{part.target}' was deleted and created again since job '{job.job_id}' made it; delete it, "
                "and start the job again"
            )
        pipelines = {name: "_none" for name in part.restore if name.endswith("_pipeline")}
        admin.put_settings(client, part.target, {"index.blocks.write": None, **pipelines})
    guards = [
        {"add": {"index": part.target, "alias": guard_name(part.target), "is_hidden": True}}
        for part in job.parts
    ]
    aliases.update(client, guards, f"let job '{job.job_id}' write to {job.target}")


def restored(client: OpenSearch, part: Part) -> Part:
    """Give a target the settings that the load held back, once; pipelines wait until applications write.

    Returns:
        The part without them: later changes of its owner stay.
    """
    settings = {name: value for name, value in part.restore.items() if not name.endswith("_pipeline")}
    if not settings:
        return part
    admin.put_settings(client, part.target, settings)
    pipelines = {name: value for name, value in part.restore.items() if name not in settings}
    return replace(part, restore=pipelines)


def disarm(client: OpenSearch, job: Job) -> None:
    """Stop all workers from writing to the targets, even those that do not know that the job ended."""
    if job.mode != "copy":
        return
    guards = [
        {"remove": {"index": part.target, "alias": guard_name(part.target), "must_exist": False}}
        for part in job.parts
        if admin.exists(client, part.target)
    ]
    if guards:
        aliases.update(client, guards, f"let job '{job.job_id}' write nothing any more")
