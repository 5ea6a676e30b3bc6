"""Parts of requests and answers that several handlers of the model share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.simulation.refusals import NotModelledError
from tests.simulation.searches import source_of
from tests.simulation.shards import Doc


def as_got(name: str, doc: Doc, asked: Mapping[str, Any]) -> dict[str, Any]:
    wanted = asked.get("_source_includes") or asked.get("_source", True)
    if str(wanted).lower() in ("true", "false"):
        wanted = str(wanted).lower() == "true"
    found: dict[str, Any] = {
        "_index": name, "_id": doc.doc_id, "_version": doc.version, "_seq_no": doc.seq_no,
        "_primary_term": doc.term, "found": True,
    }  # fmt: skip
    if doc.routing is not None:
        found["_routing"] = doc.routing
    if wanted is not False:
        found["_source"] = source_of(doc, wanted)
    return found


def known(params: Mapping[str, Any], names: set[str]) -> None:
    if not params.keys() <= names:
        raise NotModelledError(f"parameters {sorted(params.keys() - names)}")


def parsed(body: Any) -> Any:
    if body is None or body == "":
        return {}
    if isinstance(body, (str, bytes)):
        return json.loads(body)
    return json.loads(json.dumps(body))


def as_object(body: Any) -> Any:
    """A document; the shard makes a copy of its own."""
    return json.loads(body) if isinstance(body, (str, bytes)) else body


def done(_nothing: None) -> dict[str, Any]:
    return {"acknowledged": True}
