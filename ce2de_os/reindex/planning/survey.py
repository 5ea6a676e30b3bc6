"""Read the facts about a cluster and a source's indices that a plan needs; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendError, BackendUnavailableError, ConfigError, DataError, IndexSchemaError
from ce2de_os.index import admin
from ce2de_os.index.admin import IndexInfo
from ce2de_os.index.carried import left_behind
from ce2de_os.index.client import backend_errors
from ce2de_os.reindex.setup.checks import USABLE

T = TypeVar("T")

WRITE_BLOCKS = ("blocks.read_only", "blocks.read_only_allow_delete", "blocks.write")
WATERMARKS = ("low", "high", "flood_stage")
_DISK = "cluster.routing.allocation.disk"
DEFAULTS = {
    f"{_DISK}.threshold_enabled": "true",
    f"{_DISK}.watermark.low": "85%",
    f"{_DISK}.watermark.high": "90%",
    f"{_DISK}.watermark.flood_stage": "95%",
    "cluster.max_shards_per_node": "1000",
    "knn.memory.circuit_breaker.enabled": "true",
    "knn.memory.circuit_breaker.limit": "50%",
}
"""OpenSearch's defaults, used if its settings may not be read."""


@dataclass(frozen=True)
class SourceIndex:
    """One physical index behind the source.

    Attributes:
        name: the index.
        documents: visible documents, nested ones not counted.
        store_bytes: size of its primaries on disk.
        shards: primary shards.
        replicas: copies of each besides the primary.
        knn: whether ``index.knn`` is on, so that it can take a vector field.
        derived_source: whether vectors are left out of ``_source`` here; ``None``: the version's default.
        blocks: names of the write blocks that are set on it.
        left_out: fields that ``_source`` does not keep.
        left_behind: settings of this index that a copy does not get.
        fields: every field with its type.
    """

    name: str
    documents: int
    store_bytes: int
    shards: int
    replicas: int
    knn: bool
    derived_source: bool | None
    blocks: tuple[str, ...]
    left_out: tuple[str, ...]
    left_behind: tuple[str, ...]
    fields: Mapping[str, str]


@dataclass(frozen=True)
class DataNode:
    """A node that holds shards; ``None``, and ``""`` as id, where its statistics may not be read."""

    node_id: str
    name: str
    disk_bytes: int
    disk_free_bytes: int
    memory_bytes: int | None = None
    heap_bytes: int | None = None
    heap_used_bytes: int | None = None
    parent_breaker_bytes: int | None = None
    knn_used_bytes: int = 0


