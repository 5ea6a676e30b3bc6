"""Create the target of each source, or the vector field in the source itself, before a job starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from opensearchpy import OpenSearch

from ce2de_os.errors import ArtifactMismatchError, ConfigError
from ce2de_os.index import admin
from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.carried import held_back_settings
from ce2de_os.index.connection import unconnected
from ce2de_os.index.language_fields import LanguageSpec
from ce2de_os.index.metadata import IndexMetadata, fields_from
from ce2de_os.index.target_body import vector_properties
from ce2de_os.index.vector_field import VectorField, options_of
from ce2de_os.reindex.identity import history_of
from ce2de_os.reindex.job import Job, Mode, Part
from ce2de_os.reindex.request import JobRequest, Model, model_of, token_dim_of
from ce2de_os.reindex.setup.creation import create_target, other_vectors
from ce2de_os.reindex.setup.naming import target_name
from ce2de_os.reindex.setup.sources import check_source, mode_of


@dataclass(frozen=True)
class Planned:
    """A source, its target, the target's metadata of its vectors, and whether the target exists already."""

    source: IndexInfo
    target: str
    metadata: IndexMetadata
    existed: bool


def check_targets(indices: Sequence[Planned]) -> None:
    """Reject a plan that copies two indices into one.

    Raises:
        ConfigError: two of them would have the same target.
    """
    seen: dict[str, str] = {}
    for index in indices:
        other = seen.setdefault(index.target, index.source.name)
        if other != index.source.name:
            raise ConfigError(
                f"'{other}' and '{index.source.name}' would both be copied into '{index.target}'; "
                "start a job for each of them, with a `target` of its own"
            )


def vector_of(client: OpenSearch, request: JobRequest, model: Model, name: str) -> VectorField:
    """Build the field for the vectors as requested, and check that this cluster supports it.

    Raises:
        ArtifactError: token vectors are wanted, and the model gives none.
        ConfigError: the cluster does not allow it.
    """
    token_dim = token_dim_of(model) if request.token_vectors else None
    passages = request.text.passages is not None
    vector = request.vector(dim=model.dim, name=name, passages=passages, token_dim=token_dim)
    vector.validate(admin.version(client))
    return vector


