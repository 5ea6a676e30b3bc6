"""What takes a connection back: the index has what it had before, and nothing of ours is left."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.connect import cluster, models, pipelines
from ce2de_os.connect.request import DOCUMENTS, QUERIES, RERANK, resource_name
from ce2de_os.connect.steps import Step
from ce2de_os.errors import ConfigError
from ce2de_os.index import admin
from ce2de_os.index.connection import (
    INGEST_SETTING,
    SEARCH_SETTING,
    Connection,
    connections,
    without_connection,
)

_OURS = {INGEST_SETTING: DOCUMENTS, SEARCH_SETTING: QUERIES}


def undo(client: OpenSearch, name: str) -> list[Step]:
    """Read the cluster and list the steps that disconnect ``name``; nothing is written.

    Raises:
        ConfigError: nothing of this name is connected, or the cluster lacks what is needed.
    """
    values = cluster.survey(client)
    found = connections(client)
    own = {index: one for index, one in found.items() if one.name == name}
    others = [one for one in found.values() if one.name != name]
    tearing = [
        step for kind in (DOCUMENTS, QUERIES, RERANK) for step in models.tearing_down(client, name, kind)
    ]
    if not own and not tearing:
        connected = ", ".join(sorted({one.name for one in others})) or "nothing"
        raise ConfigError(f"'{name}' is not connected; connected: {connected}")
    steps = [step for index, one in own.items() for step in _settings(client, index, one)]
    paths = [f"/_ingest/pipeline/{resource_name(name, DOCUMENTS)}"]
    paths += [f"/_search/pipeline/{resource_name(name, kind)}" for kind in (QUERIES, RERANK)]
    steps += [_without(path) for path in paths if pipelines.read(client, path)]
    steps += tearing
    steps += _closing(client, values, name, list(own.values()), others)
    return steps + [_forget(client, index) for index in own]


def leaving(client: OpenSearch, name: str, members: Collection[str]) -> list[Step]:
    """Return the steps that give indices back what they had, which are no longer behind ``name``."""
    gone = {
        index: one for index, one in connections(client).items() if one.name == name and index not in members
    }
    return [
        step
        for index, one in gone.items()
        for step in (*_settings(client, index, one), _forget(client, index))
    ]


def _settings(client: OpenSearch, index: str, connection: Connection) -> list[Step]:
    """Give back the pipelines, unless others were set since."""
    settings = admin.describe(client, index).settings
    body: dict[str, Any] = {
        f"index.{key}": connection.before[key]
        for key, kind in _OURS.items()
        if settings.get(key) == resource_name(connection.name, kind)
    }
    why = f"let '{index}' use the pipelines that it had before"
    return [Step(why, "PUT", f"/{index}/_settings", body)] if body else []


def _closing(
    client: OpenSearch, values: cluster.Values, name: str, own: list[Connection], others: list[Connection]
) -> list[Step]:
    """Take back the cluster's settings, but for what other connections need."""
    trusted = {one for connection in own for one in connection.trusted}
    there = models.present(client, name, DOCUMENTS).connector
    if not own and there is not None:  # the index was deleted, and its record with it
        trusted = {cluster.entry(str(there["parameters"]["endpoint"]))}
    trusted -= {one for connection in others for one in connection.trusted}
    private = any(one.private for one in own) and not any(one.private for one in others)
    built_in = next((one.built_in for one in own if one.built_in), None)
    return cluster.closing(values, trusted, built_in, private)


def _forget(client: OpenSearch, index: str) -> Step:
    meta = without_connection(admin.describe(client, index).mappings.get("_meta", {}))
    return Step(f"forget the connection of '{index}'", "PUT", f"/{index}/_mapping", {"_meta": meta})


def _without(path: str) -> Step:
    return Step(f"delete pipeline '{path.rpartition('/')[2]}'", "DELETE", path, absent_ok=True)
