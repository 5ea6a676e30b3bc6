"""Plan a reindex before anything is started; nothing is written to the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendError, BackendUnavailableError, DataError
from ce2de_os.index import admin, aliases
from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.job import HANDOVER, Way
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.planning import capacity, query_model, sample, survey, verdict
from ce2de_os.reindex.planning.capacity import MemoryRow, ShardLoad
from ce2de_os.reindex.planning.record import (
    COPY,
    IN_PLACE,
    Disk,
    Memory,
    Plan,
    PlannedModel,
    PlanRequest,
    Shards,
    Time,
)
from ce2de_os.reindex.planning.sample import Sample
from ce2de_os.reindex.planning.survey import Cluster, SourceIndex
from ce2de_os.reindex.setup import checks
from ce2de_os.reindex.setup.cutting import cut
from ce2de_os.reindex.setup.finding import Finding
from ce2de_os.reindex.setup.sources import choose_mode, resolve, served_targets
from ce2de_os.reindex.setup.way import natural_way, of_handover, sentence

if TYPE_CHECKING:
    from ce2de_os.model.encoder import OnnxEncoder

_DERIVED_SINCE = (3, 0)
"""The first version that leaves vectors out of ``_source`` by default."""


def plan(
    client: OpenSearch, request: PlanRequest, encoder: OnnxEncoder, queries: OnnxEncoder | None = None
) -> Plan:
    """Read cluster and source, draw and encode a sample, and compute what the job takes.

    ``queries`` is the model of the queries if it is another one than that of the documents.

    Raises:
        IndexSchemaError: there is no such index.
        ConfigError: an index is closed, or the cluster's version has no such vector field.
        DataError: a text field is in no index, there are no documents, or an index keeps no ``_source``.
        BackendError: OpenSearch does not answer, or does not let the source be read.
    """
    sources = resolve(client, request.job.source, _served(client))
    readable = _short_source_name(client, request.job.source, sources)
    indices = survey.source_indices(client, readable, sources)
    named = (request.job.languages.field,) if request.job.languages and request.job.languages.field else ()
    missing = survey.check_fields(indices, (*request.job.text.fields, *named))
    documents = sum(index.documents for index in indices)
    if not documents:
        raise DataError(f"'{request.job.source}' holds no documents; index some first, or name another index")
    cluster = survey.look_at_cluster(client)
    request.field.validate(cluster.release)
    size = min(request.sample, documents)
    texts = sample.draw(client, readable, request.job.text.fields, size, languages=request.job.languages)
    drawn = sample.measure(encoder, texts)
    found = compose(request, _model(encoder), indices, missing, cluster, drawn)
    meaning = _meaning(client, request, found.mode, [info.name for info in sources])
    refused = _refused_at_start(client, request, sources, found.mode)
    refusals = (*refused, *found.refusals)
    if queries is not None:
        beside = query_model.measure(encoder, queries, texts.texts, found.vectors, found.time.workers)
        found = replace(found, query_model=beside)
    return replace(found, refusals=refusals, meaning=meaning)


def _meaning(client: OpenSearch, request: PlanRequest, mode: str, names: Sequence[str]) -> str | None:
    """Return what the job would mean for applications; ``None`` without an alias."""
    if mode == IN_PLACE:
        return sentence(None, request.job.source, "", ", ".join(names))
    if request.job.alias is None:
        return None
    way = _way(client, request, names)
    return sentence(way, request.job.source, request.job.alias, ", ".join(names))


def _way(client: OpenSearch, request: PlanRequest, names: Sequence[str]) -> Way:
    return natural_way(set(names) & set(aliases.definitions(client, str(request.job.alias))))


def _short_source_name(client: OpenSearch, source: str, sources: Sequence[IndexInfo]) -> str:
    """Return a name for ``sources`` in a request: the source's own, unless it also shows their copies."""
    names = [info.name for info in sources]
    behind = [info.name for info in admin.describe_all(client, source)]
    return source if behind == names else ",".join(names)


def _served(client: OpenSearch) -> frozenset[str]:
    """Return the copies that have taken over; empty if the ledger cannot be read."""
    try:
        return served_targets(Ledger(client).jobs())
    except BackendUnavailableError:
        raise
    except BackendError:
        return frozenset()


def _refused_at_start(
    client: OpenSearch, request: PlanRequest, sources: Sequence[IndexInfo], mode: str
) -> tuple[Finding, ...]:
    """Return the findings that would make `start` fail before it creates anything."""
    found = chain(
        checks.of_options(client, request.job.alias, request.job.target, request.job.pipeline),
        checks.of_sources(
            client,
            request.job.source,
            sources,
            request.job.text.fields,
            request.job.alias or request.job.source,
            in_place=False,  # `verdict` reports blocks
        ),
    )
    names = [source.name for source in sources]
    if mode == COPY and request.job.alias is not None and _way(client, request, names) == HANDOVER:
        found = chain(found, of_handover(client, sources))
    return tuple(found)


def compose(
    request: PlanRequest,
    model: PlannedModel,
    indices: tuple[SourceIndex, ...],
    missing_fields: tuple[str, ...],
    cluster: Cluster,
    drawn: Sample,
) -> Plan:
    """Combine the findings and measurements into a plan with its verdict; no server is asked."""
    lacking = [index.name for index in indices if not index.knn]
    names = [index.name for index in indices]
    mode, mode_reason = choose_mode(names, lacking, request.job.mode, request.job.target)
    loads = tuple(_load(index, request.field, mode, drawn, cluster) for index in indices)
    documents = sum(index.documents for index in indices)
    vectors = documents * drawn.text_share
    found = Plan(
        request=request,
        mode=mode,
        mode_reason=mode_reason,
        model=model,
        indices=indices,
        missing_fields=missing_fields,
        documents=documents,
        vectors=vectors,
        tokens=vectors * drawn.mean_encoded_tokens,
        sample=drawn,
        memory_table=_memory_table(request.field, mode, indices, loads, cluster),
        memory=_memory(request.field, loads, cluster),
        disk=_disk(mode, indices, loads, drawn, cluster),
        shards=_shards(loads),
        time=_time(request, vectors, drawn),
        loads=loads,
        cluster=cluster,
    )
    return replace(found, refusals=verdict.refusals(found), warnings=verdict.warnings(found))


