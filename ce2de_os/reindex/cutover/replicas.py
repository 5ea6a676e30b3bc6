"""Wait for the replicas of the targets: the loss of a node must cost no more than at the source."""

from __future__ import annotations

import time
from collections.abc import Callable

from opensearchpy import OpenSearch

from ce2de_os.errors import JobError
from ce2de_os.index.admin import patiently
from ce2de_os.index.client import backend_errors
from ce2de_os.reindex.job import Job

PATIENCE_S = 1800.0
"""Longest time in seconds to copy replicas to other nodes."""

_LOOK_S = 1.0


def wait_for_replicas(client: OpenSearch, job: Job, keep: Callable[[], None]) -> None:
    """Wait until each target has as many active copies of its shards as it should have, or as its source has.

    A cluster of one node cannot place replicas, for the source neither. ``keep`` is called each second, to
    renew a lease.

    Raises:
        JobError: they are not there after half an hour.
    """
    for part in job.parts:
        deadline = time.monotonic() + PATIENCE_S
        while (found := _copies(client, part.target)) < (wanted := _wanted(client, part.target, part.source)):
            if time.monotonic() > deadline:
                raise JobError(
                    f"'{part.target}' has {found:g} active copies of its shards, {wanted:g} were expected; "
                    "see "
                    "GET _cluster/allocation/explain, or move the alias anyway with `accept_unreplicated`"
                )
            time.sleep(_LOOK_S)
            keep()


def _wanted(client: OpenSearch, target: str, source: str) -> float:
    health = _health(client, target)
    shards = max(1, int(health["active_primary_shards"]))
    planned = (int(health["active_shards"]) + int(health["unassigned_shards"])) / shards
    planned += (int(health["initializing_shards"])) / shards
    return min(planned, _copies(client, source))


def _copies(client: OpenSearch, index: str) -> float:
    """Return the active copies of a shard, on average."""
    health = _health(client, index)
    return int(health["active_shards"]) / max(1, int(health["active_primary_shards"]))


def _health(client: OpenSearch, index: str) -> dict[str, int]:
    def ask() -> dict[str, int]:
        with backend_errors(f"read the health of '{index}'"):
            answer: dict[str, int] = client.cluster.health(index=index)
        return answer

    return patiently(ask)
