"""What each document of a copy says it was copied from, on a real OpenSearch."""

from __future__ import annotations

from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import ConfigError
from ce2de_os.index import admin
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex import operate
from ce2de_os.reindex.compare import compare
from ce2de_os.reindex.job import DONE, Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.syncing.retry import retry
from tests.integration.indexes import TEXT_MAPPING, HashEncoder, InlineQueue, articles, create_index

FIELD = "ce2de_vector_origin"


def copied(client: OpenSearch, source: str, encoder: Any = None, **request: Any) -> Job:
    """Copy an index; the job is held, so nothing goes on afterwards."""
    queue, encoder = InlineQueue(), encoder or HashEncoder()
    wanted = {"alias": f"{source}-search", "hold": True, **request}
    job = start(client, JobRequest(source, TextSpec(("title", "body")), **wanted), encoder, queue)
    queue.run(client, encoder)
    job = Ledger(client).job(job.job_id).job
    assert job.error is None
    return job


def differing(client: OpenSearch, job: Job) -> int:
    return compare(client, job.parts[0], job.vector.origin_field).differing


def test_a_copy_names_shard_and_operation_of_each_document(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(40), number_of_shards=2)
    job = copied(client, index_name)
    found = {
        (client.get(index=job.target, id=str(number))["_source"][FIELD]["seq_no"])
        == client.get(index=index_name, id=str(number))["_seq_no"]
        for number in range(40)
    }
    assert found == {True}
    assert differing(client, job) == 0


def test_a_strict_mapping_takes_it(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(5), {**TEXT_MAPPING, "dynamic": "strict"})
    job = copied(client, index_name)
    assert admin.count(client, job.target) == 5
    assert differing(client, job) == 0


def test_a_source_that_leaves_fields_out_of_its_source(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(5), {**TEXT_MAPPING, "_source": {"excludes": ["secret*"]}})
    job = copied(client, index_name, accept_excluded_fields=True)
    assert differing(client, job) == 0


def test_a_copy_of_a_copy_says_what_it_was_copied_from_itself(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(20))
    first = copied(client, index_name)
    operate.cancel(client, first.job_id)
    client.delete(index=first.target, id="0", refresh=True)
    client.indices.delete(index=index_name)  # so that the copy stands for itself
    second = copied(client, first.target, HashEncoder("b" * 64), mode="copy", target=f"{index_name}-second")
    assert FIELD in second.parts[0].dropped
    assert differing(client, second) == 0
    copy = client.get(index=second.target, id="7")["_source"][FIELD]
    assert copy["seq_no"] == client.get(index=first.target, id="7")["_seq_no"]


def test_a_field_of_the_application_with_that_name_is_not_overwritten(
    client: OpenSearch, index_name: str
) -> None:
    own = {"properties": {**TEXT_MAPPING["properties"], FIELD: {"type": "keyword"}}}
    create_index(client, index_name, articles(2), own)
    with pytest.raises(ConfigError, match=f"has a field '{FIELD}' of its own"):
        copied(client, index_name)


def test_a_retried_document_says_it_too(client: OpenSearch, index_name: str) -> None:
    mappings = {"properties": {**TEXT_MAPPING["properties"], "notes": {"type": "nested"}}}
    create_index(client, index_name, articles(9), mappings, number_of_shards=3)
    job = copied(client, index_name)
    client.indices.put_settings(index=job.target, body={"index.mapping.nested_objects.limit": 1})
    client.index(index=index_name, id="4", body={"title": "two", "notes": [{"n": 1}, {"n": 2}]})
    with pytest.raises(Exception, match="rejected"):
        operate.cutover(client, HashEncoder(), job.job_id, "operator")
    client.indices.put_settings(index=job.target, body={"index.mapping.nested_objects.limit": None})
    assert retry(client, HashEncoder(), job.job_id).written == 1
    assert differing(client, job) == 0
    assert operate.cutover(client, HashEncoder(), job.job_id, "operator").state == DONE
