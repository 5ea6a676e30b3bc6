"""Choose the settings of a source that its copy gets, and when.

Only settings that are known to concern the documents and their searches are copied. The others belong
to one physical index (uuid, creation date, the node of a shrunken index), to a feature that the copy does
not use (remote store, searchable snapshots, replication from another cluster, rollover and retention
policies), or are archived ones of an older version, which a new index may not have. A list of settings to
leave out could never name them all; a setting that this list lacks has OpenSearch's default in the copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

DEFAULT_FIELDS_LIMIT = 1000
"""Most fields in a mapping, where an index does not say otherwise."""

DEFAULT_WINDOW = 10_000
"""Most hits of one search, where an index does not say otherwise."""

NO_PIPELINE = "_none"

_CARRIED = frozenset(
    {
        "analyze.max_token_count",
        "codec",
        "codec.compression_level",
        "composite_index",
        "highlight.max_analyzed_offset",
        "max_adjacency_matrix_filters",
        "max_docvalue_fields_search",
        "max_inner_result_window",
        "max_ngram_diff",
        "max_regex_length",
        "max_result_window",
        "max_rescore_window",
        "max_script_fields",
        "max_shingle_diff",
        "max_slices_per_pit",
        "max_slices_per_scroll",
        "max_terms_count",
        "number_of_routing_shards",
        "number_of_shards",
        "priority",
        "queries.cache.enabled",
        "query_string.lenient",
        "replication.type",
        "requests.cache.enable",
        "routing_partition_size",
        "routing.allocation.total_shards_per_node",
        "search.default_pipeline",
        "search.idle.after",
        "unassigned.node_left.delayed_timeout",
    }
)
_CARRIED_GROUPS = (
    "analysis.",
    "composite_index.",
    "knn.",
    "mapping.",
    "neural_search.",
    "query.",
    "routing.allocation.exclude.",
    "routing.allocation.include.",
    "routing.allocation.require.",
    "search.concurrent",
    "search.slowlog.",
    "similarity.",
    "sort.",
)
_ONE_PLACE = ("._name", "._ip", "._host", "._id")  # the one node on which an index was shrunk

_OWN = (
    "creation_date",
    "history.uuid",
    "provided_name",
    "resize.",
    "uuid",
    "verified_before_close",
    "version.",
)

PIPELINES = ("default_pipeline", "final_pipeline")
"""Pipelines would change documents twice; the target has none until applications write there."""

HELD_BACK = (
    "auto_expand_replicas",
    *PIPELINES,
    "number_of_replicas",
    "refresh_interval",
    "translog.durability",
    "write.wait_for_active_shards",
)
"""Settings that would slow the load down, stop it, or lose acknowledged writes; restored afterwards."""


def carried_over(source: Mapping[str, Any], added_fields: int = 0) -> dict[str, Any]:
    """Return the settings that a copy is created with, by full name.

    Args:
        source: ``index`` settings of the source, flat, without ``index.``.
        added_fields: how many fields the copy adds; its limit grows by this number.
    """
    carried = {key: value for key, value in source.items() if value is not None and _is_carried(key)}
    limit = _number(source.get("mapping.total_fields.limit"), DEFAULT_FIELDS_LIMIT)
    if added_fields:
        carried["mapping.total_fields.limit"] = str(limit + added_fields)
    carried |= dict.fromkeys(PIPELINES, NO_PIPELINE)
    return {f"index.{key}": value for key, value in carried.items()}


def held_back_settings(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings to apply to the target after the load; ``None`` means OpenSearch's default."""
    return {f"index.{key}": source.get(key) for key in HELD_BACK}


def restorable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``settings``, by full name, that a job's record may put on an index."""
    allowed = {f"index.{key}" for key in HELD_BACK}
    return {key: value for key, value in settings.items() if key in allowed}


def template_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return an index's ``settings``, by full name, that another index like it gets."""
    kept = {key: value for key, value in settings.items() if value is not None}
    return {
        key: value
        for key, value in kept.items()
        if _is_carried(key.removeprefix("index.")) or key.removeprefix("index.") in (*HELD_BACK, "knn")
    }


def left_behind(source: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings that a user made on the source and that its copy does not get."""
    own = (key for key in source if not _is_carried(key) and key not in HELD_BACK)
    return sorted(key for key in own if not key.startswith(_OWN))


def count_fields(properties: Mapping[str, Any]) -> int:
    """Count the fields in a mapping's properties as OpenSearch does, with objects and multi-fields."""
    return sum(1 for _ in _fields(properties))


def _fields(properties: Mapping[str, Any]) -> Iterator[str]:
    for name, field in properties.items():
        yield name
        for inside in ("properties", "fields"):
            yield from _fields(field.get(inside, {}))


def _is_carried(key: str) -> bool:
    if key.endswith(_ONE_PLACE):
        return False
    return key in _CARRIED or key.startswith(_CARRIED_GROUPS)


def _number(value: object, default: int) -> int:
    return int(str(value)) if value is not None else default
