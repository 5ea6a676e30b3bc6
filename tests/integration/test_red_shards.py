"""An index some of whose shards have no copy: everything that counts or copies says so, and waits."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from opensearchpy import OpenSearch
from opensearchpy.exceptions import TransportError

from ce2de_os.config import OpenSearchSettings
from ce2de_os.errors import BackendUnavailableError
from ce2de_os.index import admin
from ce2de_os.index.client import connect, entries_of
from ce2de_os.index.documents import field_texts
from ce2de_os.local.servers import LocalServers
from ce2de_os.quality.evaluate import existing
from ce2de_os.reindex.setup.visibility import _seen
from ce2de_os.reindex.slices.source import read_documents_by_id

NESTED = {"properties": {"body": {"type": "text"}, "parts": {"type": "nested"}}}


@pytest.fixture(scope="module")
def red(servers: LocalServers) -> Iterator[str]:
    """Three shards on a node that may have one of them, with documents in that one."""
    name = f"t-red-{uuid.uuid4().hex[:10]}"
    one = {"number_of_shards": 3, "number_of_replicas": 0, "routing.allocation.total_shards_per_node": 1}
    body = {"settings": one, "mappings": NESTED}
    endpoints = servers.endpoints() or servers.up()
    with connect(OpenSearchSettings(url=endpoints.opensearch_url)) as client:
        client.indices.create(index=name, body=body, params={"wait_for_active_shards": "0"})
        for number in range(12):
            with suppress(TransportError):  # of a shard without a copy
                client.transport.perform_request(
                    "PUT", f"/{name}/_doc/{number}?timeout=50ms&refresh=true", body={"body": "river"}
                )
        yield name
        client.indices.delete(index=name)


def test_opensearch_itself_calls_half_an_answer_whole(client: OpenSearch, red: str) -> None:
    """Why the product asks otherwise."""
    answer = client.count(index=red)
    assert 0 < answer["count"] < 12
    assert answer["_shards"] == {"total": 3, "successful": 1, "skipped": 0, "failed": 0}


ASKED: dict[str, Callable[[OpenSearch, str], Any]] = {
    "count": admin.count,
    "count of a query": lambda client, index: admin.count(client, index, {"match": {"body": "river"}}),
    "count with nested objects": lambda client, index: _seen(client, admin.describe(client, index)),
    "checkpoints": admin.checkpoints,
    "texts": lambda client, index: list(field_texts(client, index, ["body"])),
    "documents by id": lambda client, index: read_documents_by_id(client, index, ["1", "2"]),
    "ids": lambda client, index: existing(client, index, {"1", "2"}),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_asks_all_shards_waits_for_them(client: OpenSearch, red: str, name: str) -> None:
    with pytest.raises(BackendUnavailableError, match=red):
        ASKED[name](client, red)


def test_documents_by_id_are_not_taken_for_deleted(client: OpenSearch, red: str) -> None:
    docs = [{"_id": str(number)} for number in range(12)]
    answer = client.mget(index=red, body={"docs": docs})
    assert any("error" in entry for entry in answer["docs"])
    with pytest.raises(BackendUnavailableError, match="No shard available"):
        entries_of("look up", answer)
