"""Start a job, or resume the one that does the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from opensearchpy import OpenSearch

from ce2de_os.errors import ArtifactMismatchError, ConfigError, JobError
from ce2de_os.index import admin
from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.carried import held_back_settings
from ce2de_os.index.language_fields import LanguageSpec
from ce2de_os.index.metadata import IndexMetadata, fields_from
from ce2de_os.index.templates import vector_properties
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex import checks, repeat, standing
from ce2de_os.reindex.creation import create_target, other_vectors
from ce2de_os.reindex.extend import model_of
from ce2de_os.reindex.identity import history_of, settle
from ce2de_os.reindex.job import SOURCE, TARGET, Job, Mode, Part, Range, Way, cut, job_id_for
from ce2de_os.reindex.ledger import Ledger, StoredJob
from ce2de_os.reindex.naming import target_name
from ce2de_os.reindex.queue import TaskQueue
from ce2de_os.reindex.request import JobRequest, Model, token_dim_of
from ce2de_os.reindex.sources import (
    check_alias,
    check_source,
    choose_mode,
    field_name,
    resolve,
    served_targets,
)
from ce2de_os.reindex.way import choose_way


@dataclass(frozen=True)
class _Index:
    """A source, the target it gets, what that will say of its vectors, and whether it is there already."""

    source: IndexInfo
    target: str
    metadata: IndexMetadata
    existed: bool


def start(client: OpenSearch, request: JobRequest, model: Model, queue: TaskQueue) -> Job:
    """Start a job, or go on with the one that does the same.

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
        BackendError: OpenSearch refuses.
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
    mode = choose_mode(sources, request)
    check_alias(request, mode)
    _check_sources(client, request, sources, mode)
    way = choose_way(client, request, sources, mode)
    vector = _vector(client, request, model, field_name(sources, mode, model))
    kept = {part.source: part.target for part in known.parts} if known is not None else {}
    indices = [_index(client, source, sources, request, model, mode, vector, kept) for source in sources]
    check_targets(indices)
    job = _enter(client, ledger, request, model, mode, vector, indices, way)
    ledger.add_slices(job)
    return repeat.go_on(client, ledger, job, request, queue)


def _check_sources(client: OpenSearch, request: JobRequest, sources: Sequence[IndexInfo], mode: Mode) -> None:
    fields, in_place = request.text.fields, mode == "in_place"
    findings = checks.of_sources(client, request.source, sources, fields, request.alias, in_place=in_place)
    checks.refuse(findings)


def check_targets(indices: Sequence[_Index]) -> None:
    """Refuse to copy two indices into one.

    Raises:
        ConfigError: two of them would have the same target.
    """
    seen: dict[str, str] = {}
    for index in indices:
        other = seen.setdefault(index.target, index.source.name)
        if other != index.source.name:
            raise ConfigError(
                f"'{other}' and '{index.source.name}' would both be copied into '{index.target}'; "
                "start a job for each of them, with a --target of its own"
            )


def _targets_are_there(client: OpenSearch, job: Job) -> bool:
    """Whether the indices that a job has handed over to still exist; else it begins anew."""
    for part in job.parts:
        if not admin.exists(client, part.target):
            return False
        if part.target_uuid not in (None, admin.describe(client, part.target).uuid):
            return False
    return True


def find_job(ledger: Ledger, request: JobRequest, model: Model) -> Job | None:
    """The job that did what is asked for, although its sources are not behind their name any more."""
    found = ledger.find_job(job_id_for(request.source, *_identity(request, model, "copy")))
    return found.job if found else None


def _identity(request: JobRequest, model: Model, mode: Mode) -> tuple[object, ...]:
    """What makes two requests the same job; options that may change later are not among it."""
    vector = request.vector(dim=model.dim, passages=request.text.passages is not None)
    more = [one for one in (request.token_vectors, request.languages) if one]
    return mode, request.target, request.alias, request.text, model.fingerprint, vector, *more


def _vector(client: OpenSearch, request: JobRequest, model: Model, name: str) -> VectorField:
    token_dim = token_dim_of(model) if request.token_vectors else None
    passages = request.text.passages is not None
    vector = request.vector(dim=model.dim, name=name, passages=passages, token_dim=token_dim)
    vector.validate(admin.version(client))
    return vector


