"""Standing jobs in real workers: they share one worker with a reindex, and with each other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from opensearchpy import OpenSearch

from ce2de_os.reindex.job import DONE
from tests.integration.indexes import articles, create_index
from tests.integration.jobs import FIELDS, Run, StartWorker, has_ended, start_detached, wait_for

PATIENCE_S = 30.0


@pytest.fixture
def followed(client: OpenSearch, ce2de: Run, index_name: str) -> Iterator[list[str]]:
    """Two indices with a standing job each."""
    names, jobs = [f"{index_name}-one", f"{index_name}-two"], []
    for name in names:
        create_index(client, name, articles(20), knn=True)
        done = ce2de("follow", name, *FIELDS, "--detach", "--json")
        assert done.returncode == 0, done.stderr
        jobs.append(json.loads(done.stdout)["job_id"])
    yield names
    for job_id in jobs:
        ce2de("reindex", "cancel", job_id, "--yes")


def has_vector(client: OpenSearch, index: str, doc_id: str) -> bool:
    return "ce2de_vector" in client.get(index=index, id=doc_id)["_source"]


def test_one_worker_follows_two_indices_and_does_a_reindex_beside(
    client: OpenSearch, ce2de: Run, index_name: str, followed: list[str], start_worker: StartWorker
) -> None:
    source = f"{index_name}-large"
    create_index(client, source, articles(3000), number_of_shards=2)
    job_id = start_detached(ce2de, source, "--docs-per-second", "300", "--no-follow")
    start_worker()
    wait_for(client, job_id, lambda found: found.counts.documents > 0)
    for name in followed:
        client.index(index=name, id="new", body={"title": "written while a reindex runs"})
    deadline = time.monotonic() + PATIENCE_S
    while not all(has_vector(client, name, "new") for name in followed):
        assert time.monotonic() < deadline, "a reindex keeps the vectors of new documents waiting"
        time.sleep(0.2)
    assert wait_for(client, job_id, has_ended).job.state == DONE
