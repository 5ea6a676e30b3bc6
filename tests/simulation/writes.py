"""Writes: their names are resolved first, and they are carried out afterwards, as a coordinating node does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from tests.simulation.indices import Index, Names
from tests.simulation.refusals import NotModelledError, RefusedError
from tests.simulation.shards import ANY, Condition, Doc

_ADD = re.compile(r"ctx\._source\.(\w+) \+= (\d+)")
_SET = re.compile(r"ctx\._source\.(\w+) = params\.(\w+)")
_HEADER = {
    "_index", "_id", "routing", "version", "version_type", "if_seq_no", "if_primary_term", "require_alias",
    "retry_on_conflict", "pipeline", "op_type",
}  # fmt: skip

Refuses = Callable[[Index, Mapping[str, Any]], str | None]
"""Why an index does not take a document; ``None``: it does."""


class Write(NamedTuple):
    """A write whose name has been resolved."""

    verb: str
    index: Index
    doc_id: str
    routing: str | None
    demand: Condition
    body: dict[str, Any] | None
    pipeline: str | None


class Writes:
    """Resolves and carries out writes."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.refuses: Refuses = lambda _index, _source: None
        self.auto_create = True
        self.piped: dict[str, int] = {}
        self._ids = 0

    def resolve(self, name: str, verb: str, header: Mapping[str, Any], body: dict[str, Any] | None) -> Write:
        """Find the index of a write, and create it where a missing one is created by itself."""
        unknown = set(header) - _HEADER
        if unknown:
            raise NotModelledError(f"bulk header: {sorted(unknown)}")
        demand = Condition(
            header.get("if_seq_no"), header.get("if_primary_term"), header.get("version"),
            header.get("version_type", "internal"),
            verb == "create" or header.get("op_type") == "create",
        )  # fmt: skip
        # A bulk's delete takes no notice of require_alias, and makes an index only with a version of its own.
        is_delete = verb == "delete"
        index, routing = self._names.write_index(
            name,
            require_alias=bool(header.get("require_alias")) and not is_delete,
            make=self.auto_create and (not is_delete or demand.version is not None),
        )
        index.check_write()  # the coordinating node looks, and the primary shard looks again
        doc_id = header.get("_id")
        if doc_id is None:
            self._ids += 1
            doc_id = f"auto-{self._ids:06d}"
        pipeline = header.get("pipeline") or index.settings.get("index.default_pipeline")
        return Write(
            verb, index, str(doc_id), header.get("routing") or routing, demand, body,
            None if pipeline == "_none" else pipeline,
        )  # fmt: skip

    def apply(self, write: Write) -> dict[str, Any]:
        """Carry out a write."""
        write.index.check_write()
        return self._update(write) if write.verb == "update" else self._carry_out(write, None)

    def _carry_out(self, write: Write, seq_no: int | None) -> dict[str, Any]:
        index = write.index
        shard = index.shard_of(write.doc_id, write.routing)
        now_s = self._names.now()
        if write.verb == "delete":
            tombstone, was_there = shard.delete(write.doc_id, write.routing, write.demand, now_s, seq_no)
            return _result(
                index, tombstone, "deleted" if was_there else "not_found", 200 if was_there else 404
            )
        source = self._through_pipelines(write)
        self._check(index, source)
        was_there = shard.live(write.doc_id) is not None
        doc = shard.index(write.doc_id, write.routing, source, write.demand, now_s, seq_no)
        return _result(index, doc, "updated" if was_there else "created", 200 if was_there else 201)

    def begin(self, write: Write, done: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Give a write its sequence number; whoever calls the result first indexes it, and ``done`` is told."""
        write.index.check_write()
        shard = write.index.shard_of(write.doc_id, write.routing)
        shard.settle(write.doc_id)
        shard.check(write.doc_id, write.demand, self._names.now())

        def index() -> None:
            if seq_no in shard.half_done:
                done(self._carry_out(write, seq_no))

        seq_no = shard.give_out(write.doc_id, index)
        return index

    def parse(self, default: str | None, body: str | bytes, params: Mapping[str, Any]) -> list[Any]:
        """The writes of a bulk request, or for each what its name was refused with."""
        found: list[Any] = []
        for verb, header, source in _lines(body):
            settings = {key: params[key] for key in ("pipeline", "require_alias", "routing") if key in params}
            given = {**settings, **header}
            given["require_alias"] = str(given.get("require_alias", "")).lower() == "true"
            name = str(given.get("_index") or default)
            try:
                found.append(self.resolve(name, verb, given, source))
            except RefusedError as error:
                found.append((verb, name, str(header.get("_id")), error))
        return found

    def bulk(self, parsed: list[Any]) -> dict[str, Any]:
        """Carry out the writes of a bulk request."""
        items = []
        for write in parsed:
            if not isinstance(write, Write):
                verb, name, doc_id, error = write
                items.append({verb: _failed(name, doc_id, error)})
                continue
            try:
                items.append({write.verb: self.apply(write)})
            except RefusedError as error:
                items.append({write.verb: _failed(write.index.name, write.doc_id, error)})
        errors = any("error" in item for entry in items for item in entry.values())
        return {"took": 1, "errors": errors, "items": items}

    def _update(self, write: Write) -> dict[str, Any]:
        index, body = write.index, write.body or {}
        shard = index.shard_of(write.doc_id, write.routing)
        shard.settle(write.doc_id)
        there = shard.live(write.doc_id)
        if there is None:
            source = body.get("doc") if body.get("doc_as_upsert") else body.get("upsert")
            if source is None or write.demand.seq_no is not None:
                raise RefusedError(404, "document_missing_exception", f"[{write.doc_id}]: document missing")
            demand = Condition(create=True)
        else:
            source = _changed(there, body)
            if write.demand.seq_no is None and source == there.source and "script" not in body:
                return _result(index, there, "noop", 200)
            demand = write.demand if write.demand.seq_no is not None else ANY
            if source == there.source and (there.seq_no, there.term) == (demand.seq_no, demand.term):
                return _result(index, there, "noop", 200)
        self._check(index, source)
        doc = shard.index(write.doc_id, write.routing, source, demand, self._names.now())
        return _result(index, doc, "updated" if there else "created", 200 if there else 201)

    def _through_pipelines(self, write: Write) -> dict[str, Any]:
        source = write.body or {}
        final = write.index.settings.get("index.final_pipeline")
        for name in (write.pipeline, None if final == "_none" else final):
            if name is not None:
                self.piped[name] = self.piped.get(name, 0) + 1
                source = {**source, f"piped_{name}": source.get(f"piped_{name}", 0) + 1}
        return source

    def _check(self, index: Index, source: Mapping[str, Any]) -> None:
        why = self.refuses(index, source)
        if why is not None:
            raise RefusedError(400, "mapper_parsing_exception", why)
        _learn(index, source)


def _lines(body: str | bytes) -> Iterator[tuple[str, dict[str, Any], dict[str, Any] | None]]:
    lines = iter((body.decode() if isinstance(body, bytes) else body).split("\n"))
    for line in lines:
        if not line:
            continue
        ((verb, header),) = json.loads(line).items()
        if verb not in ("index", "create", "update", "delete"):
            raise NotModelledError(f"bulk action {verb}")
        yield verb, header, None if verb == "delete" else json.loads(next(lines))


def _changed(there: Doc, body: Mapping[str, Any]) -> dict[str, Any]:
    if "script" in body:
        return _scripted(there.source, body["script"])
    return _merged(there.source, body["doc"])


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(old)
    for key, value in new.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = _merged(found[key], value) if both else value
    return found


def _scripted(source: Mapping[str, Any], script: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(source)
    for line in filter(None, (part.strip() for part in script["source"].split(";"))):
        if add := _ADD.fullmatch(line):
            found[add[1]] += int(add[2])
        elif put := _SET.fullmatch(line):
            found[put[1]] = script["params"][put[2]]
        else:
            raise NotModelledError(f"script: {line}")
    return found


def _learn(index: Index, source: Mapping[str, Any]) -> None:
    """Dynamic mapping, at the top level: enough to see that an index made itself."""
    mappings = index.mappings
    if mappings.get("dynamic") in (False, "false"):
        return
    properties = mappings.get("properties", {})
    if properties.keys() >= source.keys():
        return
    properties = dict(properties)
    index.mappings = {**mappings, "properties": properties}
    for name, value in source.items():
        if name in properties or value is None:
            continue
        first = value[0] if isinstance(value, list) and value else value
        kind = {str: "text", bool: "boolean", int: "long", float: "float"}.get(type(first))
        properties[name] = {"properties": {}} if kind is None else {"type": kind}


def _result(index: Index, doc: Doc, result: str, status: int) -> dict[str, Any]:
    return {
        "_index": index.name, "_id": doc.doc_id, "_version": doc.version, "result": result,
        "_shards": {"total": 1, "successful": 1, "failed": 0}, "_seq_no": doc.seq_no,
        "_primary_term": doc.term, "status": status,
    }  # fmt: skip


def _failed(name: str, doc_id: str, error: RefusedError) -> dict[str, Any]:
    return {"_index": name, "_id": doc_id, "status": error.status, "error": error.error()}
