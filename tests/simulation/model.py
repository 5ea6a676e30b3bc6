"""A small OpenSearch in memory, behind opensearch-py's own client.

Only the transport is replaced: what the client makes of a call (method, path, parameters, body) is answered here by
the rules of a real server, which `tests/integration/test_model_is_true.py` compares with one. What the model does
not know is an error of its own kind, never an empty answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.simulation.administration import Administration
from tests.simulation.indices import Names
from tests.simulation.parts import as_got, as_object, done, known, parsed
from tests.simulation.refusals import RefusedError
from tests.simulation.routes import route
from tests.simulation.searches import Searches
from tests.simulation.writes import Write, Writes

Answer = tuple[int, Any]
_WRITE_PARAMS = {
    "routing", "version", "version_type", "if_seq_no", "if_primary_term", "require_alias", "pipeline", "op_type",
    "refresh", "timeout", "wait_for_active_shards", "retry_on_conflict", "filter_path",
}  # fmt: skip
_NUMBERS = {"version", "if_seq_no", "if_primary_term", "retry_on_conflict"}


class Model:
    """A cluster of one node."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.names = Names(now)
        self.writes = Writes(self.names)
        self.searches = Searches(self.names)
        self.administration = Administration(self.names)
        self.blocked_at_s: dict[str, float] = {}

    def answer(self, method: str, path: str, params: Mapping[str, Any], body: Any) -> Answer:
        """Answer a request at once."""
        return self.prepared(method, path, params, body)()

    def prepared(self, method: str, path: str, params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        """Resolve a request's names now, and carry it out when the answer is called.

        Between the two lies what a coordinating node and a network take: an alias may move meanwhile.
        """
        handler, given = route(method, path)
        made: Callable[[], Answer] = getattr(self, handler)(given, params, body)
        return made

    def refresh_all(self) -> None:
        """Refresh what refreshes itself every second."""
        for index in self.names.indices.values():
            if index.settings.get("index.refresh_interval") != "-1":
                index.refresh()

    # Each of these gets its path's holes, parameters and body.

    def info(self, _given: list[str], _params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        version = {"number": "3.6.0", "distribution": "opensearch"}
        return lambda: (200, {"name": "node-1", "cluster_name": "simulated", "version": version})

    def cat_health(self, _given: list[str], _params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        return lambda: (200, [{"epoch": str(int(self.now())), "status": "green"}])

    def health(self, _given: list[str], _params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        found = self.names.find(_given[0] if _given else "*", hidden=True)
        shards = sum(len(index.shards) for index in found)
        return lambda: (
            200,
            {
                "status": "green", "timed_out": False, "number_of_data_nodes": 1, "active_shards": shards,
                "active_primary_shards": shards, "initializing_shards": 0, "unassigned_shards": 0,
                "relocating_shards": 0,
            },
        )  # fmt: skip

    def get_index(self, given: list[str], params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        known(
            params,
            {
                "flat_settings",
                "expand_wildcards",
                "allow_no_indices",
                "ignore_unavailable",
                "filter_path",
                "features",
                "include_defaults",
            },
        )
        return lambda: (200, self.administration.get(given[0], params))

    def head_index(self, given: list[str], params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        known(params, {"expand_wildcards", "allow_no_indices"})
        return lambda: (200 if self.administration.exists(given[0]) else 404, None)

    def put_index(self, given: list[str], params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        known(params, {"timeout", "wait_for_active_shards"})

        def create() -> Answer:
            self.names.create(given[0], parsed(body), "asked")
            return 200, {"acknowledged": True, "shards_acknowledged": True, "index": given[0]}

        return create

    def delete_index(self, given: list[str], params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        known(params, {"ignore_unavailable", "timeout"})

        def delete() -> Answer:
            self.administration.delete(given[0])
            return 200, {"acknowledged": True}

        return delete

    def put_settings(self, given: list[str], _params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        return lambda: (200, done(self.administration.put_settings(given[0], parsed(body))))

    def put_mapping(self, given: list[str], _params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        return lambda: (200, done(self.administration.put_mapping(given[0], parsed(body))))

    def get_part(self, given: list[str], params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        part = given[1].removeprefix("_").removesuffix("s") + "s"
        found = self.administration.get(given[0], params)
        return lambda: (200, {name: {part: body[part]} for name, body in found.items()})

    def mappings_in_state(
        self, given: list[str], params: Mapping[str, Any], _body: Any
    ) -> Callable[[], Answer]:
        known(params, {"filter_path"})
        found = self.administration.get(given[0], {})
        mapped = {name: {"mappings": {"_doc": body["mappings"]}} for name, body in found.items()}
        return lambda: (200, {"metadata": {"indices": mapped}})

    def add_block(self, given: list[str], _params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        def block() -> Answer:
            self.blocked_at_s |= {index.name: self.now() for index in self.names.find(given[0])}
            return 200, self.administration.block(given[0], given[1])

        return block

    def rollover(self, given: list[str], _params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        return lambda: (200, self.administration.rollover(given[0]))

    def stats(self, given: list[str], params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        return lambda: (200, self.administration.stats(given[0], params))

    def refresh(self, given: list[str], _params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        def refresh() -> Answer:
            for index in self.names.find(given[0] if given else "*", hidden=True):
                index.refresh()
            return 200, {"_shards": {"total": 1, "successful": 1, "failed": 0}}

        return refresh

    def flush(self, _given: list[str], _params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        return lambda: (200, {"_shards": {"total": 1, "successful": 1, "failed": 0}})

    def get_templates(self, given: list[str], _params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        return lambda: (200, self.administration.templates(given[0] if given else None))

    def put_template(self, given: list[str], _params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        return lambda: (200, done(self.administration.put_template(given[0], parsed(body))))

    def delete_template(
        self, given: list[str], _params: Mapping[str, Any], _body: Any
    ) -> Callable[[], Answer]:
        return lambda: (200, done(self.administration.delete_template(given[0])))

    def simulate_template(
        self, given: list[str], _params: Mapping[str, Any], _body: Any
    ) -> Callable[[], Answer]:
        return lambda: (200, self.administration.simulated(given[0]))

    def legacy_templates(
        self, _given: list[str], _params: Mapping[str, Any], _body: Any
    ) -> Callable[[], Answer]:
        return lambda: (200, {})

    def no_security(self, _given: list[str], _params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        return lambda: (400, {"error": "no handler found for uri [/_plugins/_security/authinfo]"})

    def get_pipeline(self, _given: list[str], _params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        return lambda: (404, {})

    def update_aliases(
        self, _given: list[str], _params: Mapping[str, Any], body: Any
    ) -> Callable[[], Answer]:
        return lambda: (200, done(self.administration.update_aliases(parsed(body)["actions"])))

    def get_alias(self, given: list[str], params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        known(params, {"expand_wildcards", "allow_no_indices", "ignore_unavailable"})
        index, name = (given + [None, None])[:2] if len(given) != 1 else (None, given[0])  # type: ignore[operator,list-item]
        return lambda: (200, self.administration.aliases(index, name))

    def index_alias(self, given: list[str], params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        return self.get_alias([given[0], "*"], params, body)

    def head_alias(self, given: list[str], params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        def look() -> Answer:
            try:
                return self.get_alias(given, params, body)()[0], None
            except RefusedError as error:
                return error.status, None

        return look

    def get(self, given: list[str], params: Mapping[str, Any], _body: Any) -> Callable[[], Answer]:
        known(
            params,
            {
                "routing",
                "_source",
                "_source_includes",
                "_source_excludes",
                "realtime",
                "refresh",
                "preference",
            },
        )

        def get() -> Answer:
            found = self._got(given[0], {"_id": given[1], **params})
            return (200 if found["found"] else 404), found

        return get

    def mget(self, given: list[str], params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        known(
            params, {"_source", "_source_includes", "_source_excludes", "realtime", "preference", "routing"}
        )
        asked = parsed(body)
        docs = asked.get("docs") or [{"_id": doc_id} for doc_id in asked.get("ids", ())]

        def mget() -> Answer:
            found = []
            for one in docs:
                try:
                    found.append(self._got(one.get("_index") or given[0], {**params, **one}))
                except RefusedError as error:
                    found.append({"_index": given[0], "_id": one["_id"], "error": error.error()})
            return 200, {"docs": found}

        return mget

    def write(self, given: list[str], params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        known(params, _WRITE_PARAMS)
        write = self._resolved(given, params, body)

        def apply() -> Answer:
            found = dict(self.writes.apply(write))
            self._refreshed(params, write.index.name)
            return found.pop("status"), found

        return apply

    def begun(
        self, method: str, path: str, body: Any, done: Callable[[dict[str, Any]], None]
    ) -> Callable[[], None]:
        """Give a write of one document its sequence number; it is indexed when the result is called, or before."""
        _, given = route(method, path)
        return self.writes.begin(self._resolved(given, {}, body), done)

    def _resolved(self, given: list[str], params: Mapping[str, Any], body: Any) -> Write:
        verb = {"_create": "create", "_update": "update", "DELETE": "delete"}.get(given[1], "index")
        header = {
            key: params[key]
            for key in params
            if key not in ("refresh", "timeout", "filter_path", "wait_for_active_shards")
        }
        header |= {key: int(header[key]) for key in _NUMBERS & set(header)}
        header["require_alias"] = str(header.get("require_alias", "")).lower() == "true"
        if len(given) > 2:
            header["_id"] = given[2]
        return self.writes.resolve(given[0], verb, header, None if verb == "delete" else as_object(body))

    def bulk(self, given: list[str], params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        known(params, _WRITE_PARAMS)
        parsed = self.writes.parse(given[0] if given else None, body, params)

        def apply() -> Answer:
            found = self.writes.bulk(parsed)
            for write in parsed:
                if hasattr(write, "index"):
                    self._refreshed(params, getattr(write.index, "name", ""))
            return 200, found

        return apply

    def search(self, given: list[str], params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        return lambda: (200, self.searches.search(given[0] if given else "*", parsed(body), params))

    def msearch(self, given: list[str], params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        lines = [
            json.loads(line)
            for line in (body if isinstance(body, str) else body.decode()).split("\n")
            if line
        ]
        pairs = list(zip(lines[::2], lines[1::2], strict=True))
        common = {key: value for key, value in params.items() if key != "max_concurrent_searches"}

        def answer(header: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
            more = {key: value for key, value in header.items() if key != "index"}
            try:
                found = self.searches.search(header.get("index") or given[0], asked, {**common, **more})
            except RefusedError as error:
                return error.body()
            return {**found, "status": 200}

        return lambda: (200, {"took": 1, "responses": [answer(*pair) for pair in pairs]})

    def scroll(self, _given: list[str], _params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        return lambda: (200, self.searches.scroll(parsed(body)["scroll_id"]))

    def clear_scroll(self, _given: list[str], _params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        return lambda: (200, done(self.searches.clear(parsed(body)["scroll_id"])))

    def count(self, given: list[str], params: Mapping[str, Any], body: Any) -> Callable[[], Answer]:
        known(params, {"preference", "expand_wildcards", "ignore_unavailable", "allow_no_indices", "routing"})
        return lambda: (200, self.searches.count(given[0] if given else "*", parsed(body), params))

    def _got(self, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        found = self.names.find(name)
        if len(found) != 1:
            raise RefusedError(
                400,
                "illegal_argument_exception",
                f"alias [{name}] has more than one index associated with it",
            )
        index = found[0]
        routing = asked.get("routing") or index.aliases.get(name, {}).get("search_routing")
        doc = index.shard_of(str(asked["_id"]), routing).live(str(asked["_id"]))
        if doc is None:
            return {"_index": index.name, "_id": str(asked["_id"]), "found": False}
        return as_got(index.name, doc, asked)

    def _refreshed(self, params: Mapping[str, Any], name: str) -> None:
        if (
            str(params.get("refresh", "false")).lower() in ("true", "wait_for", "")
            and name in self.names.indices
        ):
            self.names.indices[name].refresh()
