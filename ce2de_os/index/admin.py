"""Indexes and aliases: look up, create, refresh, move."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendUnavailableError, ConfigError, IndexSchemaError
from ce2de_os.index.carried import DEFAULT_WINDOW
from ce2de_os.index.client import WHOLE, backend_errors, check_complete
from ce2de_os.index.guard import is_guard

T = TypeVar("T")


@dataclass(frozen=True)
class IndexInfo:
    """One physical index: its name, uuid, flat ``index`` settings and mapping."""

    name: str
    uuid: str
    settings: Mapping[str, Any]
    mappings: Mapping[str, Any]

    @property
    def is_closed(self) -> bool:
        """Return whether it is closed, so that nothing can be read or written."""
        return str(self.settings.get("verified_before_close")) == "true"

    @property
    def most_hits(self) -> int:
        """The most hits that one search of it may ask for."""
        return int(self.settings.get("max_result_window", DEFAULT_WINDOW))


def describe(client: OpenSearch, name: str) -> IndexInfo:
    """Look up one index by its name or by an alias of it.

    Raises:
        IndexSchemaError: there is no such index.
        ConfigError: ``name`` means several indexes.
    """
    with backend_errors(f"look up index '{name}'"):
        found = client.indices.get(index=name, params={"flat_settings": "true"})
    if len(found) != 1:
        names = ", ".join(sorted(found)) or "none"
        raise ConfigError(f"'{name}' means {len(found)} indexes ({names}); name one index")
    return _info(*next(iter(found.items())))


def describe_all(client: OpenSearch, name: str) -> list[IndexInfo]:
    """Look up every open index behind a name, an alias, a data stream or a pattern, in the names' order.

    Raises:
        IndexSchemaError: there is none.
    """
    with backend_errors(f"look up index '{name}'"):
        found = client.indices.get(
            index=name, params={"flat_settings": "true", "expand_wildcards": "open,hidden"}
        )
    if not found:
        raise IndexSchemaError(f"'{name}': no open index has this name; see GET _cat/indices")
    return [_info(physical, body) for physical, body in sorted(found.items())]


def _info(name: str, body: Mapping[str, Any]) -> IndexInfo:
    settings = {key.removeprefix("index."): value for key, value in body["settings"].items()}
    return IndexInfo(name, settings["uuid"], settings, body.get("mappings", {}))


def most_hits(client: OpenSearch, name: str) -> int:
    """Return the most hits that one search of an index, an alias or a pattern may ask for."""
    with backend_errors(f"look up the settings of '{name}'"):
        found = client.indices.get(index=name, params={"flat_settings": "true"})
    return min((_info(index, body).most_hits for index, body in found.items()), default=DEFAULT_WINDOW)


def version(client: OpenSearch) -> tuple[int, int]:
    """Read the version of the node that answers, such as ``(3, 6)``."""
    with backend_errors("read the cluster's version"):
        number = client.info()["version"]["number"]
    major, minor = number.split(".")[:2]
    return int(major), int(minor)


def cluster_time(client: OpenSearch) -> float:
    """Read the cluster's clock: seconds since the epoch, in whole seconds."""
    with backend_errors("read the cluster's clock"):
        answer = client.cat.health(params={"format": "json", "h": "epoch"})
    return float(answer[0]["epoch"])


def exists(client: OpenSearch, name: str) -> bool:
    """Return whether an index or alias of this name exists."""
    with backend_errors(f"look up index '{name}'"):
        return bool(client.indices.exists(index=name))


def create(client: OpenSearch, name: str, body: Mapping[str, Any]) -> bool:
    """Create an index; one that already exists is left as it is, and the answer is ``False``."""
    with backend_errors(f"create index '{name}'"):
        answer = client.indices.create(index=name, body=dict(body), params={"ignore": [400]})
    error = answer.get("error", {}) if isinstance(answer, dict) else {}
    if error and error.get("type") != "resource_already_exists_exception":
        raise ConfigError(f"create index '{name}': {error.get('reason', 'refused')}")
    return not error


