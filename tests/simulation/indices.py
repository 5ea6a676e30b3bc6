"""Indices, aliases, data streams, and what a name stands for."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from tests.simulation.refusals import RefusedError, blocked, illegal, no_index
from tests.simulation.shards import Shard

GC_DELETES_S = 60.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Index:
    """A physical index; settings are flat, their values strings."""

    def __init__(self, name: str, uuid: str, settings: dict[str, Any], mappings: dict[str, Any]) -> None:
        self.name, self.uuid, self.settings, self.mappings = name, uuid, settings, mappings
        self.aliases: dict[str, dict[str, Any]] = {}
        gc = seconds(settings.get("index.gc_deletes", f"{GC_DELETES_S}s"))
        count = int(settings["index.number_of_shards"])
        self.shards = [Shard(f"history-{uuid}-{number}", gc) for number in range(count)]
        self.exists = True
        self.refreshed_at_s = 0.0

    @property
    def is_hidden(self) -> bool:
        return str(self.settings.get("index.hidden", "")).lower() == "true"

    def shard_of(self, doc_id: str, routing: str | None) -> Shard:
        return self.shards[zlib.crc32((routing or doc_id).encode()) % len(self.shards)]

    def check_write(self) -> None:
        """Refuse a write to an index that is deleted or blocked."""
        if not self.exists:
            raise no_index(self.name)
        if str(self.settings.get("index.blocks.write", "")).lower() == "true":
            raise blocked(self.name)
        if str(self.settings.get("index.blocks.read_only_allow_delete", "")).lower() == "true":
            what = "TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block"
            raise RefusedError(429, "cluster_block_exception", f"index [{self.name}] blocked by: [{what}];")

    def refresh(self, now_s: float | None = None) -> None:
        """Let searches see everything; ``now_s``: only if the last time was so long ago as its setting says."""
        if now_s is not None:
            interval = str(self.settings.get("index.refresh_interval", "1s"))
            if interval == "-1" or now_s - self.refreshed_at_s < seconds(interval):
                return
            self.refreshed_at_s = now_s
        for shard in self.shards:
            shard.refresh()


class Names:
    """All indices by name, and the aliases and data streams that stand for them."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.indices: dict[str, Index] = {}
        self.streams: dict[str, list[str]] = {}
        self.templates: dict[str, dict[str, Any]] = {}
        self.created: list[tuple[str, str]] = []
        self._made = 0

    def create(self, name: str, body: Mapping[str, Any], how: str) -> Index:
        """Create an index from a body and the templates that match; ``how`` tells who asked for it."""
        if name in self.indices:
            uuid = self.indices[name].uuid
            raise RefusedError(
                400, "resource_already_exists_exception", f"index [{name}/{uuid}] already exists", index=name
            )
        if self.members(name):
            raise RefusedError(
                400, "invalid_index_name_exception", f"Invalid index name [{name}], already exists as alias"
            )
        self._made += 1
        uuid = f"uuid-{self._made:04d}"
        settings = {"index.number_of_shards": "1", "index.number_of_replicas": "1"}
        mappings: dict[str, Any] = {}
        aliases: dict[str, Any] = {}
        for part in (self.template_for(name).get("template", {}), body):
            settings |= flat(part.get("settings", {}))
            more = part.get("mappings", {})
            properties = {**mappings.get("properties", {}), **more.get("properties", {})}
            mappings = {**mappings, **more, **({"properties": properties} if properties else {})}
            aliases |= part.get("aliases", {})
        settings |= {"index.uuid": uuid, "index.provided_name": name, "index.version.created": "3060099"}
        index = Index(name, uuid, {k: v for k, v in settings.items() if v is not None}, mappings)
        self.indices[name] = index
        for alias, definition in aliases.items():
            index.aliases[alias] = definition_of(definition)
        self.created.append((name, how))
        return index

    def template_for(self, name: str) -> dict[str, Any]:
        """The index template with the highest priority of those that match; empty if none does."""
        matching = [
            one for one in self.templates.values() if any(fnmatchcase(name, p) for p in one["index_patterns"])
        ]
        return max(matching, key=lambda one: int(one.get("priority", 0)), default={})

    def delete(self, name: str) -> None:
        self.indices.pop(name).exists = False

    def members(self, alias: str) -> dict[str, dict[str, Any]]:
        """The indices behind an alias, each with its definition."""
        return {name: index.aliases[alias] for name, index in self.indices.items() if alias in index.aliases}

    def find(self, expression: str, *, hidden: bool = False, strict: bool = True) -> list[Index]:
        """The indices behind names, aliases, data streams and patterns, separated by commas.

        ``strict``: a name that nothing has is an error; a pattern that matches nothing never is.
        """
        found: dict[str, Index] = {}
        for name in expression.split(","):
            for one in self._one(name, hidden, strict):
                found.setdefault(one.name, one)
        return list(found.values())

    def _one(self, name: str, hidden: bool, strict: bool) -> Iterable[Index]:
        if name in self.indices:
            return [self.indices[name]]
        if name in self.streams:
            return [self.indices[one] for one in self.streams[name]]
        if "*" in name or name == "_all":
            return self._matching("*" if name == "_all" else name, hidden)
        there = self.members(name)
        if not there and strict:
            raise no_index(name)
        return [self.indices[one] for one in there]

    def _matching(self, pattern: str, hidden: bool) -> Iterable[Index]:
        def shown(name: str, is_hidden: bool) -> bool:
            dotted = pattern.startswith(".") and name.startswith(".")
            return fnmatchcase(name, pattern) and (hidden or dotted or not is_hidden)

        streams = {
            one for stream, parts in self.streams.items() if fnmatchcase(stream, pattern) for one in parts
        }
        return [
            index
            for name, index in self.indices.items()
            if shown(name, index.is_hidden)
            or name in streams
            or any(shown(alias, bool(there.get("is_hidden"))) for alias, there in index.aliases.items())
        ]

    def filters(self, expression: str, index: Index) -> list[Mapping[str, Any]] | None:
        """The filters of the aliases by which a search reaches an index; ``None``: none applies."""
        named = expression.split(",")
        if index.name in named or any(index.name in self.streams.get(one, ()) for one in named):
            return None
        if any("*" in one and fnmatchcase(index.name, one) for one in named):
            return None
        used = [definition for alias, definition in index.aliases.items() if _names(named, alias)]
        found = [definition["filter"] for definition in used if "filter" in definition]
        return found if found and len(found) == len(used) else None

    def write_index(self, name: str, *, require_alias: bool, make: bool) -> tuple[Index, str | None]:
        """The index that a write to a name goes to, and the routing that an alias adds."""
        if require_alias and not self.members(name):
            raise RefusedError(
                404, "index_not_found_exception",
                f"no such index [{name}] and [require_alias] request flag is [true] and [{name}] is not an "
                "alias",
                index=name,
            )  # fmt: skip
        if name in self.indices:
            return self.indices[name], None
        if name in self.streams:
            return self.indices[self.streams[name][-1]], None
        there = self.members(name)
        if not there:
            if not make:
                raise no_index(name)
            return self.create(name, {}, "auto-create"), None
        return self._of_alias(name, there)

    def _of_alias(self, alias: str, there: Mapping[str, Mapping[str, Any]]) -> tuple[Index, str | None]:
        writing = [name for name, definition in there.items() if definition.get("is_write_index")]
        if len(there) == 1 and next(iter(there.values())).get("is_write_index") is None:
            writing = list(there)
        if not writing:
            raise illegal(
                f"no write index is defined for alias [{alias}]. The write index may be explicitly "
                "disabled using "
                "is_write_index=false or the alias points to multiple indices without one being designated "
                "as a "
                "write index"
            )
        return self.indices[writing[0]], there[writing[0]].get("index_routing")


def _names(named: Iterable[str], alias: str) -> bool:
    return any(alias == one or ("*" in one and fnmatchcase(alias, one)) for one in named)


def definition_of(action: Mapping[str, Any]) -> dict[str, Any]:
    """An alias's definition from the body that adds it."""
    known = ("filter", "index_routing", "search_routing", "is_write_index", "is_hidden")
    found = {key: action[key] for key in known if action.get(key) is not None}
    if action.get("routing") is not None:
        found = {"index_routing": action["routing"], "search_routing": action["routing"], **found}
    return found


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings as flat keys that begin with ``index.``; values as strings, ``None`` stays."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{path}.")
        else:
            name = path if path.startswith("index.") else f"index.{path}"
            found[name] = value if value is None or isinstance(value, list) else _text(value)
    return found


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Flat settings as OpenSearch shows them without ``flat_settings``."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        *path, last = key.split(".")
        node = found
        for name in path:
            node = node.setdefault(name, {})
        node[last] = value
    return found


def seconds(duration: str) -> float:
    """A duration such as ``60s``."""
    unit = next(one for one in ("ms", "s", "m", "h") if duration.endswith(one))
    return float(duration.removesuffix(unit)) * _UNITS[unit]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
