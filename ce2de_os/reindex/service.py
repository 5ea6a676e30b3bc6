"""What the CLI and the workers call: start or resume a job, see where it stands, pass work on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from opensearchpy import OpenSearch

from ce2de_os.artifact import Artifact
from ce2de_os.errors import ArtifactMismatchError, ConfigError, DataError, JobError
from ce2de_os.index import admin
from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.metadata import IndexMetadata, fields_from
from ce2de_os.index.templates import held_back_settings, target_body
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.job import (
    DONE,
    FAILED,
    FINISHING,
    RUNNING,
    WAITING,
    Counts,
    Job,
    Slice,
    cut,
    job_id_for,
)
from ce2de_os.reindex.ledger import Ledger, claimable, orphans

VECTOR_FIELD = "ce2de_vector"


class TaskQueue(Protocol):
    """Carries "look at slice S of job J" to the workers; the broker may lose or repeat any message."""

    def embed_slice(self, job: Job, number: int) -> None:
        """Ask for work on one slice."""

    def finish_job(self, job: Job) -> None:
        """Ask for verification and cutover."""


@dataclass(frozen=True)
class JobRequest:
    """What to reindex.

    Attributes:
        source: an index, or an alias of one.
        text_fields: fields whose text is embedded, by dotted path, in this order.
        alias: will point to the target; applications search this name.
        target: the new index; ``None`` means ``<source>-ce2de-<fingerprint>``.
        engine: k-NN engine, ``lucene`` or ``faiss``.
    """

    source: str
    text_fields: tuple[str, ...]
    alias: str
    target: str | None = None
    engine: str = "lucene"


@dataclass(frozen=True)
class JobStatus:
    """Where a job stands; ``docs_per_s`` is the mean over the time it has run, ``None`` before it began."""

    job: Job
    counts: Counts
    slices: Mapping[str, int]
    workers: int
    docs_per_s: float | None
    errors: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The status as ``--json`` prints it."""
        job = asdict(self.job)
        for internal in ("ranges", "restore", "owner", "lease_until_s", "source_uuid"):
            del job[internal]
        return {
            **job,
            "counts": asdict(self.counts),
            "slices": dict(self.slices),
            "workers": self.workers,
            "docs_per_s": self.docs_per_s,
            "errors": list(self.errors),
        }


def start(client: OpenSearch, request: JobRequest, artifact: Artifact, queue: TaskQueue) -> Job:
    """Start a job, or resume the one that does the same; a finished one catches up with later writes.

    Raises:
        ConfigError: the alias is taken by an index, or the source cannot be copied.
        DataError: a text field is not in the source's mapping.
        ArtifactMismatchError: the target holds vectors of another model.
        JobError: the source was deleted and created again since the job began.
        BackendError: OpenSearch refuses.
    """
    source = _find_source(client, request, artifact)
    _check_source(source, request)
    _check_alias(client, request)
    target = request.target or f"{source.name}-ce2de-{artifact.fingerprint[:8]}"
    metadata = IndexMetadata(
        vector_field=VECTOR_FIELD,
        text_fields=request.text_fields,
        fingerprint=artifact.fingerprint,
        dim=artifact.dim,
        model=artifact.name,
        source=source.name,
        space=artifact.space,
    )
    _check_target(client, target, metadata)
    ledger = Ledger(client)
    ledger.create()
    job = _enter(client, ledger, request, source, target, metadata)
    field = VectorField(artifact.dim, VECTOR_FIELD, request.engine)
    body = target_body(source.settings, source.mappings, metadata, field, f"{field.name}_hash")
    admin.create(client, job.target, body)
    ledger.add_slices(job)
    return _resume(ledger, job, queue)


def status(client: OpenSearch, job_id: str) -> JobStatus:
    """Read where a job stands.

    Raises:
        JobError: there is no such job.
    """
    ledger = Ledger(client)
    job = ledger.job(job_id).job
    return summarize(job, ledger.slices(job))


def summarize(job: Job, records: Sequence[Slice]) -> JobStatus:
    """Add up a job's slices."""
    counts = sum((record.counts for record in records), Counts())
    elapsed_s = (job.finished_at_s or time.time()) - job.created_at_s
    rate = counts.documents / elapsed_s if counts.documents and elapsed_s > 0 else None
    errors = [f"slice {record.number}: {record.last_error}" for record in records if record.last_error]
    busy = {record.owner for record in records if record.state == RUNNING and not claimable(record)}
    return JobStatus(
        job, counts, Counter(record.state for record in records), len(busy), rate, tuple(errors[:5])
    )


def after_slice(client: OpenSearch, queue: TaskQueue, job_id: str, number: int, more: bool) -> None:
    """Pass the work on: the same slice, slices whose worker died, or the end of the job."""
    ledger = Ledger(client)
    job = admin.patiently(lambda: ledger.job(job_id)).job
    if more:
        queue.embed_slice(job, number)
        return
    records = admin.patiently(lambda: ledger.slices(job))
    for record in orphans(records):
        queue.embed_slice(job, record.number)
    states = {record.state for record in records}
    if states == {DONE}:
        queue.finish_job(job)
    elif states == {DONE, FAILED} or states == {FAILED}:
        errors = [record.last_error for record in records if record.state == FAILED]
        ledger.change_job(ledger.job(job_id), state=FAILED, error=f"{len(errors)} slices failed: {errors[0]}")


