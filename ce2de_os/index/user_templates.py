"""Find what the user's own index templates would add to an index with a given name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendError, BackendUnavailableError, IndexSchemaError
from ce2de_os.index.client import backend_errors


@dataclass(frozen=True)
class Additions:
    """The additions of templates.

    Attributes:
        templates: their names; empty: none matches, or they may not be read.
        data_stream: whether only data streams may be created under the name.
        aliases: names of aliases that the index would join.
        settings: ``index`` settings, flat and without ``index.``.
        fields: the top-level fields of its mapping.
        priority: of the template that wins; -1: there is none.
    """

    templates: tuple[str, ...] = ()
    data_stream: bool = False
    aliases: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    priority: int = -1


def additions(client: OpenSearch, name: str) -> Additions:
    """Ask which templates match a name, and what they add; nothing without the privilege to ask.

    Raises:
        BackendUnavailableError: OpenSearch does not answer.
    """
    try:
        return _composable(client, name) or _legacy(client, name)
    except BackendUnavailableError:
        raise
    except BackendError:
        return Additions()


def _composable(client: OpenSearch, name: str) -> Additions | None:
    with backend_errors("read the index templates"):
        answer = client.indices.get_index_template()
    matching = [entry for entry in answer["index_templates"] if _matches(entry["index_template"], name)]
    if not matching:
        return None
    winner = max(matching, key=_priority)
    with backend_errors("read what index templates add"):
        found = client.transport.perform_request("POST", f"/_index_template/_simulate_index/{name}")
    return _added(
        found.get("template", {}),
        templates=(str(winner["name"]),),
        data_stream="data_stream" in winner["index_template"],
        priority=_priority(winner),
    )


def _legacy(client: OpenSearch, name: str) -> Additions:
    try:
        with backend_errors("read the legacy index templates"):
            answer = client.indices.get_template()
    except IndexSchemaError:  # a cluster without them
        return Additions()
    matching = sorted(
        ((key, body) for key, body in answer.items() if _matches(body, name)),
        key=lambda entry: int(entry[1].get("order", 0)),
    )
    merged: dict[str, Any] = {"aliases": {}, "settings": {}, "mappings": {"properties": {}}}
    for _, body in matching:
        merged["aliases"] |= body.get("aliases", {})
        merged["settings"] |= dict(_flat(body.get("settings", {})))
        merged["mappings"]["properties"] |= body.get("mappings", {}).get("properties", {})
    return _added(merged, templates=tuple(key for key, _ in matching))


def _added(template: Mapping[str, Any], **found: Any) -> Additions:  # noqa: ANN401 - fields of Additions
    settings = {key.removeprefix("index."): value for key, value in _flat(template.get("settings", {}))}
    return Additions(
        aliases=tuple(sorted(template.get("aliases", {}))),
        settings=settings,
        fields=tuple(sorted(template.get("mappings", {}).get("properties", {}))),
        **found,
    )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _matches(template: Mapping[str, Any], name: str) -> bool:
    patterns = template.get("index_patterns", [])
    patterns = [patterns] if isinstance(patterns, str) else patterns
    return any(re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) for pattern in patterns)


def _priority(entry: Mapping[str, Any]) -> int:
    return int(entry["index_template"].get("priority", 0))
