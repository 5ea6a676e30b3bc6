"""The turn: a hidden alias of a target, numbered, that says which request may move the job's alias next.

A request that moves the alias takes the present number away and adds the next one; without that number
OpenSearch refuses it as a whole. `take_turn` does the same without moving anything: afterwards no earlier
request can act any more, however late it is carried out, and where the alias is then is where it stays.
Reading alone is not enough: a request may be executed a minute after its sender gave up or was suspended.
"""

from __future__ import annotations

from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import IndexSchemaError, JobError
from ce2de_os.index import aliases
from ce2de_os.index.admin import patiently
from ce2de_os.index.client import backend_errors
from ce2de_os.index.guard import turn_name, turn_number

_TRIES = 20


def take_turn(client: OpenSearch, target: str) -> str:
    """Block every earlier request to move the alias; return the turn that a request needs from now on.

    Raises:
        IndexSchemaError: the target is gone.
        JobError: other commands took it repeatedly.
    """
    for _ in range(_TRIES):
        present = patiently(lambda: _present(client, target))
        try:
            patiently(lambda: aliases.update(client, _taken(target, present), f"take turns at '{target}'"))  # noqa: B023
        except IndexSchemaError:
            continue  # another was faster, or it was this one and its answer was lost; or the target is gone
        return turn_name(target, 0 if present is None else present + 1)
    raise JobError(f"the aliases of '{target}' are being changed by another command all the time; try again")


def handed_over(target: str, turn: str | None) -> list[dict[str, Any]]:
    """Return the actions that a request needs to move the alias; empty for a record of an older version."""
    return [] if turn is None else _taken(target, turn_number(target, turn))


def _taken(target: str, present: int | None) -> list[dict[str, Any]]:
    following = turn_name(target, 0 if present is None else present + 1)
    add = {"add": {"index": target, "alias": following, "is_hidden": True}}
    if present is None:
        return [add]
    return [{"remove": {"index": target, "alias": turn_name(target, present), "must_exist": True}}, add]


def _present(client: OpenSearch, target: str) -> int | None:
    with backend_errors(f"look up the aliases of '{target}'"):
        answer = client.indices.get(index=target)
    numbers = (turn_number(target, alias) for alias in answer[target].get("aliases", {}))
    return max((number for number in numbers if number is not None), default=None)
