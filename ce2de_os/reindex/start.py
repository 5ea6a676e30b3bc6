"""Start a job, or resume the one that does the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import ArtifactMismatchError, ConfigError, JobError
from ce2de_os.index import admin
from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.metadata import IndexMetadata, fields_from
from ce2de_os.index.templates import held_back_settings, target_body, vector_properties
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.job import (
    CANCELLED,
    DONE,
    FAILED,
    PAUSED,
    READY,
    ROLLED_BACK,
    RUNNING,
    Job,
    Mode,
    Part,
    cut,
    job_id_for,
)
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.queue import TaskQueue, send_waiting
from ce2de_os.reindex.request import JobRequest, Model
from ce2de_os.reindex.sources import (
    check_alias,
    check_source,
    choose_mode,
    field_name,
    resolve,
    target_name,
)


def start(client: OpenSearch, request: JobRequest, model: Model, queue: TaskQueue) -> Job:
    """Start a job, or resume the one that does the same; a finished one catches up with later writes.

    Raises:
        ConfigError: the alias is taken by an index, or the source cannot be copied.
        DataError: a text field is not in the source's mapping.
        ArtifactMismatchError: a target holds vectors of another model.
        JobError: a source was deleted and created again since the job began.
        BackendError: OpenSearch refuses.
    """
    sources = resolve(client, request.source, model)
    for source in sources:
        check_source(source, request)
    mode = choose_mode(sources, request)
    check_alias(client, request, mode)
    field = field_name(sources, mode, model)
    vector = request.vector(name=field, dim=model.dim, passages=request.text.passages is not None)
    vector.validate()
    targets = [
        source.name if mode == "in_place" else target_name(source, request, sources, model)
        for source in sources
    ]
    metadata = [
        IndexMetadata(
            vector.name, request.text.fields, model.fingerprint, model.dim, model.name, source.name,
            model.space, request.text.passages is not None, ready=mode == "copy",
        )
        for source in sources
    ]  # fmt: skip
    identity = (
        mode,
        tuple(source.name for source in sources),
        tuple(targets),
        request.alias,
        request.text,
        vector,
    )
    ledger = Ledger(client)
    ledger.create()
    job_id = job_id_for(request.source, *identity)
    # First the job, then its targets: they are created before it, so one that lacks them has lost them.
    stored = ledger.find_job(job_id)
    existing = [
        _exists_already(client, target, wanted, mode)
        for target, wanted in zip(targets, metadata, strict=True)
    ]
    if stored is not None and mode == "copy" and not all(existing):
        ledger.forget(stored.job)  # begin anew
        stored = None
    for source, target, wanted in zip(sources, targets, metadata, strict=True):
        _prepare(client, source, target, wanted, vector, mode)
    if stored is None:
        _enter(client, ledger, request, model, mode, vector, job_id, sources, targets, existing)
    job = ledger.job(job_id).job
    _check_origins(job, sources)
    ledger.add_slices(job)
    return _resume(ledger, job, queue)


def _exists_already(client: OpenSearch, target: str, wanted: IndexMetadata, mode: Mode) -> bool:
    """Whether the target is there; it must be one of this very job then."""
    if mode == "in_place" or not admin.exists(client, target):
        return False
    found = next(iter(fields_from(admin.describe(client, target).mappings)), None)
    cure = "choose another --target, or delete that index"
    if found is None:
        raise ConfigError(f"target '{target}' exists and was not made by ce2de; {cure}")
    if found.dim != wanted.dim:
        raise ArtifactMismatchError(
            f"target '{target}' has vectors of dimension {found.dim}, the model gives {wanted.dim}; {cure}"
        )
    if found.fingerprint != wanted.fingerprint:
        raise ArtifactMismatchError(
            f"target '{target}' has vectors of model {found.fingerprint[:12]}, "
            f"this model is {wanted.fingerprint[:12]}; {cure}"
        )
    if (found.source, found.text_fields, found.passages) != (
        wanted.source,
        wanted.text_fields,
        wanted.passages,
    ):
        raise ConfigError(
            f"target '{target}' was made from '{found.source}' with fields {', '.join(found.text_fields)}; "
            f"{cure}"
        )
    return True


def _enter(
    client: OpenSearch,
    ledger: Ledger,
    request: JobRequest,
    model: Model,
    mode: Mode,
    vector: VectorField,
    job_id: str,
    sources: Sequence[IndexInfo],
    targets: Sequence[str],
    existing: Sequence[bool],
) -> None:
    """Enter the job of this request in the ledger; if somebody was faster, theirs counts."""
    for source in sources:
        admin.refresh(client, source.name)
    checkpoints = [admin.checkpoints(client, source.name) for source in sources]
    parts = tuple(
        Part(
            source.name, source.uuid, target, admin.count(client, source.name),
            () if was_there else tuple(found[shard] for shard in sorted(found)),
            held_back_settings(source.settings) if mode == "copy" else {},
            _other_vectors(source),
        )
        for source, target, was_there, found in zip(sources, targets, existing, checkpoints, strict=True)
    )  # fmt: skip
    job = Job(
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
        hold=request.hold,
        accept_refused=request.accept_refused,
        pipeline=request.pipeline,
        docs_per_s=request.docs_per_s,
    )
    ledger.add_job(job)


def _check_origins(job: Job, sources: Sequence[IndexInfo]) -> None:
    """Refuse to go on from where a source ended that does not exist any more."""
    for part, source in zip(job.parts, sources, strict=True):
        if part.source_uuid != source.uuid:
            raise JobError(
                f"'{source.name}' was deleted and created again since job '{job.job_id}' began; "
                f"delete '{part.target}' and start again, or choose another --target"
            )


def _other_vectors(source: IndexInfo) -> tuple[str, ...]:
    """The fields of vectors that a copy leaves behind."""
    names = [entry.vector_field for entry in fields_from(source.mappings)]
    return tuple(field for name in names for field in (name, f"{name}_hash"))


def _without(mappings: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    properties = mappings.get("properties", {})
    return {**mappings, "properties": {name: properties[name] for name in properties if name not in fields}}


def _prepare(
    client: OpenSearch,
    source: IndexInfo,
    target: str,
    metadata: IndexMetadata,
    vector: VectorField,
    mode: Mode,
) -> None:
    """Create the target, or the field in the source's own mapping."""
    if mode == "copy":
        mappings = _without(source.mappings, _other_vectors(source))
        body = target_body(source.settings, mappings, metadata, vector, f"{vector.name}_hash")
        admin.create(client, target, body)
        return
    described = fields_from(source.mappings)
    if all(entry.vector_field != vector.name for entry in described):
        meta = {**source.mappings.get("_meta", {}), **metadata.to_meta(described)}
        admin.put_meta(client, target, meta, vector_properties(vector, f"{vector.name}_hash"))


def _resume(ledger: Ledger, job: Job, queue: TaskQueue) -> Job:
    stored = ledger.job(job.job_id)
    if stored.job.state in (DONE, FAILED, READY, PAUSED, CANCELLED, ROLLED_BACK):
        ledger.reset(job)
        # The new search name of an alias that was rolled back is known by what it pointed to.
        ledger.change_job(stored, state=RUNNING, error=None, finished_at_s=None)
    send_waiting(ledger, job, queue)
    return ledger.job(job.job_id).job
