"""What connecting an alias takes: everything that is missing, as steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.connect import cluster, models, pipelines
from ce2de_os.connect.canaries import takes_key
from ce2de_os.connect.request import DOCUMENTS, QUERIES, RERANK, ConnectRequest, resource_name
from ce2de_os.connect.steps import Step
from ce2de_os.connect.undo import leaving
from ce2de_os.errors import ArtifactMismatchError, ConfigError, IndexSchemaError
from ce2de_os.index import admin
from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.connection import INGEST_SETTING, SEARCH_SETTING, Connection, connections
from ce2de_os.index.metadata import IndexMetadata, common_fields
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.manifest import RERANKER


@dataclass(frozen=True)
class ConnectPlan:
    """The steps in their order.

    ``models`` come first: nothing of the indices changes before their canaries came back right.
    ``model_ids`` names the model of each kind, or the value that a step gives.
    """

    opening: tuple[Step, ...]
    models: tuple[Step, ...]
    indices: tuple[Step, ...]
    model_ids: dict[str, str]

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps."""
        return (*self.opening, *self.models, *self.indices)


def plan(client: OpenSearch, request: ConnectRequest, artifact: Artifact) -> ConnectPlan:
    """Read the cluster and list what is missing; nothing is written.

    Raises:
        ConfigError: the cluster, the user or the index lacks what connecting needs.
        ArtifactMismatchError: the index has another model's vectors.
        IndexSchemaError: there is no such index, or it has no vectors.
    """
    values = cluster.survey(client)
    infos = admin.describe_all(client, request.name)
    entry = _entry(request.name, infos, artifact)
    others = tuple(connections(client).values())
    steps, ids = _models(client, request, entry)
    return ConnectPlan(
        opening=(
            *(
                step
                for info in infos
                for step in _record(info, _connection(request, entry, info, values, others))
            ),
            *cluster.opening(values, request.service),
        ),
        models=tuple(steps),
        indices=(
            *_pipelines(client, request, entry, infos, ids),
            *_settings(request, infos),
            *leaving(client, request.name, {info.name for info in infos}),
        ),
        model_ids=ids,
    )


def _entry(name: str, infos: Sequence[IndexInfo], artifact: Artifact) -> IndexMetadata:
    found = common_fields(name, {info.name: info.mappings for info in infos})
    if not found:
        raise IndexSchemaError(
            f"'{name}': no vectors of ce2de in it; embed it first: ce2de reindex start {name}"
        )
    entry = next((one for one in reversed(found) if one.fingerprint == artifact.fingerprint), None)
    if entry is None:
        raise ArtifactMismatchError(
            f"'{name}' has vectors of {found[-1].model} ({found[-1].fingerprint[:12]}), this machine has "
            f"{artifact.name} ({artifact.fingerprint[:12]}); name the index's model in `artifact` or "
            "CE2DE_ARTIFACT"
        )
    if entry.passages:
        raise ConfigError(
            f"'{name}' has a vector for each passage, and a pipeline cannot cut documents into passages; "
            f"keep it up to date with: ce2de follow {name}"
        )
    return entry


def _connection(
    request: ConnectRequest,
    entry: IndexMetadata,
    info: IndexInfo,
    values: cluster.Values,
    others: Sequence[Connection],
) -> Connection:
    """Return what the index will say; what was there before the first time stays."""
    before = Connection.of(info.mappings)
    if before is not None and before.name == request.name:
        opened = replace(before, service=request.service, fingerprint=entry.fingerprint)
        opened = replace(opened, vector_field=entry.vector_field)
    elif before is not None:
        raise ConfigError(
            f"'{info.name}' is connected as '{before.name}' already; end that first: "
            f"ce2de disconnect {before.name}"
        )
    else:
        opened = Connection(
            request.name, request.service, entry.fingerprint, entry.vector_field,
            _own(info, INGEST_SETTING), _own(info, SEARCH_SETTING),
        )  # fmt: skip
    if not cluster.trusts(values, request.service):
        trusted = (*opened.trusted, cluster.entry(request.service))
        opened = replace(opened, trusted=trusted, built_in=opened.built_in or cluster.default_digest(values))
    if cluster.needs_private(values, request.service):
        opened = replace(opened, private=True)
    return _shared(opened, others)


