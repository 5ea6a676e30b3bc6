"""What a target is created with on a real OpenSearch, and what the user's own index templates do to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex.job import DONE, READY, Job
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.start import start
from ce2de_os.reindex.status import status
from tests.integration.indexes import (
    HashEncoder,
    InlineQueue,
    all_documents,
    articles,
    assert_same_documents,
    create_index,
)

ENCODER = HashEncoder()
FIELDS = TextSpec(("title", "body"))


def reindex(client: OpenSearch, source: str, **request: Any) -> Job:
    queue = InlineQueue()
    options = {"alias": f"{source}-search", "follow": False, "accept_unreplicated": True, **request}
    job = start(client, JobRequest(source, FIELDS, **options), ENCODER, queue)
    queue.run(client, ENCODER)
    found = status(client, job.job_id).job
    assert found.state in (DONE, READY), found.error
    return found


def settings_of(client: OpenSearch, index: str) -> dict[str, Any]:
    found: dict[str, Any] = client.indices.get_settings(index=index, flat_settings="true")[index]["settings"]
    return found


@pytest.fixture
def counting(client: OpenSearch, index_name: str) -> Iterator[str]:
    """A pipeline that counts how often it ran on a document."""
    name = f"{index_name}-counting"
    script = "ctx.n = (ctx.containsKey('n') ? ctx.n : 0) + 1"
    client.ingest.put_pipeline(id=name, body={"processors": [{"script": {"source": script}}]})
    yield name
    for index in client.indices.get(index=f"{index_name}*", expand_wildcards="all"):
        client.indices.delete(index=index)
    client.ingest.delete_pipeline(id=name)


def test_a_source_that_waits_for_two_copies_and_allows_few_hits_is_copied(
    client: OpenSearch, index_name: str
) -> None:
    settings = {"max_result_window": 50, "number_of_replicas": 1, "translog.durability": "async"}
    create_index(client, index_name, articles(300), **settings)
    client.indices.put_settings(index=index_name, body={"index.write.wait_for_active_shards": "2"})
    job = reindex(client, index_name, hold=True)
    client.indices.put_settings(index=index_name, body={"index.max_result_window": None})
    assert_same_documents(client, index_name, job.target, ENCODER)
    found = settings_of(client, job.target)
    assert found["index.write.wait_for_active_shards"] == "2"  # back after the load
    assert found["index.translog.durability"] == "async"
    assert found["index.number_of_replicas"] == "1"


def test_a_mapping_that_is_full_has_room_for_the_vectors(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(20), **{"mapping.total_fields.limit": 2})
    job = reindex(client, index_name)
    assert int(settings_of(client, job.target)["index.mapping.total_fields.limit"]) > 2
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_a_final_pipeline_runs_once_on_each_document_also_on_late_writes(
    client: OpenSearch, index_name: str, counting: str
) -> None:
    create_index(client, index_name, articles(5), final_pipeline=counting)
    job = reindex(client, index_name, hold=True)
    client.index(index=index_name, id="late", body={"title": "late", "body": "late"}, refresh=True)
    again = reindex(client, index_name, hold=True)
    assert again.job_id == job.job_id
    assert {document["n"] for document in all_documents(client, job.target).values()} == {1}
    assert "late" in all_documents(client, job.target)
    assert settings_of(client, job.target)["index.final_pipeline"] == "_none"