def planned(
    client: OpenSearch,
    source: IndexInfo,
    sources: Sequence[IndexInfo],
    request: JobRequest,
    model: Model,
    mode: Mode,
    vector: VectorField,
    kept: Mapping[str, str] = MappingProxyType({}),
) -> Planned:
    """Check a source and its target, and return the plan; ``kept``: the job's present targets, by source."""
    metadata = IndexMetadata(
        vector_field=vector.name,
        text_fields=request.text.fields,
        fingerprint=model.fingerprint,
        dim=model.dim,
        model=model.name,
        source=source.name if mode == "copy" else "",
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
        return Planned(source, source.name, metadata, existed=True)
    target = kept.get(source.name) or target_name(client, source, request, sources, model)
    existed = admin.exists(client, target)
    if existed:
        _check_existing(client, target, metadata, vector)
    return Planned(source, target, metadata, existed)


def prepare(
    client: OpenSearch, index: Planned, mode: Mode, vector: VectorField, languages: LanguageSpec | None
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


def part_of(client: OpenSearch, index: Planned, mode: Mode, checkpoints: Mapping[int, int]) -> Part:
    """Read the record of one index of the job; ``checkpoints`` are those of its source's shards."""
    target = admin.describe(client, index.target)
    settings = unconnected(index.source.settings, index.source.mappings)
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
        restore=held_back_settings(settings) if mode == "copy" else {},
        dropped=other_vectors(index.source),
    )


def _history(client: OpenSearch, index: IndexInfo) -> tuple[str, ...]:
    shards = int(index.settings["number_of_shards"])
    return admin.patiently(lambda: history_of(client, index.name, shards))


def check_field_options(sources: Sequence[IndexInfo], vector: VectorField) -> None:
    """Reject options of a vector field, other than the defaults, that the field of an index was made without.

    Raises:
        ConfigError: an index has the field with another option.
    """
    asked = asked_options(vector)
    for source in sources:
        field = source.mappings.get("properties", {}).get(vector.name)
        if field and (different := different_options(options_of(field), asked)):
            raise ConfigError(
                f"'{source.name}' has this model's vectors in '{vector.name}' already, with {different}; "
                f"leave the option out, or make a copy: `mode=copy` `target={source.name}-2` `alias=NAME`"
            )


def asked_options(vector: VectorField) -> dict[str, str]:
    """Return the options of a vector field that are not the defaults."""
    usual = options_of(VectorField(vector.dim).mapping())
    return {name: value for name, value in options_of(vector.mapping()).items() if value != usual[name]}


def different_options(found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Return the options of a vector field that are not the wanted ones; ``""`` if all are."""
    different = [option for option in wanted if found.get(option, wanted[option]) != wanted[option]]
    return ", ".join(f"`{option}={found[option]}`, not {wanted[option]}" for option in different)


def _check_existing(client: OpenSearch, target: str, wanted: IndexMetadata, vector: VectorField) -> None:
    """Reject a target that does not belong to this job."""
    info = admin.describe(client, target)
    found = next(iter(fields_from(info.mappings)), None)
    action = "choose another `target`, or delete that index"
    if found is None:
        raise ConfigError(f"target '{target}' exists and was not made by ce2de; {action}")
    if found.dim != wanted.dim:
        raise ArtifactMismatchError(
            f"target '{target}' has vectors of dimension {found.dim}, the model gives {wanted.dim}; {action}"
        )
    if found.fingerprint != wanted.fingerprint:
        raise ArtifactMismatchError(
            f"target '{target}' has vectors of model {found.fingerprint[:12]}, "
            f"this model is {wanted.fingerprint[:12]}; {action}"
        )
    if _work(found) != _work(wanted):
        raise ConfigError(
            f"target '{target}' was made from '{found.source or target}' with fields "
            f"{', '.join(found.text_fields)}"
            f"{_languages_told(found)}{', with token vectors' if found.token_dim else ''}; {action}"
        )
    there = options_of(info.mappings.get("properties", {}).get(vector.name, {}))
    if different := different_options(there, options_of(vector.mapping())):
        raise ConfigError(f"target '{target}' has vectors with {different}; {action}")


def _check_field(source: IndexInfo, wanted: IndexMetadata) -> None:
    """Reject a field of another model's vectors, or one whose text is in the fields of other languages."""
    mine = [entry for entry in fields_from(source.mappings) if entry.vector_field == wanted.vector_field]
    for found in mine:
        if found.fingerprint != wanted.fingerprint:
            raise ArtifactMismatchError(
                f"'{source.name}' has vectors of model {found.fingerprint[:12]} in '{found.vector_field}', "
                f"which those of {wanted.fingerprint[:12]} must not replace; follow it with its own model"
            )
        if _languages(found) != _languages(wanted):
            raise ConfigError(
                f"'{source.name}' has this model's vectors in '{found.vector_field}' already"
                f"{_languages_told(found)}; start it as it was, or make a copy with other `languages`: "
                f"`mode=copy` `target={source.name}-2` `alias=NAME`"
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
    """Reject a job that would leave token vectors stale when texts change."""
    for entry in fields_from(source.mappings):
        if entry.vector_field == wanted.vector_field and entry.token_dim and not wanted.token_dim:
            raise ConfigError(
                f"'{source.name}' has token vectors in '{entry.token_field}', which must follow the texts; "
                "add `token_vectors`"
            )


def _work(metadata: IndexMetadata) -> tuple[object, ...]:
    extras = (*_languages(metadata), metadata.token_dim)
    return metadata.source, metadata.text, metadata.passages, metadata.data_type, *extras


def new_copies(client: OpenSearch, job: Job, sources: Sequence[IndexInfo]) -> list[Part]:
    """Make the targets of indices that join a mirror, and return their parts."""
    request = JobRequest(job.source, job.text, job.alias, languages=job.languages)
    model = model_of(job)
    parts = []
    for source in sources:
        index = planned(client, source, [*sources, source], request, model, "copy", job.vector)
        prepare(client, index, "copy", job.vector, job.languages)
        parts.append(part_of(client, index, "copy", {}))
    return parts


def field_in_place(client: OpenSearch, source: IndexInfo, job: Job) -> None:
    """Add a job's vector field to an index that joins it.

    Raises:
        ConfigError: the index was created without ``index.knn``.
        DataError: it lacks a field to embed.
    """
    request = JobRequest(job.source, job.text, job.alias, mode="in_place", languages=job.languages)
    check_source(source, request)
    mode_of([source], request)
    index = planned(client, source, [source], request, model_of(job), "in_place", job.vector)
    prepare(client, index, "in_place", job.vector, job.languages)