def _index(
    client: OpenSearch,
    source: IndexInfo,
    sources: Sequence[IndexInfo],
    request: JobRequest,
    model: Model,
    mode: Mode,
    vector: VectorField,
    kept: Mapping[str, str] = MappingProxyType({}),
) -> _Index:
    """What becomes of a source; ``kept`` are the targets that the job has already, by source."""
    metadata = IndexMetadata(
        vector_field=vector.name,
        text_fields=request.text.fields,
        fingerprint=model.fingerprint,
        dim=model.dim,
        model=model.name,
        source=source.name,
        space=model.space,
        template=request.text.template,
        passages=vector.passages,
        data_type=vector.data_type,
        languages=request.languages.codes if request.languages else (),
        language_from=request.languages.field if request.languages else None,
        token_dim=vector.token_dim,
        ready=mode == "copy",
    )
    if mode == "in_place":
        _check_field(source, metadata)
        _check_tokens(source, metadata)
        return _Index(source, source.name, metadata, existed=True)
    target = kept.get(source.name) or target_name(client, source, request, sources, model)
    existed = admin.exists(client, target)
    if existed:
        _check_existing(client, target, metadata)
    return _Index(source, target, metadata, existed)


def _check_existing(client: OpenSearch, target: str, wanted: IndexMetadata) -> None:
    """Refuse a target that is not this very job's."""
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
    if _work(found) != _work(wanted):
        raise ConfigError(
            f"target '{target}' was made from '{found.source}' with fields {', '.join(found.text_fields)}"
            f"{_languages_told(found)}{', with token vectors' if found.token_dim else ''}; {cure}"
        )


def _check_field(source: IndexInfo, wanted: IndexMetadata) -> None:
    """Refuse a field of this model's vectors whose text stands in the fields of other languages."""
    mine = [entry for entry in fields_from(source.mappings) if entry.vector_field == wanted.vector_field]
    for found in mine:
        if _languages(found) != _languages(wanted):
            raise ConfigError(
                f"'{source.name}' has this model's vectors in '{found.vector_field}' already"
                f"{_languages_told(found)}; start it as it was, or make a copy with other --languages: "
                f"--mode copy --target {source.name}-2 --alias NAME"
            )


def _languages(metadata: IndexMetadata) -> tuple[object, ...]:
    return metadata.languages, metadata.language_from


def _languages_told(metadata: IndexMetadata) -> str:
    if not metadata.languages:
        return ", without languages"
    return (
        f", in the languages {','.join(metadata.languages)}, read from {metadata.language_from}"
        if metadata.language_from
        else f", in the languages {','.join(metadata.languages)}, detected"
    )


def _check_tokens(source: IndexInfo, wanted: IndexMetadata) -> None:
    """Refuse to leave token vectors behind when texts change: nothing would tell that they are old."""
    for entry in fields_from(source.mappings):
        if entry.vector_field == wanted.vector_field and entry.token_dim and not wanted.token_dim:
            raise ConfigError(
                f"'{source.name}' has token vectors in '{entry.token_field}', which must follow the texts; "
                "add --token-vectors"
            )


def _work(metadata: IndexMetadata) -> tuple[object, ...]:
    extras = (*_languages(metadata), metadata.token_dim)
    return metadata.source, metadata.text, metadata.passages, metadata.data_type, *extras


def _enter(
    client: OpenSearch,
    ledger: Ledger,
    request: JobRequest,
    model: Model,
    mode: Mode,
    vector: VectorField,
    indices: Sequence[_Index],
    way: Way | None,
) -> Job:
    """The job of this request: the one in the ledger, or a new one."""
    job_id = job_id_for(request.source, *_identity(request, model, mode))
    stored = ledger.find_job(job_id)
    # Targets are made before the job is entered, so a job without its target has lost it: begin anew.
    if stored is not None and not all(admin.exists(client, target) for target in stored.job.targets):
        ledger.forget(stored.job)
        stored = None
    for index in indices:
        _prepare(client, index, mode, vector, request.languages)
    if stored is None:
        ledger.add_job(_new_job(client, ledger, job_id, request, model, mode, vector, indices, way))
        stored = ledger.job(job_id)  # if another command was faster, its record counts
    return _with_members(client, ledger, stored, mode, indices)


