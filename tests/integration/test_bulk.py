"""The bulk writer on a real OpenSearch, and in a storm of 429s."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import BulkWriteError
from ce2de_os.index.bulk import BulkWriter, DeleteAction, UpdateAction, WriteAction, write_documents
from ce2de_os.index.bulk.pace import BulkPace
from tests.integration.indexes import all_documents, hammer


def documents(count: int, version: int = 1, **fields: Any) -> Iterator[WriteAction]:
    for number in range(count):
        yield WriteAction(str(number), version, None, {"number": number, "text": "x" * 900, **fields})


@pytest.fixture
def index(client: OpenSearch, index_name: str) -> str:
    mappings = {"dynamic": "strict", "properties": {"number": {"type": "integer"}, "text": {"type": "text"}}}
    settings = {"number_of_shards": 2, "number_of_replicas": 0}
    client.indices.create(index=index_name, body={"mappings": mappings, "settings": settings})
    return index_name


def test_several_requests_of_one_call_write_every_document(client: OpenSearch, index: str) -> None:
    pace = BulkPace()
    with BulkWriter(client, pace) as writer:
        reports = [writer.write(index, documents(3000)) for _ in range(3)]
    assert [report.written for report in reports] == [3000, 3000, 3000]  # the same version may come again
    assert pace.in_flight > 1
    assert len(all_documents(client, index)) == 3000


def test_the_newer_version_wins(client: OpenSearch, index: str) -> None:
    write_documents(client, index, documents(5, version=7))
    report = write_documents(client, index, documents(10, version=6, text="old"))
    assert (report.written, report.already_newer) == (5, 5)
    texts = [document["text"] for _, document in sorted(all_documents(client, index).items())]
    assert texts == ["x" * 900] * 5 + ["old"] * 5


def test_a_refused_document_is_returned_with_its_kind_and_the_rest_goes_on(
    client: OpenSearch, index: str
) -> None:
    odd = [WriteAction("odd", 1, None, {"number": "many"}), WriteAction("new", 1, None, {"colour": "red"})]
    report = write_documents(client, index, [*documents(3), *odd])
    assert report.written == 3
    found = {refusal.doc_id: (refusal.status, refusal.kind) for refusal in report.refused}
    assert found == {
        "odd": (400, "mapper_parsing_exception"),
        "new": (400, "strict_dynamic_mapping_exception"),
    }
    assert all(refusal.reason for refusal in report.refused)


def test_updates_and_deletes_spare_what_has_changed(client: OpenSearch, index: str) -> None:
    write_documents(client, index, documents(5))
    marks = {number: client.get(index=index, id=number) for number in range(5)}

    def mark(number: int) -> tuple[int, int]:
        return marks[number]["_seq_no"], marks[number]["_primary_term"]

    for changed in (1, 3):
        client.index(index=index, id=changed, body={"number": 100})
    client.delete(index=index, id=4)
    report = write_documents(
        client,
        index,
        [
            UpdateAction("0", *mark(0), None, {"text": "short"}),
            UpdateAction("1", *mark(1), None, {"text": "short"}),
            UpdateAction("4", *mark(4), None, {"text": "short"}),
            DeleteAction("2", None, *mark(2)),
            DeleteAction("3", None, *mark(3)),
            DeleteAction("never-there", None, 1, 1),
        ],
    )
    assert (report.written, report.already_newer, report.refused) == (2, 4, [])
    found = all_documents(client, index)
    assert found == {"0": {"number": 0, "text": "short"}, "1": {"number": 100}, "3": {"number": 100}}


def test_routing_is_kept(client: OpenSearch, index: str) -> None:
    write_documents(client, index, [WriteAction("a", 1, "somewhere", {"number": 1})])
    found = client.get(index=index, id="a", routing="somewhere")
    write_documents(
        client,
        index,
        [UpdateAction("a", found["_seq_no"], found["_primary_term"], "somewhere", {"number": 2})],
    )
    assert client.get(index=index, id="a", routing="somewhere")["_source"]["number"] == 2


def test_pipelines_run_only_when_asked_for(client: OpenSearch, index: str) -> None:
    pipeline = f"{index}-stamp"
    client.ingest.put_pipeline(
        id=pipeline, body={"processors": [{"set": {"field": "text", "value": "stamped"}}]}
    )
    try:
        client.indices.put_settings(index=index, body={"index.default_pipeline": pipeline})
        write_documents(client, index, [WriteAction("plain", 1, None, {"text": "as it is"})])
        with BulkWriter(client, pipeline=pipeline) as writer:
            writer.write(index, [WriteAction("stamped", 1, None, {"text": "as it is"})])
        found = {doc_id: source["text"] for doc_id, source in all_documents(client, index).items()}
        assert found == {"plain": "as it is", "stamped": "stamped"}
    finally:
        client.indices.put_settings(index=index, body={"index.default_pipeline": None})
        client.ingest.delete_pipeline(id=pipeline)


def test_a_missing_index_refuses_the_call_not_every_document(client: OpenSearch, index_name: str) -> None:
    client.cluster.put_settings(body={"transient": {"action.auto_create_index": "false"}})
    try:
        with pytest.raises(BulkWriteError, match="no such index"):
            write_documents(client, index_name, documents(3))
    finally:
        client.cluster.put_settings(body={"transient": {"action.auto_create_index": None}})


@pytest.mark.parametrize("block", ["index", "flood stage", "cluster"])
def test_a_read_only_time_is_waited_for(client: OpenSearch, index: str, block: str) -> None:
    def lock(value: bool | None) -> None:
        if block == "cluster":
            client.cluster.put_settings(body={"transient": {"cluster.blocks.read_only": value}})
        else:
            name = "read_only" if block == "index" else "read_only_allow_delete"
            client.indices.put_settings(index=index, body={f"index.blocks.{name}": value})

    lock(True)
    unlock = threading.Timer(1.5, lock, [None])
    unlock.start()
    try:
        report = write_documents(client, index, documents(200))
    finally:
        unlock.join()
    assert report.written == 200
    assert report.paused_s > 0.5
    assert len(all_documents(client, index)) == 200


def test_a_storm_of_429s(narrow_client: OpenSearch, capsys: pytest.CaptureFixture[str]) -> None:
    narrow_client.indices.create(index="target", body={"settings": {"number_of_replicas": 0}})
    narrow_client.indices.create(index="noise", body={"settings": {"number_of_replicas": 0}})
    pace, report = BulkPace(), []
    started = time.monotonic()
    with hammer(narrow_client, "noise", threads=8) as turned_away, BulkWriter(narrow_client, pace) as writer:
        for page in range(5):
            actions = [action._replace(doc_id=f"{page}-{action.doc_id}") for action in documents(400)]
            report.append(writer.write("target", actions))
    spent_s = time.monotonic() - started
    assert sum(one.written for one in report) == 2000
    assert [refusal for one in report for refusal in one.refused] == []
    rejected = sum(one.rejected for one in report)
    assert rejected > 0
    assert len(all_documents(narrow_client, "target")) == 2000
    with capsys.disabled():
        sys.stdout.write(
            f"\n429 storm: 2000 of 2000 documents arrived in {spent_s:.1f} s; {rejected} times one was "
            f"answered with 429 and sent again, {sum(one.paused_s for one in report):.1f} s were waited; "
            f"the load from elsewhere met {sum(turned_away)} rejections\n"
        )
