"""Connectors and remote models: one each for documents, for questions and, where wanted, for re-ranking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.connect.request import DOCUMENTS, QUERIES, RERANK, resource_name
from ce2de_os.connect.steps import SECRET, Step
from ce2de_os.index.client import backend_errors

ML = "/_plugins/_ml"
MODEL = "_model"

BATCH = 50
"""Texts of one request; more were hardly faster."""

_CLIENT = {
    # Few connections, because OpenSearch sends all batches of a bulk request at once: with its default of 30
    # some waited for a connection until they failed, and their documents were lost.
    DOCUMENTS: {"max_connection": 4, "max_retry_times": 5, "retry_timeout_seconds": 30},
    QUERIES: {"max_connection": 30, "max_retry_times": 2, "retry_timeout_seconds": 5},
    RERANK: {"max_connection": 30, "max_retry_times": 2, "retry_timeout_seconds": 5},
}
_INPUT_TYPES = {DOCUMENTS: "document", QUERIES: "query"}
_STATES_THAT_RUN = ("DEPLOYED", "PARTIALLY_DEPLOYED")


@dataclass(frozen=True)
class Present:
    """What the cluster has of one kind; ``None``: nothing."""

    connector_id: str | None
    connector: Mapping[str, Any] | None
    model_id: str | None
    state: str | None


def source(name: str) -> str:
    """Return the text of a script of this package."""
    return (Path(__file__).parent / f"{name}.painless").read_text(encoding="utf-8")


def connector(name: str, kind: str, service: str, model: str, key: bool) -> dict[str, Any]:
    """Return the body of a connector."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = "Bearer ${credential.key}"
    parameters = {"endpoint": service, "model": model}
    action: dict[str, Any] = {"action_type": "predict", "method": "POST", "headers": headers}
    if kind == RERANK:
        action |= {
            "url": "${parameters.endpoint}/v1/rerank",
            "request_body": '{"documents": ${parameters.documents}, "query": "${parameters.query}", '
            '"model": "${parameters.model}", "top_n": ${parameters.top_n}}',
            "pre_process_function": "connector.pre_process.cohere.rerank",
            "post_process_function": "connector.post_process.cohere.rerank",
        }
    else:
        # Without the step size each text would be a request of its own.
        parameters |= {"input_type": _INPUT_TYPES[kind], "input_docs_processed_step_size": str(BATCH)}
        action |= {
            "url": "${parameters.endpoint}/v1/embeddings",
            "request_body": '{"input": ${parameters.input}, "model": "${parameters.model}", '
            '"input_type": "${parameters.input_type}"}',
            "pre_process_function": source("pre_process"),
            "post_process_function": "connector.post_process.openai.embedding",
        }
    return {
        "name": resource_name(name, kind),
        "description": f"ce2de serve for '{name}': {kind}",
        "version": "1",
        "protocol": "http",
        "credential": {"key": SECRET if key else "none"},  # OpenSearch wants one in any case
        "parameters": parameters,
        "client_config": _CLIENT[kind],
        "actions": [action],
    }


def present(client: OpenSearch, name: str, kind: str) -> Present:
    """Look for the connector and the model of an alias by their name.

    Raises:
        BackendError: OpenSearch does not answer or refuses.
    """
    wanted = resource_name(name, kind)
    connectors = _search(client, "connectors", wanted)
    connector_id = next(iter(connectors), None)
    models = _search(client, "models", wanted)
    model_id = next((key for key, one in models.items() if one.get("connector_id") == connector_id), None)
    found = None
    if connector_id is not None:
        with backend_errors(f"read connector '{wanted}'"):
            found = client.transport.perform_request("GET", f"{ML}/connectors/{connector_id}")
    state = models[model_id].get("model_state") if model_id else None
    return Present(connector_id, found, model_id, state)


def same(found: Any, wanted: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Return whether everything that is wanted is there; other keys, and the secret, do not count."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            same(found.get(key), value) for key, value in wanted.items() if key != "credential"
        )
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(same, found, wanted))
    return str(found).lower() == str(wanted).lower()


def setting_up(kind: str, body: Mapping[str, Any], there: Present, changed: bool) -> list[Step]:
    """Return the steps after which a model is deployed; ``changed``: its connector is written again."""
    name = body["name"]
    steps: list[Step] = []
    if there.model_id and changed and there.state in _STATES_THAT_RUN:
        path = f"{ML}/models/{there.model_id}/_undeploy"
        steps.append(Step(f"stop model '{name}' to change its connector", "POST", path))
    if there.connector_id is None:
        gives = (f"{kind}_connector", "connector_id")
        steps.append(Step(f"create connector '{name}'", "POST", f"{ML}/connectors/_create", body, gives))
    elif changed:
        path = f"{ML}/connectors/{there.connector_id}"
        steps.append(Step(f"change connector '{name}'", "PUT", path, body))
    if there.model_id is None:
        registered = {
            "name": name,
            "function_name": "remote",
            "description": body["description"],
            "connector_id": there.connector_id or f"<{kind}_connector>",
        }
        gives = (f"{kind}{MODEL}", "model_id")
        steps.append(Step(f"register model '{name}'", "POST", f"{ML}/models/_register", registered, gives))
    if there.model_id is None or changed or there.state not in _STATES_THAT_RUN:
        path = f"{ML}/models/{model_of(kind, there)}"
        steps.append(Step(f"deploy model '{name}'", "POST", f"{path}/_deploy"))
        steps.append(Step(f"wait for model '{name}'", "GET", path, until=("model_state", "DEPLOYED")))
    return steps


def model_of(kind: str, there: Present) -> str:
    """Return the model's id, or the name of what a step gives."""
    return there.model_id or f"<{kind}{MODEL}>"


def tearing_down(client: OpenSearch, name: str, kind: str) -> list[Step]:
    """Return the steps that remove connector, model and the model's group."""
    wanted = resource_name(name, kind)
    steps = []
    groups = set()
    for model_id, found in _search(client, "models", wanted).items():
        path = f"{ML}/models/{model_id}"
        groups.add(found.get("model_group_id"))
        if found.get("model_state") in _STATES_THAT_RUN:
            steps.append(Step(f"stop model '{wanted}'", "POST", f"{path}/_undeploy"))
        steps.append(Step(f"delete model '{wanted}'", "DELETE", path, absent_ok=True))
    for connector_id in _search(client, "connectors", wanted):
        path = f"{ML}/connectors/{connector_id}"
        steps.append(Step(f"delete connector '{wanted}'", "DELETE", path, absent_ok=True))
    for group in sorted(filter(None, groups)):
        path = f"{ML}/model_groups/{group}"
        steps.append(Step(f"delete the group of model '{wanted}'", "DELETE", path, absent_ok=True))
    return steps


def _search(client: OpenSearch, what: str, name: str) -> dict[str, dict[str, Any]]:
    body = {"query": {"term": {"name.keyword": name}}, "size": 100}
    with backend_errors(f"look up {what} '{name}'"):
        answer = client.transport.perform_request(
            "POST", f"{ML}/{what}/_search", params={"ignore": [404]}, body=body
        )
    return {hit["_id"]: hit["_source"] for hit in answer.get("hits", {}).get("hits", [])}