def _shared(opened: Connection, others: Iterable[Connection]) -> Connection:
    """Let the connection take back what it shares with others, if it is the last that goes."""
    for other in others:
        shared = other.trusted if other.name == opened.name else (cluster.entry(opened.service),)
        more = tuple(one for one in shared if one in other.trusted and one not in opened.trusted)
        opened = replace(opened, trusted=(*opened.trusted, *more))
        opened = replace(
            opened, private=opened.private or other.private, built_in=opened.built_in or other.built_in
        )
    return opened


def _own(info: IndexInfo, setting: str) -> str | None:
    value = info.settings.get(setting)
    return None if value in (None, "_none") else str(value)


def _record(info: IndexInfo, connection: Connection) -> list[Step]:
    if Connection.of(info.mappings) == connection:
        return []
    meta = {**info.mappings.get("_meta", {}), **connection.to_meta()}
    return [Step(f"record what '{info.name}' has now", "PUT", f"/{info.name}/_mapping", {"_meta": meta})]


def _models(
    client: OpenSearch, request: ConnectRequest, entry: IndexMetadata
) -> tuple[list[Step], dict[str, str]]:
    served = f"{entry.model}@{entry.fingerprint}"
    names = {DOCUMENTS: served, QUERIES: served}
    if request.rerank or request.reranker:
        names[RERANK] = _reranker(request) or served
    steps: list[Step] = []
    ids: dict[str, str] = {}
    for kind, model in names.items():
        body = models.connector(request.name, kind, request.service, model, request.key is not None)
        there = models.present(client, request.name, kind)
        changed = there.connector is not None and not models.same(there.connector, body)
        if there.model_id and not changed and request.key is not None:
            changed = not takes_key(client, there.model_id, kind)
        steps += models.setting_up(kind, body, there, changed)
        ids[kind] = models.model_of(kind, there)
    return steps, ids


def _reranker(request: ConnectRequest) -> str | None:
    if request.reranker is None:
        return None
    artifact = Artifact.load(request.reranker, kind=RERANKER)
    return f"{artifact.name}@{artifact.fingerprint}"


def _pipelines(
    client: OpenSearch,
    request: ConnectRequest,
    entry: IndexMetadata,
    infos: Sequence[IndexInfo],
    ids: dict[str, str],
) -> list[Step]:
    own = [Connection.of(info.mappings) for info in infos]
    pairs = [
        (one.default_pipeline, one.search_pipeline)
        if one
        else (_own(info, INGEST_SETTING), _own(info, SEARCH_SETTING))
        for one, info in zip(own, infos, strict=True)
    ]
    if len(set(pairs)) > 1:
        raise ConfigError(
            f"the indices behind '{request.name}' have different default pipelines; connect them one by one"
        )
    before, searching = pairs[0]
    wanted = {
        f"/_ingest/pipeline/{resource_name(request.name, DOCUMENTS)}": pipelines.ingest(
            entry, ids[DOCUMENTS], before
        )
    }
    search = pipelines.search(entry, ids[QUERIES], _search_pipeline(client, searching))
    wanted[f"/_search/pipeline/{resource_name(request.name, QUERIES)}"] = search
    if RERANK in ids:
        path = f"/_search/pipeline/{resource_name(request.name, RERANK)}"
        wanted[path] = pipelines.rerank(entry, search, ids[RERANK])
    return [
        Step(f"write pipeline '{path.rpartition('/')[2]}'", "PUT", path, body)
        for path, body in wanted.items()
        if not models.same(pipelines.read(client, path), body)
    ]


def _search_pipeline(client: OpenSearch, name: str | None) -> dict[str, Any]:
    found = pipelines.read(client, f"/_search/pipeline/{name}") if name else {}
    return dict(found)


def _settings(request: ConnectRequest, infos: Sequence[IndexInfo]) -> list[Step]:
    wanted = {
        INGEST_SETTING: resource_name(request.name, DOCUMENTS),
        SEARCH_SETTING: resource_name(request.name, QUERIES),
    }
    body = {f"index.{key}": value for key, value in wanted.items()}
    return [
        Step(f"let '{info.name}' use the pipelines", "PUT", f"/{info.name}/_settings", body)
        for info in infos
        if any(info.settings.get(key) != value for key, value in wanted.items())
    ]
