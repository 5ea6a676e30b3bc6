"""The simulation's model of OpenSearch answers as a real server does."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qsl

import pytest
from opensearchpy import OpenSearch
from opensearchpy.exceptions import TransportError

from tests.simulation.model import Model
from tests.simulation.refusals import RefusedError
from tests.simulation.sequences import SEQUENCES, Request
from tests.simulation.sequences_search import SEARCHES
from tests.simulation.transport import connected

ALL = SEQUENCES | SEARCHES
_NOT_COMPARED = {
    "took", "_shards", "timed_out", "max_score", "shards_acknowledged", "reason", "settings", "_score", "_clusters",
    "num_reduce_phases", "conditions", "dry_run", "acknowledged", "doc_count_error_upper_bound", "store", "fields",
    "dynamic_templates", "ignored", "terminated_early", "forced_refresh", "variance", "std_deviation",
    "std_deviation_bounds", "variance_population", "variance_sampling", "std_deviation_population",
    "std_deviation_sampling",
}  # fmt: skip


class _Clock:
    now_s = 1e9


@pytest.mark.parametrize("name", ALL)
def test_model_answers_as_the_server(name: str, client: OpenSearch, index_name: str) -> None:
    clock = _Clock()
    model = Model(lambda: clock.now_s)

    def answer(method: str, path: str, params: Any, body: Any) -> tuple[int, Any]:
        try:
            return model.answer(method, path, params, body)
        except RefusedError as error:
            return error.status, error.body()

    simulated = connected(answer)
    differences = []
    for request in ALL[name]:
        if request[0] == "wait":
            time.sleep(request[1])
            clock.now_s += request[1]
            continue
        real, model_s = _sent(client, request, index_name), _sent(simulated, request, index_name)
        if real != model_s:
            told = json.dumps(request[2:])[:200]
            differences.append(
                f"{request[0]} {request[1]} {told}\n  server: {_told(real)}\n  model:  {_told(model_s)}"
            )
    assert not differences, "\n".join(["", *differences])


def _sent(client: OpenSearch, request: Request, prefix: str) -> Any:
    """The answer to a request, or its error, without what differs from server to server."""
    method, address = request[0], request[1].replace("@", f"{prefix}-")
    path, _, query = address.partition("?")
    body = request[2] if len(request) > 2 else None
    if isinstance(body, list):
        body = "".join(f"{json.dumps(line)}\n" for line in body).replace("@", f"{prefix}-")
    elif body is not None:
        body = json.loads(json.dumps(body).replace("@", f"{prefix}-"))
    try:
        answer = client.transport.perform_request(method, path, params=dict(parse_qsl(query)), body=body)
    except TransportError as error:
        info = error.info if isinstance(error.info, dict) else {}
        told = info.get("error")
        kind = str(told["type"] if isinstance(told, dict) else told or "").replace(prefix, "")
        return error.status_code, kind or {key: info[key] for key in ("found", "result") if key in info}
    if "_stats" in path:
        return _statistics(answer)
    return _compared(json.loads(json.dumps(answer).replace(prefix, "")))


def _compared(node: Any) -> Any:
    if isinstance(node, list):
        return [_compared(one) for one in node]
    if not isinstance(node, dict):
        return node
    if "type" in node and "reason" in node:
        return {"type": node["type"]}
    return {key: _compared(value) for key, value in node.items() if key not in _NOT_COMPARED}


def _statistics(answer: Any) -> Any:
    found = {}
    for body in answer["indices"].values():
        for shard, copies in body.get("shards", {}).items():
            first = copies[0]
            found[shard] = (first["seq_no"], first["docs"]["count"], first["indexing"]["delete_total"])
            assert first["commit"]["user_data"]["history_uuid"]
    return found or answer["_all"]["primaries"]["indexing"]["delete_total"]


def _told(value: Any) -> str:
    return json.dumps(value)[:1500]