def _derived_source(index: SourceIndex, mode: str, cluster: Cluster) -> bool:
    """Return whether ``_source`` will lack vectors; an older index has no such setting and keeps them."""
    if mode == IN_PLACE:
        return index.derived_source is True
    return cluster.release >= _DERIVED_SINCE and index.derived_source is not False


def _load(index: SourceIndex, field: VectorField, mode: str, drawn: Sample, cluster: Cluster) -> ShardLoad:
    storage = capacity.storage_of(field, cluster.release)
    derived = _derived_source(index, mode, cluster)
    return capacity.shard_load(
        index.name,
        index.shards,
        capacity.copies(index.replicas, cluster.data_nodes),
        index.documents,
        store_bytes=index.store_bytes,
        vectors=index.documents * drawn.text_share,
        vector_bytes=capacity.disk_per_vector(field.dim, field.m, storage, derived_source=derived)
        + capacity.disk_per_tokens(field.token_dim, drawn.mean_encoded_tokens),
        in_place=mode == IN_PLACE,
        text_bytes=index.store_bytes * drawn.embedded_share,
    )


def _memory_table(
    field: VectorField,
    mode: str,
    indices: Sequence[SourceIndex],
    loads: Sequence[ShardLoad],
    cluster: Cluster,
) -> tuple[MemoryRow, ...]:
    vectors = [(load.vectors * load.shards, load.copies) for load in loads]
    derived = all(_derived_source(index, mode, cluster) for index in indices)
    return capacity.memory_table(field.dim, field.m, vectors, cluster.release, derived_source=derived)


def _memory(field: VectorField, loads: Sequence[ShardLoad], cluster: Cluster) -> Memory:
    storage = capacity.storage_of(field, cluster.release)
    per_vector = capacity.memory_per_vector(field.dim, field.m, storage)
    enabled = cluster.settings["knn.memory.circuit_breaker.enabled"] == "true"
    limit = cluster.settings["knn.memory.circuit_breaker.limit"]
    applies = field.engine == "faiss" and enabled
    rooms = {
        node.name: capacity.breaker_limit(
            limit if applies else "100%", node.memory_bytes, node.heap_bytes
        ) - node.knn_used_bytes
        for node in cluster.nodes
        if node.memory_bytes is not None and node.heap_bytes is not None
    }  # fmt: skip
    sizes = tuple(
        per_vector * load.vectors for load in loads for _ in range(load.shards * load.copies)
    )  # fmt: skip
    left = capacity.unplaced(sizes, rooms.values()) if rooms else None
    return Memory(storage.option, sum(sizes), limit if applies else None, rooms, left)


def _disk(
    mode: str,
    indices: Sequence[SourceIndex],
    loads: Sequence[ShardLoad],
    drawn: Sample,
    cluster: Cluster,
) -> Disk:
    stored = sum(index.store_bytes * load.copies for load, index in zip(loads, indices, strict=True))
    texts = stored * drawn.embedded_share
    final = sum(load.shard_bytes * load.shards * load.copies for load in loads)
    vectors = final - stored - texts
    marks = cluster.watermarks
    watermark = marks["high"] or marks["flood_stage"]
    rooms = {
        node.name: capacity.room(node.disk_bytes, node.disk_free_bytes, watermark) for node in cluster.nodes
    }
    sizes = tuple(load.new_bytes for load in loads for _ in range(load.shards * load.copies))
    documents = float(stored) if mode == COPY else 0.0
    return Disk(
        documents_bytes=documents,
        vectors_bytes=vectors,
        texts_bytes=texts,
        headroom_bytes=sum(sizes) - documents - vectors - texts,
        needed_bytes=sum(sizes),
        watermark=watermark,
        rooms=rooms,
        unplaced=capacity.unplaced(sizes, rooms.values()) if rooms else None,
    )


def _shards(loads: Sequence[ShardLoad]) -> Shards:
    primaries = sum(load.shard_bytes * load.shards for load in loads)
    per_shard = [load.documents // load.shards for load in loads for _ in range(load.shards)]
    return Shards(
        shards=len(per_shard),
        primaries_bytes=primaries,
        largest_shard_bytes=max(load.shard_bytes for load in loads),
        most_documents=max(per_shard),
        fewest=capacity.fewest_shards(primaries, sum(load.documents for load in loads)),
        most=capacity.most_shards(primaries),
        slices=len(cut([{shard: documents - 1 for shard, documents in enumerate(per_shard)}])),
    )


def _time(request: PlanRequest, vectors: float, drawn: Sample) -> Time:
    workers, rate = request.workers, drawn.docs_per_s
    if workers is None and request.within_s is not None and rate is not None:
        workers = capacity.workers_for(vectors, rate, request.within_s)
    workers = workers or 1
    seconds = None if rate is None else capacity.seconds_for(vectors, rate, workers)
    return Time(workers, seconds, request.within_s, rate)


def _model(encoder: OnnxEncoder) -> PlannedModel:
    artifact = encoder.artifact
    return PlannedModel(artifact.name, artifact.fingerprint, artifact.dim, artifact.max_length)