def put_settings(client: OpenSearch, name: str, settings: Mapping[str, Any]) -> None:
    """Change dynamic settings; ``None`` resets one to its default."""
    with backend_errors(f"change settings of '{name}'"):
        client.indices.put_settings(index=name, body=dict(settings))


def block_writes(client: OpenSearch, name: str) -> None:
    """Block writes to an index; return when those in flight have ended."""
    with backend_errors(f"block writes to '{name}'"):
        client.indices.add_block(index=name, block="write")


def unblock_writes(client: OpenSearch, name: str) -> None:
    """Unblock writes to an index."""
    put_settings(client, name, {"index.blocks.write": None})


def refresh(client: OpenSearch, name: str) -> None:
    """Make everything written so far visible to searches.

    Raises:
        BackendUnavailableError: a shard was not refreshed, so that a search may miss what it holds.
    """
    action = f"refresh '{name}'"
    with backend_errors(action):
        answer = client.indices.refresh(index=name)
    check_complete(action, answer)


def count(client: OpenSearch, name: str, query: Mapping[str, Any] | None = None) -> int:
    """Count the visible documents, or those of them that match ``query``.

    Raises:
        BackendUnavailableError: a shard does not answer.
    """
    with backend_errors(f"count documents of '{name}'"):
        # No `_count`, which leaves out shards without a copy; and replicas may be behind the primaries.
        body = {"size": 0, "track_total_hits": True, **({"query": query} if query else {})}
        answer = client.search(index=name, body=body, params={"preference": "_primary", **WHOLE})
    return int(answer["hits"]["total"]["value"])


def checkpoints(client: OpenSearch, name: str) -> dict[int, int]:
    """Read each shard's global checkpoint: all operations up to it are complete (-1: none yet).

    Raises:
        BackendUnavailableError: a primary shard is not assigned.
    """
    with backend_errors(f"read shard statistics of '{name}'"):
        stats = client.indices.stats(index=name, params={"level": "shards"})
    found = {}
    for shards in stats["indices"].values():
        for number, copies in shards["shards"].items():
            for copy in copies:
                if copy["routing"]["primary"] and "seq_no" in copy:
                    found[int(number)] = int(copy["seq_no"]["global_checkpoint"])
    total = int(describe(client, name).settings["number_of_shards"])
    if len(found) != total:
        raise BackendUnavailableError(
            f"read shard statistics of '{name}': {len(found)} of {total} primaries answer"
        )
    return found


def aliases_of(client: OpenSearch, name: str) -> list[str]:
    """Return the aliases that point to an index, without a job's guard."""
    with backend_errors(f"look up the aliases of '{name}'"):
        answer = client.indices.get(index=name)
    found = (alias for body in answer.values() for alias in body.get("aliases", {}))
    return sorted(alias for alias in found if not is_guard(alias))


def put_meta(client: OpenSearch, name: str, meta: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    """Add fields to an index's mapping and replace its ``_meta``."""
    with backend_errors(f"change the mapping of '{name}'"):
        client.indices.put_mapping(index=name, body={"_meta": dict(meta), "properties": dict(properties)})


def field_paths(mappings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every ``(dotted path, type)`` of a mapping's leaf fields, without multi-fields."""
    for name, field in mappings.get("properties", {}).items():
        if "properties" in field:
            yield from field_paths(field, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(field.get("type", "object"))


def patiently(call: Callable[[], T], patience_s: float = 120.0) -> T:
    """Repeat ``call`` while OpenSearch does not answer, waiting 0.5, 1, 2, … at most 8 seconds in between.

    Raises:
        BackendUnavailableError: it still does not answer after ``patience_s``.
    """
    deadline, pause = time.monotonic() + patience_s, 0.5
    while True:
        try:
            return call()
        except BackendUnavailableError:
            if time.monotonic() + pause > deadline:
                raise
            time.sleep(pause)
            pause = min(pause * 2, 8.0)
