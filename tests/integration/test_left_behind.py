"""An alias that moves away from what `ce2de connect` made: the status says what to repeat."""

from __future__ import annotations

from dataclasses import replace

import pytest
from opensearchpy import OpenSearch

from ce2de_os.cli.jobs.progress import status_lines
from ce2de_os.index import admin
from ce2de_os.index.connection import Connection
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex.cutover.rollback import rollback
from ce2de_os.reindex.job import Job
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.status import status
from tests.integration.indexes import HashEncoder, InlineQueue, articles, create_index

ENCODER = HashEncoder()
SERVICE = "http://embed.example.org:8080"


def connected(client: OpenSearch, index: str, connection: Connection) -> None:
    """Write what `ce2de connect` writes into an index."""
    meta = {**admin.describe(client, index).mappings.get("_meta", {}), **connection.to_meta()}
    admin.put_meta(client, index, meta, {})


def reindexed(client: OpenSearch, source: str, alias: str) -> Job:
    queue = InlineQueue()
    request = JobRequest(source, TextSpec(("title",)), alias, follow=False, accept_unreplicated=True)
    job = start(client, request, ENCODER, queue)
    queue.run(client, ENCODER)
    return status(client, job.job_id).job


@pytest.mark.parametrize(
    ("fingerprint", "wanted"),
    [
        (ENCODER.fingerprint, "; repeat: ce2de connect"),
        ("b" * 64, "; start ce2de serve with the index's model, then repeat: ce2de connect"),
    ],
    ids=["same model", "another model"],
)
def test_the_status_names_the_command(
    client: OpenSearch, index_name: str, fingerprint: str, wanted: str
) -> None:
    alias = f"{index_name}-search"
    create_index(client, index_name, articles(20))
    client.indices.put_alias(index=index_name, name=alias)
    before = Connection(alias, SERVICE, fingerprint, "ce2de_vector")
    connected(client, index_name, before)
    job = reindexed(client, index_name, alias)
    assert job.previous == (index_name,)

    found = status(client, job.job_id)
    (line,) = [line for line in status_lines(found) if "ce2de connect" in line]
    assert wanted in line
    assert line.endswith(f"ce2de connect {alias} --service {SERVICE}")
    assert found.to_json()["reconnect"] is not None

    connected(client, job.target, replace(before, fingerprint=ENCODER.fingerprint))
    assert status(client, job.job_id).reconnect is None


def test_an_alias_that_was_not_connected_needs_nothing(client: OpenSearch, index_name: str) -> None:
    alias = f"{index_name}-search"
    create_index(client, index_name, articles(20))
    client.indices.put_alias(index=index_name, name=alias)
    assert status(client, reindexed(client, index_name, alias).job_id).reconnect is None


def test_after_a_rollback_too(client: OpenSearch, index_name: str) -> None:
    alias = f"{index_name}-search"
    create_index(client, index_name, articles(20))
    client.indices.put_alias(index=index_name, name=alias)
    job = reindexed(client, index_name, alias)
    connected(client, job.target, Connection(alias, SERVICE, ENCODER.fingerprint, "ce2de_vector"))
    rollback(client, job.job_id)
    told = status(client, job.job_id).reconnect
    assert told is not None
    assert "index's model" in told
