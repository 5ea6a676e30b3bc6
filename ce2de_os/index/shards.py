"""The primaries of an index: the checkpoint of each, and the history of its sequence numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from opensearchpy import OpenSearch

from ce2de_os.index.client import backend_errors

_NAMES_CHARS = 3000  # OpenSearch accepts 4,096 characters in the first line of a request
_WANTED = ",".join(
    f"indices.*.{path}"
    for path in (
        "uuid",
        "shards.*.routing.primary",
        "shards.*.seq_no",
        "shards.*.commit.user_data.history_uuid",
    )
)


class Shard(NamedTuple):
    """A primary.

    Attributes:
        checkpoint: every operation up to this ``_seq_no`` is complete on all copies; -1: none yet.
        max_seq_no: the newest operation, which may not be on all copies yet.
        history: the history uuid: sequence numbers of another one mean other operations.
    """

    checkpoint: int
    max_seq_no: int
    history: str


class Primaries(NamedTuple):
    """An index's uuid, and those of its primaries that are there, by number."""

    uuid: str
    shards: Mapping[int, Shard]


def primaries(client: OpenSearch, name: str) -> Primaries:
    """Read the primaries of one index.

    Raises:
        IndexSchemaError: there is no such index, or it is closed.
    """
    found = primaries_of(client, [name])
    return found.get(name) or next(iter(found.values()), Primaries("", {}))


def primaries_of(client: OpenSearch, names: Sequence[str]) -> dict[str, Primaries]:
    """Read the primaries of several indices, by name; one request per 3,000 characters of names.

    Raises:
        IndexSchemaError: one of them is not there, or closed.
    """
    found: dict[str, Primaries] = {}
    for some in _requests(names):
        told = some if len(some) < 100 else f"{some[:100]}…"
        with backend_errors(f"read shard statistics of '{told}'"):
            params = {"level": "shards", "filter_path": _WANTED}
            answer = client.indices.stats(index=some, metric="docs", params=params)
        found |= {name: _primaries(body) for name, body in answer.get("indices", {}).items()}
    return found


def _requests(names: Sequence[str]) -> Iterator[str]:
    waiting: list[str] = []
    for name in names:
        if waiting and sum(map(len, waiting)) + len(waiting) + len(name) > _NAMES_CHARS:
            yield ",".join(waiting)
            waiting = []
        waiting.append(name)
    if waiting:
        yield ",".join(waiting)


def _primaries(body: Mapping[str, Any]) -> Primaries:
    return Primaries(
        str(body.get("uuid", "")),
        {
            int(number): _shard(copy)
            for number, copies in body.get("shards", {}).items()
            for copy in copies
            if copy["routing"]["primary"] and "seq_no" in copy
        },
    )


def _shard(copy: Mapping[str, Any]) -> Shard:
    numbers = copy["seq_no"]
    history = copy.get("commit", {}).get("user_data", {}).get("history_uuid", "")
    return Shard(int(numbers["global_checkpoint"]), int(numbers["max_seq_no"]), str(history))
