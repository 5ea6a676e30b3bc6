"""Requests about whole indices: create, look, settings, blocks, aliases, rollover, statistics."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.simulation.indices import Index, Names, definition_of, flat, nested
from tests.simulation.refusals import NotModelledError, RefusedError, illegal

_FINAL = {"index.number_of_shards", "index.knn", "index.uuid"}
_ROLLED = re.compile(r"^(.*)-(\d+)$")
_ADD = {"filter", "routing", "index_routing", "search_routing", "is_write_index", "is_hidden"}


class Administration:
    """Carries out requests about indices."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def get(self, expression: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Answer ``GET index``."""
        expand = str(params.get("expand_wildcards", "open"))
        hidden = "hidden" in expand or expand == "all"
        shown = {}
        is_flat = str(params.get("flat_settings", "")).lower() == "true"
        for index in self._names.find(expression, hidden=hidden):
            settings = dict(index.settings) if is_flat else nested(index.settings)
            # Mappings are replaced, never changed, so they need no copy.
            shown[index.name] = {
                "aliases": _copy(index.aliases), "mappings": index.mappings, "settings": settings,
            }  # fmt: skip
        return shown

    def exists(self, expression: str) -> bool:
        """Answer ``HEAD index``."""
        try:
            return bool(self._names.find(expression))
        except RefusedError:
            return False

    def delete(self, expression: str) -> None:
        """Delete indices; an alias is refused."""
        for name in expression.split(","):
            if name not in self._names.indices and self._names.members(name):
                raise illegal(
                    f"The provided expression [{name}] matches an alias, specify the corresponding concrete "
                    "indices instead."
                )
        for index in self._names.find(expression):
            self._names.delete(index.name)

    def put_settings(self, expression: str, body: Mapping[str, Any]) -> None:
        """Change dynamic settings; a value of ``None`` takes one out."""
        changes = flat(body.get("settings", body))
        for index in self._names.find(expression, hidden=True):
            for key, value in changes.items():
                if key in _FINAL and index.settings.get(key) != value:
                    raise illegal(
                        f"Can't update non dynamic settings [[{key}]] for open indices [[{index.name}]]"
                    )
                if value is None:
                    index.settings.pop(key, None)
                else:
                    index.settings[key] = value
            index.settings.setdefault("index.number_of_replicas", "1")

    def put_mapping(self, expression: str, body: Mapping[str, Any]) -> None:
        """Add fields; ``_meta`` is replaced as a whole."""
        unknown = set(body) - {"_meta", "properties", "dynamic"}
        if unknown:
            raise NotModelledError(f"mapping with {sorted(unknown)}")
        for index in self._names.find(expression, hidden=True):
            properties = {**index.mappings.get("properties", {}), **body.get("properties", {})}
            index.mappings = _copy({**index.mappings, **body, "properties": properties})

    def block(self, expression: str, block: str) -> dict[str, Any]:
        """Add a block. What is half done is waited for; what arrives later finds the block."""
        if block != "write":
            raise NotModelledError(f"block {block}")
        # One that is blocked already is left out, and what is still half done there is not waited for.
        fresh = [
            one for one in self._names.find(expression) if one.settings.get(f"index.blocks.{block}") != "true"
        ]
        for index in fresh:
            index.settings[f"index.blocks.{block}"] = "true"
            for shard in index.shards:
                shard.settle()
        blocked = [{"name": index.name, "blocked": True} for index in fresh]
        return {"acknowledged": True, "shards_acknowledged": bool(fresh), "indices": blocked}

    def stats(self, expression: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Answer ``_stats``."""
        indices, deletes = {}, 0
        for index in self._names.find(expression, hidden=True):
            deleted = sum(shard.delete_total for shard in index.shards)
            deletes += deleted
            docs = sum(len(shard.visible) for shard in index.shards)
            primaries = {
                "docs": {"count": docs, "deleted": 0}, "store": {"size_in_bytes": 1000 * docs},
                "indexing": {"delete_total": deleted},
            }  # fmt: skip
            indices[index.name] = {"uuid": index.uuid, "primaries": primaries, "total": primaries}
            if params.get("level") == "shards":
                indices[index.name]["shards"] = {
                    str(number): [_shard(index, number)] for number in range(len(index.shards))
                }
        return {"_all": {"primaries": {"indexing": {"delete_total": deletes}}}, "indices": indices}

    def update_aliases(self, actions: list[Mapping[str, Any]]) -> None:
        """Carry out all actions, or none."""
        before = {name: dict(index.aliases) for name, index in self._names.indices.items()}
        try:
            done = False
            for action in actions:
                ((kind, body),) = action.items()
                if kind == "add":
                    done = self._add(body)
                elif kind == "remove":
                    done = self._remove(body) or done
                else:
                    raise NotModelledError(f"alias action {kind}")
            if not done:  # only removals, and none of them found its alias
                raise RefusedError(404, "aliases_not_found_exception", "aliases are missing")
            self._check_write_indices()
        except BaseException:
            for name, aliases in before.items():
                self._names.indices[name].aliases = aliases
            raise

    def aliases(self, expression: str | None, name: str | None) -> dict[str, Any]:
        """Answer ``_alias``."""
        indices = self._names.find(expression or "*", hidden=True)
        named = None if name in (None, "*", "_all") else str(name).split(",")
        found = {
            index.name: {"aliases": {a: d for a, d in index.aliases.items() if named is None or a in named}}
            for index in indices
        }
        if named is None:
            return _copy(found)
        found = {index: body for index, body in found.items() if body["aliases"]}
        missing = [one for one in named if not any(one in body["aliases"] for body in found.values())]
        if missing:
            raise RefusedError(
                404, f"alias [{','.join(missing)}] missing", ""
            )  # not an object, as others are
        return _copy(found)

    def templates(self, name: str | None) -> dict[str, Any]:
        """Answer ``GET _index_template``."""
        found = {key: body for key, body in self._names.templates.items() if name in (None, key)}
        if name is not None and not found:
            raise RefusedError(
                404, "resource_not_found_exception", f"index template matching [{name}] not found"
            )
        return {
            "index_templates": [{"name": key, "index_template": _copy(body)} for key, body in found.items()]
        }

    def put_template(self, name: str, body: Mapping[str, Any]) -> None:
        """Enter an index template; two of the same priority may not match the same name."""
        for other, there in self._names.templates.items():
            same = int(there.get("priority", 0)) == int(body.get("priority", 0))
            if other != name and same and set(there["index_patterns"]) & set(body["index_patterns"]):
                raise illegal(f"index template [{name}] has the same priority as [{other}]")
        self._names.templates[name] = {"composed_of": [], **_copy(body)}

    def delete_template(self, name: str) -> None:
        """Take an index template out."""
        if self._names.templates.pop(name, None) is None:
            raise RefusedError(404, "index_template_missing_exception", f"index_template [{name}] missing")

    def simulated(self, name: str) -> dict[str, Any]:
        """Answer ``POST _index_template/_simulate_index``."""
        template = self._names.template_for(name).get("template", {})
        whole = {
            "settings": nested(flat(template.get("settings", {}))),
            "mappings": template.get("mappings", {}),
        }
        return {"template": _copy({**whole, "aliases": template.get("aliases", {})}), "overlapping": []}

    def rollover(self, name: str) -> dict[str, Any]:
        """Make the next index of an alias or data stream, whatever conditions there are."""
        if name in self._names.streams:
            return self._roll_stream(name)
        there = self._names.members(name)
        old = next((one for one, how in there.items() if how.get("is_write_index")), None)
        if old is None and len(there) == 1:
            old = next(iter(there))
        if old is None:
            raise illegal(f"rollover target [{name}] does not point to a write index")
        numbered = _ROLLED.match(old)
        if numbered is None:
            raise illegal(f"index name [{old}] does not match pattern '^.*-\\d+$'")
        new = f"{numbered[1]}-{int(numbered[2]) + 1:06d}"
        replaced = self._names.indices[old]
        created = self._names.create(new, {}, "rollover")
        explicit = there[old].get("is_write_index")
        created.aliases[name] = {**there[old]}
        if explicit:
            replaced.aliases[name] = {**there[old], "is_write_index": False}
        else:
            del replaced.aliases[name]
        return {"acknowledged": True, "old_index": old, "new_index": new, "rolled_over": True}

    def _roll_stream(self, name: str) -> dict[str, Any]:
        parts = self._names.streams[name]
        new = f".ds-{name}-{len(parts) + 1:06d}"
        self._names.create(new, {"mappings": self._names.indices[parts[-1]].mappings}, "rollover")
        parts.append(new)
        return {"acknowledged": True, "old_index": parts[-2], "new_index": new, "rolled_over": True}

    def _add(self, body: Mapping[str, Any]) -> bool:
        for alias in _several(body, "alias", "aliases"):
            if alias in self._names.indices:
                raise RefusedError(
                    400, "invalid_alias_name_exception",
                    f"Invalid alias name [{alias}]: an index or data stream exists with the same name as "
                    "the alias",
                )  # fmt: skip
            for expression in _several(body, "index", "indices"):
                for index in self._names.find(expression, hidden=True):
                    index.aliases = {**index.aliases, alias: definition_of(body)}
        return True

    def _remove(self, body: Mapping[str, Any]) -> bool:
        done = body.get("must_exist") is False
        for alias in _several(body, "alias", "aliases"):
            indices = [
                index
                for expression in _several(body, "index", "indices")
                for index in self._names.find(expression, hidden=True)
            ]
            lacking = [index for index in indices if alias not in index.aliases]
            if body.get("must_exist") and lacking:
                raise RefusedError(404, "aliases_not_found_exception", f"aliases [{alias}] missing")
            for index in indices:
                done = done or alias in index.aliases
                index.aliases = {name: how for name, how in index.aliases.items() if name != alias}
        return done

    def _check_write_indices(self) -> None:
        writing: dict[str, list[str]] = {}
        hidden: dict[str, set[bool]] = {}
        for index in self._names.indices.values():
            for alias, how in index.aliases.items():
                hidden.setdefault(alias, set()).add(bool(how.get("is_hidden")))
                if how.get("is_write_index"):
                    writing.setdefault(alias, []).append(index.name)
        for alias, names in writing.items():
            if len(names) > 1:
                raise RefusedError(
                    500,
                    "illegal_state_exception",
                    f"alias [{alias}] has more than one write index [{','.join(names)}]",
                )
        for alias, kinds in hidden.items():
            if len(kinds) > 1:
                raise RefusedError(
                    500,
                    "illegal_state_exception",
                    f"alias [{alias}] has is_hidden set to true on some indices only",
                )


def _several(body: Mapping[str, Any], one: str, many: str) -> list[str]:
    found = body.get(one, body.get(many))
    return list(found) if isinstance(found, list) else [str(found)]


def _shard(index: Index, number: int) -> dict[str, Any]:
    shard = index.shards[number]
    checkpoints = {"max_seq_no": shard.max_seq_no, "local_checkpoint": shard.checkpoint}
    return {
        "routing": {"state": "STARTED", "primary": True, "node": "node-1", "relocating_node": None},
        "docs": {"count": len(shard.visible), "deleted": 0},
        "seq_no": {**checkpoints, "global_checkpoint": shard.checkpoint},
        "commit": {"user_data": {"history_uuid": shard.history}},
        "indexing": {"delete_total": shard.delete_total},
    }  # fmt: skip


def _copy(body: Any) -> Any:
    return json.loads(json.dumps(body))
