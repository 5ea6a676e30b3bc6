"""Steps: requests that change the cluster, carried out one after the other or shown as curl."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.connect.refusals import explained
from ce2de_os.errors import ConfigError
from ce2de_os.index.client import backend_errors

SECRET = "ce2de-service-key"  # noqa: S105 - takes the key's place until the request is sent

_LOOK_S, _PATIENCE_S = 0.2, 120.0
_REFERENCE = re.compile(r"<(\w+)>")


@dataclass(frozen=True)
class Step:
    """One request.

    Attributes:
        why: what it does, in a few words.
        body: JSON; ``<name>`` in it, or in the path, is what an earlier step gave. ``None``: no body.
        gives: name of a value of the answer and its key: ``("documents_model", "model_id")``; ``None``:
            nothing of the answer is needed.
        until: key and value that the answer must have; the request is repeated until then. ``None``: at once.
        absent_ok: whether 404 is as good.
    """

    why: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    gives: tuple[str, str] | None = None
    until: tuple[str, str] | None = None
    absent_ok: bool = False


def run(
    client: OpenSearch,
    steps: Iterable[Step],
    key: str | None = None,
    given: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Carry out steps in their order; returns what they gave, by name.

    ``given`` is what earlier steps gave; ``None``: there were none.

    Raises:
        ConfigError: OpenSearch refuses; the message says what to change.
        BackendError: OpenSearch does not answer, or rejects a request for another reason.
    """
    given = dict(given or {})
    for step in steps:
        answer = _sent(client, step, given, key)
        if step.gives is not None:
            name, wanted = step.gives
            given[name] = str(answer[wanted])
    return given


def as_curl(steps: Iterable[Step], url: str, username: str | None) -> list[str]:
    """Return a shell script that does the same; the keys are in ``$SERVICE_KEY`` and ``$PASSWORD``."""
    user = f' -u {shlex.quote(username)}:"$PASSWORD"' if username else ""
    return [line for step in steps for line in _curl(step, url, user)]


def _sent(client: OpenSearch, step: Step, given: Mapping[str, str], key: str | None) -> Any:  # noqa: ANN401
    text = None if step.body is None else _filled(json.dumps(step.body), given)
    body = None if text is None else _with_key(json.loads(text), key)
    path = _filled(step.path, given)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        with explained(step.why), backend_errors(step.why):
            params = {"ignore": [404]} if step.absent_ok else {}
            answer = client.transport.perform_request(step.method, path, params=params, body=body)
        if step.until is None or str(answer.get(step.until[0])) == step.until[1]:
            return answer
        if time.monotonic() > deadline:
            name, value = step.until
            raise ConfigError(
                f"{step.why}: {name} is {answer.get(name)} after {_PATIENCE_S:.0f} s, expected {value}; look "
                f"at GET {path} and at the log of the nodes, then repeat the command"
            )
        time.sleep(_LOOK_S)


def _filled(text: str, given: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda found: given.get(found[1], found[0]), text)


def _with_key(node: Any, key: str | None) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(node, dict):
        return {name: _with_key(value, key) for name, value in node.items()}
    return key if node == SECRET and key is not None else node


def _curl(step: Step, url: str, user: str) -> Iterable[str]:
    yield f"# {step.why}"
    request = f"curl -fsS{user} -X {step.method} {_shell(f'{url}{step.path}')}"
    if step.body is not None:
        body = _shell(json.dumps(step.body, ensure_ascii=False))
        request += f" -H 'Content-Type: application/json' -d {body}"
    if step.gives is not None:
        name, wanted = step.gives
        request = f"{name}=$({request} | jq -r .{wanted})"
    if step.until is not None:
        name, value = step.until
        request = f'until [ "$({request} | jq -r .{name})" = {value} ]; do sleep 1; done'
    yield request


def _shell(text: str) -> str:
    """Quote for a shell; references become variables."""
    quoted = shlex.quote(text)
    if quoted == text and _REFERENCE.search(text):
        quoted = f"'{text}'"
    quoted = _REFERENCE.sub(lambda found: f"'\"${found[1]}\"'", quoted)
    return quoted.replace(SECRET, "'\"$SERVICE_KEY\"'")
