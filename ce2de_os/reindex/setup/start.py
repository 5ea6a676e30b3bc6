"""Start a job, or resume the one that does the same."""

from __future__ import annotations

from collections.abc import Sequence

from opensearchpy import OpenSearch

from ce2de_os.errors import JobError
from ce2de_os.index import admin
from ce2de_os.index.admin import IndexInfo, patiently
from ce2de_os.index.base64_vectors import takes_base64
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex import standing
from ce2de_os.reindex.identity import settle
from ce2de_os.reindex.job import SOURCE, TARGET, Job, Mode, Range, Way, job_id_for
from ce2de_os.reindex.ledger import Ledger, StoredJob
from ce2de_os.reindex.queue import TaskQueue
from ce2de_os.reindex.request import JobRequest, Model
from ce2de_os.reindex.setup import checks, repeat
from ce2de_os.reindex.setup.cutting import cut
from ce2de_os.reindex.setup.preparation import (
    Planned,
    check_field_options,
    check_targets,
    part_of,
    planned,
    prepare,
    vector_of,
)
from ce2de_os.reindex.setup.sources import (
    check_alias,
    check_source,
    field_name,
    mode_of,
    resolve,
    served_targets,
)
from ce2de_os.reindex.setup.way import choose_way


def start(client: OpenSearch, request: JobRequest, model: Model, queue: TaskQueue) -> Job:
    """Start a job, or continue the one that does the same.

    A finished job is not done again: its standing job keeps the vectors up to date, and is returned where the
    alias has moved.

    Raises:
        ConfigError: the alias is taken by an index, the source cannot be copied, or a target has other
            languages.
        ArtifactError: token vectors are wanted, and the model gives none.
        DataError: a text field is not in the source's mapping.
        ArtifactMismatchError: a target holds vectors of another model.
        JobError: a source was deleted and created again since the job began, or the job cannot take an
            option.
        BackendError: OpenSearch rejects a request.
    """
    ledger = Ledger(client)
    ledger.create()
    known = find_job(ledger, request, model)
    if known is not None and known.truth == TARGET:
        if _targets_are_there(client, known):
            return repeat.after_handover(client, ledger, known, request, queue)
        standing.stop(ledger, known)
        ledger.forget(known)
    checks.refuse(checks.of_options(client, request.alias, request.target, request.pipeline))
    sources = resolve(client, request.source, served_targets(ledger.jobs()))
    for source in sources:
        check_source(source, request)
    mode = mode_of(sources, request)
    check_alias(request, mode)
    _check_sources(client, request, sources, mode)
    way = choose_way(client, request, sources, mode, known=known is not None)
    vector = vector_of(client, request, model, field_name(sources, mode, model))
    kept = {part.source: part.target for part in known.parts} if known is not None else {}
    indices = [planned(client, source, sources, request, model, mode, vector, kept) for source in sources]
    check_targets(indices)
    if mode == "in_place":
        check_field_options(sources, vector)
    job = _find_or_create_job(client, ledger, request, model, mode, vector, indices, way)
    patiently(lambda: ledger.add_slices(job))
    return repeat.go_on(client, ledger, job, request, queue)


def _check_sources(client: OpenSearch, request: JobRequest, sources: Sequence[IndexInfo], mode: Mode) -> None:
    fields, in_place = request.text.fields, mode == "in_place"
    findings = checks.of_sources(client, request.source, sources, fields, request.alias, in_place=in_place)
    checks.refuse(findings)


def _targets_are_there(client: OpenSearch, job: Job) -> bool:
    """Return whether the indices that a job has handed over to still exist; if not, it starts again."""
    for part in job.parts:
        if not admin.exists(client, part.target):
            return False
        if part.target_uuid not in (None, admin.describe(client, part.target).uuid):
            return False
    return True


def find_job(ledger: Ledger, request: JobRequest, model: Model) -> Job | None:
    """Find the job of this request although its sources are no longer behind their name; else ``None``."""
    found = ledger.find_job(job_id_for(request.source, *_identity(request, model, "copy")))
    return found.job if found else None