def _with_members(
    client: OpenSearch, ledger: Ledger, stored: StoredJob, mode: Mode, indices: Sequence[_Index]
) -> Job:
    """The job with the indices that appeared behind its source since it began."""
    job = stored.job
    parts = {part.source: part for part in job.parts}
    for index in indices:
        part = parts.get(index.source.name)
        if part is not None and part.source_uuid != index.source.uuid:
            raise JobError(
                f"'{part.source}' was deleted and created again since job '{job.job_id}' began; "
                f"delete '{part.target}' and start again, or choose another --target"
            )
    fresh = [index for index in indices if index.source.name not in parts]
    if not fresh:
        return job
    added = [_part(client, index, mode, {}) for index in fresh]
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
    indices: Sequence[_Index],
    way: Way | None,
) -> Job:
    settle(client, [index.source.name for index in indices])
    checkpoints = [admin.checkpoints(client, index.source.name) for index in indices]
    for index in indices:  # after it, so that all up to the checkpoints are visible
        admin.refresh(client, index.source.name)
    parts = tuple(
        _part(client, index, mode, found) for index, found in zip(indices, checkpoints, strict=True)
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
        accept_refused=request.accept_refused,
        pipeline=request.pipeline,
        docs_per_s=request.docs_per_s,
        truth=SOURCE if mode == "copy" else TARGET,
        way=way,
        block=request.block,
        max_block_s=request.max_block_s,
        follow=request.follow,
        accept_unreplicated=request.accept_unreplicated,
    )


def _part(client: OpenSearch, index: _Index, mode: Mode, checkpoints: Mapping[int, int]) -> Part:
    target = admin.describe(client, index.target)
    return Part(
        source=index.source.name,
        source_uuid=index.source.uuid,
        source_history=_history(client, index.source),
        target=index.target,
        documents=admin.count(client, index.source.name),
        snapshot=tuple(checkpoints[shard] for shard in sorted(checkpoints)),
        target_uuid=target.uuid,
        target_history=_history(client, target),
        existed=index.existed,
        restore=held_back_settings(index.source.settings) if mode == "copy" else {},
        dropped=other_vectors(index.source),
    )


def _history(client: OpenSearch, index: IndexInfo) -> tuple[str, ...]:
    shards = int(index.settings["number_of_shards"])
    return admin.patiently(lambda: history_of(client, index.name, shards))


def _prepare(
    client: OpenSearch, index: _Index, mode: Mode, vector: VectorField, languages: LanguageSpec | None
) -> None:
    """Create the target, or the field in the source's own mapping."""
    source = index.source
    if mode == "copy":
        create_target(client, source, index.target, index.metadata, vector, languages)
        return
    described = fields_from(source.mappings)
    there = {(entry.vector_field, entry.token_dim) for entry in described}
    if (vector.name, vector.token_dim) not in there:
        meta = {**source.mappings.get("_meta", {}), **index.metadata.to_meta(described)}
        properties = vector_properties(vector, vector.hash_field, languages)
        admin.put_meta(client, source.name, meta, properties)


def new_copies(client: OpenSearch, job: Job, sources: Sequence[IndexInfo]) -> list[Part]:
    """Make the targets of indices that join a mirror, and return their parts."""
    request = JobRequest(job.source, job.text, job.alias, languages=job.languages)
    model = model_of(job)
    parts = []
    for source in sources:
        index = _index(client, source, [*sources, source], request, model, "copy", job.vector)
        _prepare(client, index, "copy", job.vector, job.languages)
        parts.append(_part(client, index, "copy", {}))
    return parts


def field_in_place(client: OpenSearch, source: IndexInfo, job: Job) -> None:
    """Add a job's vector field to an index that joins it.

    Raises:
        ConfigError: the index was created without ``index.knn``.
        DataError: it lacks a field to embed.
    """
    request = JobRequest(job.source, job.text, job.alias, mode="in_place", languages=job.languages)
    check_source(source, request)
    choose_mode([source], request)
    index = _index(client, source, [source], request, model_of(job), "in_place", job.vector)
    _prepare(client, index, "in_place", job.vector, job.languages)
