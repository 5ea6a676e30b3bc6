"""The limits of reindexing as ``docs/reference/limits-reindex.md`` states them, where no other test does."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from opensearchpy import OpenSearch
from prometheus_client import CollectorRegistry, generate_latest

from ce2de_os.errors import IdentityError
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex import operate
from ce2de_os.reindex.job import DONE, Job
from ce2de_os.reindex.metrics import LedgerCollector
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.slices.held import MOST_CONDEMNED
from ce2de_os.reindex.status import status
from tests.integration.indexes import HashEncoder, InlineQueue, articles, create_index

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "limits-reindex.md"
ENCODER = HashEncoder()


def copied(client: OpenSearch, source: str) -> Job:
    queue = InlineQueue()
    request = JobRequest(source, TextSpec(("title",)), alias=f"{source}-search", follow=False)
    job = start(client, request, ENCODER, queue)
    queue.run(client, ENCODER)
    return status(client, job.job_id).job


def test_comments_go_and_the_document_stays(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(20))
    client.index(index=index_name, id="c", body='{"title": /* old: "x" */ "new", "n": 1.10}', refresh=True)
    job = copied(client, index_name)
    assert job.state == DONE, job.error
    document = client.get(index=job.target, id="c")["_source"]
    assert (document["title"], document["n"]) == ("new", 1.1)
    assert document[job.hash_field] == job.text.hash_of("new", ENCODER.fingerprint)


def test_an_index_deleted_before_the_switch_is_named_and_the_rest_can_start_again(
    client: OpenSearch, index_name: str
) -> None:
    first, second = f"{index_name}-1", f"{index_name}-2"
    create_index(client, first, articles(4))
    create_index(client, second, articles(4))
    queue = InlineQueue()
    request = JobRequest(f"{index_name}-*", TextSpec(("title",)), alias=f"{index_name}x", way="mirror")
    job = start(client, replace(request, hold=True), ENCODER, queue)
    queue.run(client, ENCODER)
    client.indices.delete(index=first)
    with pytest.raises(IdentityError, match=f"'{first}' does not exist any more; .*cancel the job, clean it"):
        operate.cutover(client, ENCODER, job.job_id, "operator")
    operate.cancel(client, job.job_id)
    operate.clean(client, job.job_id, targets=True)
    again = start(client, replace(request, follow=False), ENCODER, queue)
    queue.run(client, ENCODER)
    found = status(client, again.job_id).job
    assert (found.state, found.sources) == (DONE, (second,)), found.error


def test_what_opensearch_shows_of_numbers_beyond_a_double(client: OpenSearch, index_name: str) -> None:
    mappings = {"properties": {"title": {"type": "text"}, "code": {"type": "keyword"}}}
    create_index(client, index_name, [], mappings)
    body = '{"title":"t","code":[1E400,0.10000000000000000001]}'
    client.index(index=index_name, id="n", body=body, refresh=True)
    job = copied(client, index_name)
    assert job.state == DONE, job.error
    assert client.get(index=job.target, id="n")["_source"]["code"] == ["Infinity", 0.1]
    client.indices.refresh(index=job.target)
    for code in ("1E400", "0.10000000000000000001"):
        assert client.count(index=job.target, body={"query": {"term": {"code": code}}})["count"] == 1


def test_indices_that_cannot_be_read_hide_no_other_job_from_the_metrics(
    client: OpenSearch, index_name: str
) -> None:
    jobs = {}
    for name in ("closed", "red", "gone", "sound"):
        create_index(client, f"{index_name}-{name}", articles(3))
        jobs[name] = copied(client, f"{index_name}-{name}")
        assert jobs[name].state == DONE, jobs[name].error
    client.indices.close(index=f"{index_name}-closed")
    client.indices.delete(index=f"{index_name}-gone")
    client.indices.delete(index=jobs["red"].target)
    nowhere = {"index.routing.allocation.require._name": "nowhere"}
    params = {"wait_for_active_shards": "0"}
    client.indices.create(index=jobs["red"].target, body={"settings": nowhere}, params=params)
    registry = CollectorRegistry()
    registry.register(LedgerCollector(client))
    started = time.monotonic()
    told = generate_latest(registry).decode()
    assert time.monotonic() - started < 8, "Prometheus waits ten seconds"
    assert "ce2de_up 1.0" in told
    for name, job in jobs.items():
        assert f'ce2de_job_readable{{job_id="{job.job_id}"}}' in told, name
    for family in ("lag_operations", "documents_written_total"):
        assert re.search(rf'^ce2de_{family}\{{job_id="{jobs["sound"].job_id}"\}}', told, re.MULTILINE), family


def test_the_page_has_the_numbers_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"{MOST_CONDEMNED} documents in a row" in page
    named = re.findall(r"`(tests/[a-z_/.]+)`", page)
    assert named
    assert all((PAGE.parents[2] / path).exists() for path in named)