@dataclass(frozen=True)
class Cluster:
    """The cluster around the source.

    Attributes:
        version: of OpenSearch, such as ``3.6.0``.
        settings: cluster settings, flat, with OpenSearch's defaults where they may not be read.
        nodes: the data nodes; empty if neither their statistics nor the disk allocation may be read.
        open_shards: shard copies of all indices; ``None``: unknown.
        data_nodes: number of data nodes; ``None``: unknown.
        knn_installed: whether the k-NN plugin is there; ``None``: unknown.
        unseen: what could not be read, with the missing privilege.
    """

    version: str
    settings: Mapping[str, str]
    nodes: tuple[DataNode, ...]
    open_shards: int | None
    data_nodes: int | None
    knn_installed: bool | None
    unseen: tuple[str, ...]

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor version."""
        major, minor = self.version.split(".")[:2]
        return int(major), int(minor)

    @property
    def watermarks(self) -> dict[str, str | None]:
        """Low, high and flood-stage disk watermark; ``None`` for one that is not enforced."""
        if self.settings[f"{_DISK}.threshold_enabled"] != "true":
            return dict.fromkeys(WATERMARKS)
        marks: dict[str, str | None] = {
            name: self.settings[f"{_DISK}.watermark.{name}"] for name in WATERMARKS
        }
        alone = self.settings.get(f"{_DISK}.watermark.enable_for_single_data_node", "false") != "true"
        if self.data_nodes == 1 and alone:
            marks |= {"low": None, "high": None}
        return marks


def source_indices(client: OpenSearch, name: str, sources: Sequence[IndexInfo]) -> tuple[SourceIndex, ...]:
    """Read the facts about a source's physical indices that the plan needs.

    Raises:
        ConfigError: one of them is closed.
        DataError: one of them keeps no ``_source``.
    """
    _check_readable(sources)
    with backend_errors(f"read the size of '{name}'"):
        stats = client.indices.stats(index=name, metric="store")["indices"]
    return tuple(_source_index(client, info, stats.get(info.name, {})) for info in sources)


def check_fields(indices: tuple[SourceIndex, ...], text_fields: tuple[str, ...]) -> tuple[str, ...]:
    """Return the fields that some, but not all, of the indices lack, as ``field (index)``.

    Raises:
        DataError: no index has one of the fields, or no field is named.
    """
    known = {name: kind for index in indices for name, kind in index.fields.items()}
    missing = [field for field in text_fields if field not in known]
    if missing or not text_fields:
        texts = ", ".join(sorted(name for name, kind in known.items() if kind in USABLE)) or "none"
        told = f"no field '{', '.join(missing)}'" if missing else "no field was named"
        raise DataError(
            f"{indices[0].name}: {told}; the fields that hold text are: {texts}; see `text_fields`"
        )
    return tuple(
        f"{field} ({index.name})" for index in indices for field in text_fields if field not in index.fields
    )


def look_at_cluster(client: OpenSearch) -> Cluster:
    """Read version, settings, nodes and shard counts; list in ``unseen`` what may not be read.

    Raises:
        BackendUnavailableError: OpenSearch does not answer.
    """
    unseen: list[str] = []

    def try_read(what: str, right: str, read: Callable[[], T]) -> T | None:
        try:
            with backend_errors(f"read {what}"):
                return read()
        except BackendUnavailableError:
            raise
        except BackendError:
            unseen.append(f"{what} (needs the privilege {right})")
            return None

    with backend_errors("read OpenSearch's version"):
        version = str(client.info()["version"]["number"])
    settings = try_read("cluster settings", "cluster:monitor/settings", lambda: _settings(client))
    health = try_read("cluster health", "cluster:monitor/health", client.cluster.health)
    nodes = try_read("nodes statistics", "cluster:monitor/nodes/stats", lambda: _nodes(client))
    if nodes is None:
        nodes = try_read("disk allocation", "indices:monitor/stats", lambda: _allocation(client))
    knn = try_read("k-NN statistics", "cluster:admin/knn_stats_action", lambda: _knn(client))
    used = knn.used if knn else {}
    nodes = tuple(replace(node, knn_used_bytes=used.get(node.node_id, 0)) for node in nodes or ())
    counted = int(health["number_of_data_nodes"]) if health else None
    return Cluster(
        version=version,
        settings=DEFAULTS | (settings or {}),
        nodes=nodes,
        open_shards=_open_shards(health) if health else None,
        data_nodes=len(nodes) or counted,
        knn_installed=knn.installed if knn else None,
        unseen=tuple(unseen),
    )


def _check_readable(sources: Sequence[IndexInfo]) -> None:
    closed = [info.name for info in sources if info.is_closed]
    if closed:
        raise ConfigError(
            f"'{', '.join(closed)}' is closed, so nothing can be read from it; "
            f"open it with POST {closed[0]}/_open, or name other indices"
        )
    without = [info.name for info in sources if info.mappings.get("_source", {}).get("enabled") is False]
    if without:
        raise DataError(
            f"'{', '.join(without)}' keeps no _source, so its text cannot be read; "
            "load it again from its origin with _source enabled"
        )


def _source_index(client: OpenSearch, info: IndexInfo, stats: Mapping[str, Any]) -> SourceIndex:
    name, settings, mappings = info.name, info.settings, info.mappings
    derived = settings.get("knn.derived_source.enabled")
    store = stats.get("primaries", {}).get("store", {})
    return SourceIndex(
        name=name,
        documents=admin.count(client, name),
        store_bytes=int(store.get("size_in_bytes", 0)),
        shards=int(settings["number_of_shards"]),
        replicas=int(settings.get("number_of_replicas", 1)),
        knn=settings.get("knn") == "true",
        derived_source=None if derived is None else derived == "true",
        blocks=tuple(f"index.{block}" for block in WRITE_BLOCKS if settings.get(block) == "true"),
        left_out=_left_out(mappings.get("_source", {})),
        left_behind=tuple(left_behind(settings)),
        fields=dict(admin.field_paths(mappings)),
    )


def _left_out(source: Mapping[str, Any]) -> tuple[str, ...]:
    outside = [f"all but {name}" for name in source.get("includes", ())]
    return (*source.get("excludes", ()), *outside)


def _settings(client: OpenSearch) -> dict[str, str]:
    answer = client.cluster.get_settings(params={"include_defaults": "true", "flat_settings": "true"})
    layers = (answer.get(layer, {}) for layer in ("defaults", "persistent", "transient"))
    return {key: value for layer in layers for key, value in layer.items() if isinstance(value, str)}


def _nodes(client: OpenSearch) -> tuple[DataNode, ...]:
    answer = client.nodes.stats(metric="fs,os,jvm,breaker")
    holding = {key: node for key, node in answer["nodes"].items() if "data" in node["roles"]}
    return tuple(sorted((_node(key, holding[key]) for key in holding), key=lambda node: node.name))


def _node(node_id: str, node: Mapping[str, Any]) -> DataNode:
    disk, memory = node["fs"]["total"], node["jvm"]["mem"]
    return DataNode(
        node_id=node_id,
        name=node["name"],
        disk_bytes=int(disk["total_in_bytes"]),
        disk_free_bytes=int(disk["available_in_bytes"]),
        memory_bytes=int(node["os"]["mem"]["total_in_bytes"]),
        heap_bytes=int(memory["heap_max_in_bytes"]),
        heap_used_bytes=int(memory["heap_used_in_bytes"]),
        parent_breaker_bytes=int(node["breakers"]["parent"]["limit_size_in_bytes"]),
    )


def _allocation(client: OpenSearch) -> tuple[DataNode, ...]:
    rows = client.cat.allocation(params={"format": "json", "bytes": "b"})
    return tuple(
        DataNode("", row["node"], int(row["disk.total"]), int(row["disk.avail"]))
        for row in sorted(rows, key=lambda row: str(row["node"]))
        if row["disk.total"] is not None  # the row of unassigned shards
    )


class _Knn(NamedTuple):
    """Whether the k-NN plugin is there, and the memory of its graphs in bytes by the node's id."""

    installed: bool
    used: Mapping[str, int]


def _knn(client: OpenSearch) -> _Knn:
    try:
        with backend_errors("read k-NN statistics"):
            answer = client.transport.perform_request("GET", "/_plugins/_knn/stats/graph_memory_usage")
    except IndexSchemaError:  # no such address
        return _Knn(installed=False, used={})
    return _Knn(
        True, {node: int(stats["graph_memory_usage"]) * 1024 for node, stats in answer["nodes"].items()}
    )


def _open_shards(health: Mapping[str, Any]) -> int:
    kinds = ("active_shards", "initializing_shards", "unassigned_shards")
    return sum(int(health[kind]) for kind in kinds)