def nudge(client: OpenSearch, queue: TaskQueue, job_id: str) -> None:
    """Send the messages of a job again that the broker may have lost; too many do no harm."""
    ledger = Ledger(client)
    job = ledger.job(job_id).job
    if job.state not in (RUNNING, FINISHING):
        return
    records = ledger.slices(job)
    for record in records:
        if claimable(record):
            queue.embed_slice(job, record.number)
    if all(record.state == DONE for record in records):
        queue.finish_job(job)


def after_error(client: OpenSearch, queue: TaskQueue, job_id: str, number: int, error: str) -> None:
    """Show a worker's error in the job's status, unless another worker is at the slice; then pass work on."""
    ledger = Ledger(client)
    if ledger.find_job(job_id) is None:
        return  # a message of a job that was removed
    stored = ledger.slice(job_id, number)
    if claimable(stored.slice):
        ledger.change_slice(stored, last_error=error)
    after_slice(client, queue, job_id, number, more=False)


def _find_source(client: OpenSearch, request: JobRequest, artifact: Artifact) -> IndexInfo:
    info = admin.describe(client, request.source)
    for metadata in fields_from(info.mappings):
        if metadata.fingerprint == artifact.fingerprint:
            # The alias named as the source has moved to the target already: go on with the real source.
            return admin.describe(client, metadata.source)
    return info


def _check_source(source: IndexInfo, request: JobRequest) -> None:
    stored = source.mappings.get("_source", {})
    if stored.get("enabled") is False or stored.get("excludes") or stored.get("includes"):
        raise ConfigError(
            f"'{source.name}' does not keep the whole _source, so its documents cannot be copied; "
            "load it again from its origin with _source enabled"
        )
    fields = dict(admin.field_paths(source.mappings))
    if VECTOR_FIELD in fields:
        raise ConfigError(f"'{source.name}' already has a field '{VECTOR_FIELD}'; name an index without it")
    missing = [field for field in request.text_fields if field not in fields]
    if missing or not request.text_fields:
        texts = ", ".join(sorted(name for name, kind in fields.items() if kind == "text")) or "none"
        raise DataError(
            f"'{source.name}' has no field '{', '.join(missing)}'; its text fields are: {texts}; "
            "see --text-fields"
        )


def _check_alias(client: OpenSearch, request: JobRequest) -> None:
    if admin.exists(client, request.alias) and not admin.alias_targets(client, request.alias):
        raise ConfigError(f"'{request.alias}' is an index, so it cannot be an alias; choose another --alias")


def _check_target(client: OpenSearch, target: str, wanted: IndexMetadata) -> None:
    if not admin.exists(client, target):
        return
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
    if (found.source, found.text_fields) != (wanted.source, wanted.text_fields):
        raise ConfigError(
            f"target '{target}' was made from '{found.source}' with fields {', '.join(found.text_fields)}; "
            f"{cure}"
        )


def _enter(
    client: OpenSearch,
    ledger: Ledger,
    request: JobRequest,
    source: IndexInfo,
    target: str,
    metadata: IndexMetadata,
) -> Job:
    """The job of this request: the one in the ledger, or a new one."""
    job_id = job_id_for(source.name, target, request.alias, request.text_fields)
    stored = ledger.find_job(job_id)
    if stored is not None and not admin.exists(client, target):
        ledger.forget(stored.job)  # its target was deleted: begin anew
        stored = None
    if stored is None:
        admin.refresh(client, source.name)
        job = Job(
            job_id=job_id,
            source=source.name,
            source_uuid=source.uuid,
            target=target,
            alias=request.alias,
            text_fields=request.text_fields,
            vector_field=metadata.vector_field,
            fingerprint=metadata.fingerprint,
            documents=admin.count(client, source.name),
            ranges=cut(admin.checkpoints(client, source.name)),
            restore=held_back_settings(source.settings),
            created_at_s=time.time(),
        )
        ledger.add_job(job)  # if somebody was faster, theirs counts
        stored = ledger.job(job_id)
    if stored.job.source_uuid != source.uuid:
        raise JobError(
            f"'{source.name}' was deleted and created again since job '{job_id}' began; "
            f"delete '{target}' and start again, or choose another --target"
        )
    return stored.job


def _resume(ledger: Ledger, job: Job, queue: TaskQueue) -> Job:
    stored = ledger.job(job.job_id)
    if stored.job.state in (DONE, FAILED):
        ledger.reset(job)
        ledger.change_job(stored, state=RUNNING, error=None, finished_at_s=None)
    records = ledger.slices(job)
    for record in records:
        if record.state == WAITING or claimable(record):
            queue.embed_slice(job, record.number)
    if all(record.state == DONE for record in records):
        queue.finish_job(job)
    return ledger.job(job.job_id).job
