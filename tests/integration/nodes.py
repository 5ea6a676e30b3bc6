"""The nodes of a local cluster: a client for each, where the shards are, and waiting for a health."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest
from opensearchpy import OpenSearch

from ce2de_os.config import OpenSearchSettings
from ce2de_os.index.client import connect
from ce2de_os.local.opensearch_server import node_name
from ce2de_os.local.servers import LocalServers

PATIENCE_S = 90.0


class Nodes:
    """A cluster of ``servers``; closes its clients at the end."""

    def __init__(self, servers: LocalServers) -> None:
        self.servers = servers
        self._urls = dict(servers.up().node_urls)
        self._stack = ExitStack()
        self._clients: dict[int, OpenSearch] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def home(self) -> Path:
        return self.servers.home

    @property
    def numbers(self) -> list[int]:
        """The nodes that run now."""
        found = self.servers.endpoints()
        return list(found.node_urls) if found else []

    def url(self, number: int) -> str:
        return self._urls[number]

    def client(self, number: int) -> OpenSearch:
        """A client of node ``number`` alone."""
        if number not in self._clients:
            settings = OpenSearchSettings(url=self._urls[number])
            self._clients[number] = self._stack.enter_context(connect(settings))
        return self._clients[number]

    def any_client(self) -> OpenSearch:
        """A client of a node that runs."""
        return self.client(self.numbers[0])

    def another(self, *numbers: int) -> int:
        """A node that runs and is none of ``numbers``."""
        return next(number for number in self.numbers if number not in numbers)

    def copies(self, index: str) -> list[dict[str, Any]]:
        """The copies of an index's shards as ``_cat/shards`` shows them."""
        found: list[dict[str, Any]] = self.any_client().cat.shards(index=index, params={"format": "json"})
        return found

    def primary(self, index: str, shard: int = 0) -> int:
        """The node that holds a primary; waits while there is none."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for copy in self.copies(index):
                found = (copy["prirep"], int(copy["shard"]), copy["state"]) == ("p", shard, "STARTED")
                if found and self._number(copy["node"]) in self.numbers:
                    return self._number(copy["node"])
            time.sleep(0.1)
        pytest.fail(f"no primary of {index}[{shard}]: {self.copies(index)}")

    def move(self, index: str, shard: int, source: int, target: int) -> None:
        """Relocate one copy of a shard."""
        command = {
            "index": index,
            "shard": shard,
            "from_node": node_name(source),
            "to_node": node_name(target),
        }
        self.any_client().cluster.reroute(body={"commands": [{"move": command}]})

    def wait_for_health(self, status: str, index: str) -> None:
        params = {"wait_for_status": status, "wait_for_no_relocating_shards": "true", "timeout": "60s"}
        health = self.any_client().cluster.health(index=index, params=params, request_timeout=70)
        assert not health["timed_out"], health

    @staticmethod
    def _number(name: str) -> int:
        return int(name.split()[0].removeprefix("node-"))
