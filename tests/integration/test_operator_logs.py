"""What an operator finds in the workers' logs, and what must not be there."""

from __future__ import annotations

import json
import logging
from importlib import import_module
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os import logs
from ce2de_os.index.guard import guard_name
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex import operate
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.slices.orders import Orders
from tests.integration.indexes import HashEncoder, InlineQueue, create_index

SECRET = "confidential"


@pytest.fixture
def job_id(client: OpenSearch, index_name: str, caplog: pytest.LogCaptureFixture) -> str:
    """A job whose second document the target does not take, because its mapping differs."""
    create_index(client, index_name, [{"title": f"{SECRET} title"}, {"title": "a", "size": f"{SECRET} size"}])
    request = JobRequest(index_name, TextSpec(("title",)), alias=f"{index_name}-search")
    job = start(client, request, HashEncoder(), InlineQueue())
    client.indices.delete(index=job.target)
    client.indices.create(
        index=job.target,
        body={
            "aliases": {guard_name(job.target): {"is_hidden": True}},
            "mappings": {
                "properties": {
                    "size": {"type": "integer"},
                    "ce2de_vector": {"type": "float", "index": False},
                    "ce2de_vector_hash": {"type": "keyword"},
                }
            },
        },
    )
    caplog.set_level(logging.DEBUG, logger="ce2de_os")
    return job.job_id


def written(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    lines = [logs.formatter("json").format(record) for record in caplog.records]
    entries = [json.loads(line) for line in lines]
    assert SECRET not in "".join(lines)
    return [entry for entry in entries if entry["logger"].startswith("ce2de_os.reindex")]


def test_the_way_of_a_slice(client: OpenSearch, job_id: str, caplog: pytest.LogCaptureFixture) -> None:
    ledger, queue = Ledger(client), InlineQueue()
    ledger.claim(ledger.slice(job_id, 0), "dead")
    ledger.claim(ledger.slice(job_id, 0), "tester", is_gone=lambda owner: owner == "dead")
    queue.embed_slice(ledger.job(job_id).job, 0)
    queue.run(client, HashEncoder(), owner="tester")
    entries = written(caplog)
    actions = [entry["action"] for entry in entries]
    assert actions[:5] == [
        "slice_taken_over",
        "slice_taken",
        "documents_refused",
        "page_written",
        "slice_done",
    ]
    assert actions[-1] == "job_finished"
    assert {entry["job"] for entry in entries} == {job_id}
    over, _, refused, page, done = entries[:5]
    assert (over["level"], over["dead_worker"], over["deaths"]) == ("WARNING", "dead", 1)
    assert (refused["level"], refused["documents"]) == ("WARNING", 1)
    assert refused["kinds"] == ["mapper_parsing_exception"]
    assert (page["level"], page["documents"], page["written"]) == ("DEBUG", 2, 1)
    assert (done["level"], done["documents"], done["cursor"]) == ("INFO", 2, 1)
    assert entries[-1]["state"] == "failed"  # a document was refused


def test_orders_are_seen_once(
    client: OpenSearch, job_id: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(client)
    orders = Orders(ledger, ledger.job(job_id).job)
    monkeypatch.setattr(import_module("ce2de_os.reindex.slices.orders"), "LOOK_S", 0.0)  # look at every call
    orders.is_stopped()
    operate.throttle(client, job_id, 50.0)
    orders.is_stopped()
    operate.pause(client, job_id)
    orders.is_stopped()
    orders.is_stopped()
    seen = [(entry["action"], entry["state"], entry["limit_docs_per_s"]) for entry in written(caplog)]
    assert seen == [("job_changed", "running", 50.0), ("job_changed", "paused", 50.0)]
