"""Follow an index that no job of ours made, or made long ago: embed its documents from now on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import ConfigError, JobError
from ce2de_os.index import admin
from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.base64_vectors import takes_base64
from ce2de_os.index.metadata import IndexMetadata, fields_from
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField, options_of
from ce2de_os.reindex import standing
from ce2de_os.reindex.following.members import is_copy
from ce2de_os.reindex.identity import history_of
from ce2de_os.reindex.job import FOLLOWING, PAUSED, TARGET, Job, Part, Range
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.queue import TaskQueue, send_waiting
from ce2de_os.reindex.request import JobRequest, Model
from ce2de_os.reindex.setup.preparation import (
    asked_options,
    check_field_options,
    different_options,
    field_in_place,
)
from ce2de_os.reindex.setup.sources import check_source, field_name


def adopt(client: OpenSearch, request: JobRequest, model: Model, queue: TaskQueue) -> Job:
    """Start the standing job of an index, alias, data stream or pattern; one that is there continues.

    ``request.source`` is the name. Its text may be left out (no fields) where the index carries this model's
    vectors already: then the index says what was embedded.

    Raises:
        ConfigError: an index has neither the model's field nor ``index.knn``, or the text to embed is
            unknown.
        JobError: another standing job covers the same index, or this one embeds another text.
        IndexSchemaError: there is no index behind the name.
    """
    ledger = Ledger(client)
    ledger.create()
    found = admin.describe_all(client, request.source)
    stored = ledger.find_job(standing.standing_id(request.source))
    if stored is not None and stored.job.state in (FOLLOWING, PAUSED):
        _check_same(stored.job, request, model)
        return _go_on(ledger, stored.job, request, queue)
    record = _record(client, ledger, request, model, found)
    _check_free(ledger, record)
    for info in found:
        field_in_place(client, info, record)
    job = standing.enter(ledger, record)
    send_waiting(ledger, job, queue)
    return job


def _check_same(job: Job, request: JobRequest, model: Model) -> None:
    """Reject options that the standing job does not have, and that it cannot take."""
    end = f"end it first: ce2de reindex cancel {job.job_id}"
    if request.text.fields and request.text != job.text:
        raise JobError(
            f"'{job.job_id}' follows '{request.source}' with the fields {', '.join(job.text.fields)}, this "
            "command "
            f"asks for {', '.join(request.text.fields)}; {end}"
        )
    asked = asked_options(request.vector(dim=model.dim))
    if different := different_options(options_of(job.vector.mapping()), asked):
        raise JobError(f"'{job.job_id}' follows '{request.source}' with {different}; {end}")
    others = [
        name
        for name, missing in (
            ("languages", request.languages not in (None, job.languages)),
            ("token vectors", request.token_vectors and job.vector.token_dim is None),
        )
        if missing
    ]
    if others:
        raise JobError(f"'{job.job_id}' follows '{request.source}' without these {others[0]}; {end}")


def _go_on(ledger: Ledger, job: Job, request: JobRequest, queue: TaskQueue) -> Job:
    changes: dict[str, Any] = {"state": FOLLOWING, "error": None}
    if request.docs_per_s is not None:
        changes["docs_per_s"] = request.docs_per_s
    changed = ledger.change_job(ledger.job(job.job_id), **changes)
    job = changed.job if changed else ledger.job(job.job_id).job
    send_waiting(ledger, job, queue)
    return job


def _record(
    client: OpenSearch, ledger: Ledger, request: JobRequest, model: Model, found: Sequence[IndexInfo]
) -> Job:
    copies = [info.name for info in found if is_copy(info)]
    if copies:
        raise JobError(
            f"'{copies[0]}' is a mirror that a reindex job keeps up to date; its vectors come from there: "
            "ce2de reindex list"
        )
    entry = next(filter(None, (_entry(info, model) for info in found)), None)
    request = replace(request, text=_text(request, entry))
    for info in found:
        check_source(info, request)
    name = entry.vector_field if entry else field_name(found, "in_place", model)
    vector = _vector(request, model, name, entry)
    vector.validate(admin.version(client))
    check_field_options(found, vector)
    vector = replace(vector, data_type=entry.data_type) if entry else vector
    shards = [int(info.settings["number_of_shards"]) for info in found]
    return Job(
        job_id=standing.standing_id(request.source),
        source=request.source,
        mode="in_place",
        parts=tuple(
            Part(
                info.name, info.uuid, info.name, admin.count(client, info.name), existed=True,
                target_uuid=info.uuid, source_history=history_of(client, info.name, count),
            )
            for info, count in zip(found, shards, strict=True)
        ),
        alias=None,
        text=request.text,
        vector=vector,
        fingerprint=model.fingerprint,
        model=model.name,
        space=model.space,
        ranges=tuple(
            Range(part, shard, -1, None) for part, count in enumerate(shards) for shard in range(count)
        ),
        created_at_s=ledger.now(),
        languages=request.languages,
        base64=takes_base64(client, vector),
        docs_per_s=request.docs_per_s,
        state=FOLLOWING,
        truth=TARGET,
        standing=True,
    )  # fmt: skip


def _entry(info: IndexInfo, model: Model) -> IndexMetadata | None:
    """Return what an index records about this model's vectors; ``None`` if nothing."""
    return next((one for one in fields_from(info.mappings) if one.fingerprint == model.fingerprint), None)


def _text(request: JobRequest, entry: IndexMetadata | None) -> TextSpec:
    if request.text.fields:
        if entry is not None and entry.text != replace(request.text, passages=None):
            raise ConfigError(
                f"'{request.source}' has this model's vectors of {', '.join(entry.text_fields)} already; "
                "leave "
                "`text_fields` out to follow these"
            )
        return request.text
    if entry is None:
        raise ConfigError(
            f"'{request.source}' has no vectors of this model, so the text to embed is unknown; name the "
            "fields: "
            "`text_fields=title,body`"
        )
    if entry.passages and request.text.passages is None:
        raise ConfigError(
            f"'{request.source}' has a vector for each passage; give the length of the passages, as "
            "when it was made: "
            "`passages=180:90`"
        )
    return replace(entry.text, passages=request.text.passages)


def _vector(request: JobRequest, model: Model, name: str, entry: IndexMetadata | None) -> VectorField:
    token_dim = entry.token_dim if entry else (model.token_dim if request.token_vectors else None)
    passages = request.text.passages is not None
    return request.vector(dim=model.dim, name=name, passages=passages, token_dim=token_dim)


def _check_free(ledger: Ledger, record: Job) -> None:
    """Reject a second standing job for the vectors of an index."""
    for job in ledger.jobs():
        same = job.standing and job.state in (FOLLOWING, PAUSED) and job.vector.name == record.vector.name
        shared = set(job.targets) & set(record.targets)
        if same and shared and job.job_id != record.job_id:
            raise JobError(
                f"'{job.job_id}' keeps the vectors of '{min(shared)}' up to date already; end it first: "
                f"ce2de reindex cancel {job.job_id}"
            )