def _identity(request: JobRequest, model: Model, mode: Mode) -> tuple[object, ...]:
    """Return what makes two requests the same job; options that may change later are not part of it."""
    vector = request.vector(dim=model.dim, passages=request.text.passages is not None)
    more = [one for one in (request.token_vectors, request.languages) if one]
    return mode, request.target, request.alias, request.text, model.fingerprint, vector, *more


def _find_or_create_job(
    client: OpenSearch,
    ledger: Ledger,
    request: JobRequest,
    model: Model,
    mode: Mode,
    vector: VectorField,
    indices: Sequence[Planned],
    way: Way | None,
) -> Job:
    """Create the targets and the job of this request, unless the ledger has it; add new indices to it."""
    job_id = job_id_for(request.source, *_identity(request, model, mode))
    stored = ledger.find_job(job_id)
    # Targets are made before the job is entered, so a job without its target has lost it: begin anew.
    if stored is not None and not all(admin.exists(client, target) for target in stored.job.targets):
        ledger.forget(stored.job)
        stored = None
    for index in indices:
        prepare(client, index, mode, vector, request.languages)
    if stored is None:
        ledger.add_job(_new_job(client, ledger, job_id, request, model, mode, vector, indices, way))
        stored = ledger.job(job_id)  # if another command was faster, its record counts
    return _add_new_indices(client, ledger, stored, mode, indices)


def _add_new_indices(
    client: OpenSearch, ledger: Ledger, stored: StoredJob, mode: Mode, indices: Sequence[Planned]
) -> Job:
    """Add the indices that appeared behind the job's source since it began; return the job."""
    job = stored.job
    parts = {part.source: part for part in job.parts}
    for index in indices:
        part = parts.get(index.source.name)
        if part is not None and part.source_uuid != index.source.uuid:
            raise JobError(
                f"'{part.source}' was deleted and created again since job '{job.job_id}' began; "
                f"delete '{part.target}' and start again, or choose another `target`"
            )
    fresh = [index for index in indices if index.source.name not in parts]
    if not fresh:
        return job
    added = [part_of(client, index, mode, {}) for index in fresh]
    ranges = tuple(
        Range(len(job.parts) + number, shard, -1, None)
        for number, index in enumerate(fresh)
        for shard in range(int(index.source.settings["number_of_shards"]))
    )
    changed = ledger.change_job(stored, parts=(*job.parts, *added), ranges=(*job.ranges, *ranges))
    if changed is None:
        raise JobError(f"job '{job.job_id}' is being changed by another command; try again")
    return changed.job


def _new_job(
    client: OpenSearch,
    ledger: Ledger,
    job_id: str,
    request: JobRequest,
    model: Model,
    mode: Mode,
    vector: VectorField,
    indices: Sequence[Planned],
    way: Way | None,
) -> Job:
    settle(client, [index.source.name for index in indices])
    checkpoints = [admin.checkpoints(client, index.source.name) for index in indices]
    for index in indices:  # after it, so that all up to the checkpoints are visible
        admin.refresh(client, index.source.name)
    parts = tuple(
        part_of(client, index, mode, found) for index, found in zip(indices, checkpoints, strict=True)
    )
    return Job(
        job_id=job_id,
        source=request.source,
        mode=mode,
        parts=parts,
        alias=request.alias,
        text=request.text,
        vector=vector,
        fingerprint=model.fingerprint,
        model=model.name,
        space=model.space,
        ranges=cut(checkpoints),
        created_at_s=ledger.now(),
        languages=request.languages,
        hold=request.hold,
        accept_refused=request.accept_rejected,
        pipeline=request.pipeline,
        base64=takes_base64(client, vector),
        docs_per_s=request.docs_per_s,
        truth=SOURCE if mode == "copy" else TARGET,
        way=way,
        block=request.block,
        max_block_s=request.max_block_s,
        follow=request.follow,
        accept_unreplicated=request.accept_unreplicated,
    )
