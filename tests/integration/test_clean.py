"""``ce2de reindex clean`` deletes only the very indices of its job, and none that is in use."""

from __future__ import annotations

from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import JobError
from ce2de_os.index import admin
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex import operate
from ce2de_os.reindex.following.adopt import adopt
from ce2de_os.reindex.job import DONE, READY, Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from tests.integration.indexes import HashEncoder, InlineQueue, all_documents, articles, create_index

ENCODER = HashEncoder()
OTHER = HashEncoder("b" * 64, name="other")
FIELDS = TextSpec(("title", "body"))


def run(client: OpenSearch, source: str, encoder: Any = ENCODER, **options: Any) -> Job:
    queue = InlineQueue()
    options = {"alias": f"{source}-app", "follow": False, **options}
    job = start(client, JobRequest(source, FIELDS, **options), encoder, queue)
    queue.run(client, encoder)
    return Ledger(client).job(job.job_id).job


def handed_over(client: OpenSearch, name: str, **options: Any) -> Job:
    create_index(client, name, articles(6))
    client.indices.put_alias(index=name, name=f"{name}-app")
    job = run(client, name, **options)
    assert job.state == DONE, job.error
    return job


def test_an_index_created_again_under_the_sources_name_is_neither_read_nor_deleted(
    client: OpenSearch, index_name: str
) -> None:
    job = handed_over(client, index_name)
    client.indices.delete(index=index_name)
    create_index(client, index_name, articles(1))
    assert run(client, index_name).job_id == job.job_id
    assert len(all_documents(client, f"{index_name}-app")) == 6, "nothing is taken for deleted"
    with pytest.raises(JobError, match=f"'{index_name}' was deleted and created again"):
        operate.clean(client, job.job_id, sources=True)
    assert len(all_documents(client, index_name)) == 1


def test_a_target_created_again_by_another_is_not_deleted(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(3))
    job = run(client, index_name, hold=True)
    assert job.state == READY, job.error
    client.indices.delete(index=job.target)
    create_index(client, job.target, articles(1))
    with pytest.raises(JobError, match="was deleted and created again since, so this job must not delete it"):
        operate.clean(client, job.job_id, targets=True)
    assert client.indices.exists(index=job.target)


def test_a_source_that_took_writes_after_the_handover_stays(client: OpenSearch, index_name: str) -> None:
    job = handed_over(client, index_name)
    admin.unblock_writes(client, index_name)
    client.index(index=index_name, id="late", body={"title": "written to the old index"}, refresh=True)
    with pytest.raises(JobError, match=f"{index_name} took 1 writes after the handover"):
        operate.clean(client, job.job_id, sources=True)
    assert "late" in all_documents(client, index_name)


def test_an_index_that_another_job_reads_or_writes_stays(client: OpenSearch, index_name: str) -> None:
    job = handed_over(client, index_name)
    second = run(client, job.target, OTHER, alias=f"{index_name}-second", target=f"{index_name}-2", hold=True)
    assert second.state == READY, second.error
    client.indices.put_alias(index=f"{index_name}-2", name=f"{index_name}-app")
    client.indices.delete_alias(index=job.target, name=f"{index_name}-app")
    with pytest.raises(JobError, match=f"job '{second.job_id}' reads '{job.target}'"):
        operate.clean(client, job.job_id, targets=True)
    assert client.indices.exists(index=job.target)
    operate.cancel(client, second.job_id)
    assert operate.clean(client, job.job_id, targets=True) == [job.target]


def test_an_index_that_a_standing_job_follows_stays(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(3))
    job = run(client, index_name, hold=True, follow=True)
    assert job.state == READY, job.error
    operate.cancel(client, job.job_id)
    queue = InlineQueue()
    client.indices.put_settings(index=job.target, body={"index.blocks.write": None})
    meta = client.indices.get_mapping(index=job.target)[job.target]["mappings"]["_meta"]
    meta["ce2de"]["fields"]["ce2de_vector"]["source"] = job.target  # no copy any more
    client.indices.put_mapping(index=job.target, body={"_meta": meta})
    following = adopt(client, JobRequest(job.target, FIELDS), ENCODER, queue)
    with pytest.raises(JobError, match=f"job '{following.job_id}'"):
        operate.clean(client, job.job_id, targets=True)
    assert client.indices.exists(index=job.target)
    operate.cancel(client, following.job_id)
