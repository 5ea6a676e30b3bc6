"""Move an alias: exactly the replaced indices leave, every other member stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.index.client import backend_errors

Definitions = Mapping[str, Mapping[str, Any]]
"""Definition of each index in an alias: filter, routing, ``is_write_index``, ``is_hidden``."""

_KNOWN = ("filter", "index_routing", "search_routing", "is_write_index", "is_hidden")


def moved(
    alias: str, leaving: Iterable[str], joining: Definitions, guards: Iterable[tuple[str, str]] = ()
) -> list[dict[str, Any]]:
    """Return the actions of one ``_aliases`` request.

    Args:
        alias: what moves.
        leaving: the indices that leave it; each must be a member, or the whole request is rejected.
        joining: the indices that join it, or change how they are in it.
        guards: ``(index, guard)`` to remove in the same moment.
    """
    actions: list[dict[str, Any]] = [
        {"remove": {"index": name, "alias": alias, "must_exist": True}} for name in leaving
    ]
    actions += [
        {"add": {"index": name, "alias": alias, **as_action(definition)}}
        for name, definition in joining.items()
    ]
    return actions + [{"remove": {"index": name, "alias": guard}} for name, guard in guards]


def as_action(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a definition from the form that OpenSearch returns to the form that it accepts."""
    return {key: definition[key] for key in _KNOWN if key in definition}


def update(client: OpenSearch, actions: list[dict[str, Any]], what: str) -> None:
    """Send the actions in one atomic request; ``what`` begins the message of an error.

    Raises:
        IndexSchemaError: an index is gone, or is no member of the alias any more; nothing has changed.
        BackendError: OpenSearch rejects the request or does not answer.
    """
    with backend_errors(what):
        client.indices.update_aliases(body={"actions": actions})


def definitions(client: OpenSearch, alias: str) -> dict[str, dict[str, Any]]:
    """Read the definition of each index in an alias; empty if there is no such alias."""
    with backend_errors(f"look up alias '{alias}'"):
        # GET _alias/NAME would need the privilege to see every index of the cluster.
        answer = client.indices.get(
            index=alias, params={"ignore": [404], "expand_wildcards": "open,closed,hidden"}
        )
    return {
        name: body["aliases"][alias]
        for name, body in answer.items()
        if isinstance(body, dict) and alias in body.get("aliases", {})
    }


def exists(client: OpenSearch, alias: str) -> bool:
    """Return whether there is an alias of this name."""
    return bool(definitions(client, alias))
