"""The switch and the days after it: nothing that an application wrote is lost, on either side."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from opensearchpy import OpenSearch
from opensearchpy.exceptions import RequestError, TransportError

from ce2de_os.errors import ConfigError, JobError
from ce2de_os.index import aliases
from ce2de_os.index.guard import guard_name
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex import operate
from ce2de_os.reindex.cutover.rollback import plan_rollback, rollback
from ce2de_os.reindex.job import DONE, FOLLOWING, HANDOVER, MIRROR, READY, SOURCE, TARGET, Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.standing import followed_name, standing_id
from tests.integration.indexes import (
    HashEncoder,
    InlineQueue,
    all_documents,
    articles,
    begin,
    create_index,
    run,
)

ENCODER = HashEncoder()
FIELDS = TextSpec(("title", "body"))


@pytest.fixture
def queue() -> InlineQueue:
    return InlineQueue()


def handed_over(client: OpenSearch, queue: InlineQueue, name: str, count: int = 20, **options: Any) -> Job:
    """A job whose alias stood on the source before."""
    create_index(client, name, articles(count))
    client.indices.put_alias(index=name, name=f"{name}-app")
    job = run(client, name, queue, alias=f"{name}-app", **options)
    assert job.state == DONE, job.error
    return job


def contents(client: OpenSearch, name: str) -> dict[str, str]:
    return {doc_id: source["title"] for doc_id, source in all_documents(client, name).items()}


def assert_vectors(client: OpenSearch, name: str) -> None:
    for doc_id, source in all_documents(client, name).items():
        text = "\n".join(str(source[field]) for field in ("title", "body") if source.get(field))
        np.testing.assert_allclose(
            source["ce2de_vector"], ENCODER.encode_documents([text])[0], atol=1e-5, err_msg=doc_id
        )


def follower(client: OpenSearch, job: Job) -> Job:
    return Ledger(client).job(standing_id(followed_name(job))).job


def test_an_alias_on_the_source_is_handed_over(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    job = handed_over(client, queue, index_name)
    assert (job.way, job.truth) == (HANDOVER, TARGET)
    assert set(aliases.definitions(client, str(job.alias))) == set(job.targets)
    assert job.blocked_s is not None and job.blocked_s < job.max_block_s
    with pytest.raises(TransportError, match="blocked"):
        client.index(index=index_name, body={"title": "too late"})
    assert follower(client, job).state == FOLLOWING


def test_what_is_written_through_the_alias_stays_whatever_is_started_again(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    job = handed_over(client, queue, index_name)
    alias = str(job.alias)
    client.index(index=alias, id="new", body={"title": "written after", "body": "the handover"})
    client.update(index=alias, id="3", body={"doc": {"title": "changed after"}})
    client.delete(index=alias, id="4", refresh=True)
    expected = contents(client, alias)
    for _ in range(2):
        again = run(client, index_name, queue, alias=alias)
        queue.follow(client, ENCODER)
        assert (again.job_id, again.truth) == (job.job_id, TARGET)
        assert contents(client, alias) == expected
    assert_vectors(client, alias)
    for call in (
        lambda: operate.cutover(client, ENCODER, job.job_id, "operator"),
        lambda: begin(client, index_name, queue, alias=alias, hold=True),
    ):
        with pytest.raises(JobError, match="handed over"):
            call()
    assert operate.verify_job(client, ENCODER, job.job_id).problems == []
    assert contents(client, alias) == expected


def test_a_new_alias_shows_a_mirror(client: OpenSearch, index_name: str, queue: InlineQueue) -> None:
    create_index(client, index_name, articles(20))
    job = run(client, index_name, queue)
    assert (job.state, job.way, job.truth) == (DONE, MIRROR, SOURCE), job.error
    with pytest.raises(RequestError, match="write index"):
        client.index(index=str(job.alias), body={"title": "not here"})
    client.index(index=index_name, id="new", body={"title": "new", "body": "one"})
    client.update(index=index_name, id="3", body={"doc": {"title": "changed"}})
    client.delete(index=index_name, id="4", refresh=True)
    queue.follow(client, ENCODER)
    assert contents(client, job.target) == contents(client, index_name)
    assert_vectors(client, job.target)


def test_an_older_job_does_not_take_the_alias_from_a_newer_one(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    create_index(client, index_name, articles(5))
    options = {"alias": f"{index_name}-s", "follow": False}
    older = run(client, index_name, queue, target=f"{index_name}-a", **options)
    newer = run(client, index_name, queue, target=f"{index_name}-b", **options)
    assert (older.state, newer.state) == (DONE, DONE), (older.error, newer.error)
    told = f"points to {index_name}-b, not to the index of job '{older.job_id}' any more"
    with pytest.raises(JobError, match="pointed nowhere before"):
        rollback(client, older.job_id)
    with pytest.raises(JobError, match=told):
        begin(client, index_name, queue, target=f"{index_name}-a", **options)
    assert list(aliases.definitions(client, options["alias"])) == [f"{index_name}-b"]


def test_a_rollback_brings_later_writes_back_and_a_second_cutover_the_next_ones(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    job = handed_over(client, queue, index_name)
    alias = str(job.alias)
    client.index(index=alias, id="new", body={"title": "new", "body": "one"})
    for number in range(30):  # more versions than the source has operations
        client.update(index=alias, id="3", body={"doc": {"title": f"edit {number}"}})
    client.delete(index=alias, id="4", refresh=True)
    queue.follow(client, ENCODER)
    expected = contents(client, alias)
    planned = plan_rollback(client, Ledger(client).job(job.job_id).job)
    assert (planned.written, planned.deleted) == (2, 1)
    back = rollback(client, job.job_id)
    assert (back.state, back.truth) == ("rolled_back", SOURCE)
    assert set(aliases.definitions(client, alias)) == {index_name}
    assert contents(client, alias) == expected
    assert all("ce2de_vector" not in source for source in all_documents(client, index_name).values())
    client.index(index=alias, id="3", body={"title": "edit in the source", "body": "again"})
    client.index(index=alias, id="newer", body={"title": "newer", "body": "one"}, refresh=True)
    expected = contents(client, alias)
    job = operate.cutover(client, ENCODER, job.job_id, "operator")
    assert (job.state, job.truth) == (DONE, TARGET)
    assert set(aliases.definitions(client, alias)) == set(job.targets)
    assert contents(client, alias) == expected
    assert_vectors(client, alias)
    client.update(index=alias, id="5", body={"doc": {"title": "once more"}}, refresh=True)
    expected = contents(client, alias)
    assert rollback(client, job.job_id).state == "rolled_back"
    assert contents(client, alias) == expected


def test_a_handover_without_a_block(
    client: OpenSearch, index_name: str, queue: InlineQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("ce2de_os.reindex.syncing.late_writes"), "QUIET_S", 2.0)
    job = handed_over(client, queue, index_name, block=False)
    assert (job.truth, job.unordered) == (TARGET, ())
    assert set(aliases.definitions(client, str(job.alias))) == set(job.targets)
    assert len(contents(client, str(job.alias))) == 20


def test_other_members_of_the_alias_and_all_definitions_stay(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    alias, archive = f"{index_name}-app", f"{index_name}-archive"
    create_index(client, index_name, articles(9))
    create_index(client, archive, articles(3))
    only = {"filter": {"match": {"title": "river"}}, "is_write_index": True}
    client.indices.update_aliases(
        body={
            "actions": [
                {"add": {"index": index_name, "alias": alias, **only}},
                {"add": {"index": archive, "alias": alias}},
            ]
        }
    )
    before = aliases.definitions(client, alias)
    job = run(client, index_name, queue, alias=alias)
    assert job.state == DONE, job.error
    after = aliases.definitions(client, alias)
    assert after == {job.target: before[index_name], archive: before[archive]}
    assert rollback(client, job.job_id).state == "rolled_back"
    assert aliases.definitions(client, alias) == before


def test_a_held_job_keeps_up_until_its_cutover(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    create_index(client, index_name, articles(20))
    job = run(client, index_name, queue, hold=True)
    assert job.state == READY, job.error
    client.delete(index=index_name, id="4")
    client.index(index=index_name, id="new", body={"title": "new", "body": "one"}, refresh=True)
    queue.follow(client, ENCODER)
    assert contents(client, job.target) == contents(client, index_name)
    with pytest.raises(JobError, match="`hold`"):
        begin(client, index_name, queue)
    assert run(client, index_name, queue, hold=True).state == READY
    client.index(index=index_name, id="newer", body={"title": "newer", "body": "one"}, refresh=True)
    job = operate.cutover(client, ENCODER, job.job_id, "operator")
    assert job.state == DONE
    assert contents(client, str(job.alias)) == contents(client, index_name)


def test_a_cancelled_job_writes_nothing_any_more_and_goes_on_when_started(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    create_index(client, index_name, articles(20))
    job = run(client, index_name, queue, hold=True)
    operate.cancel(client, job.job_id)
    assert not client.indices.exists_alias(name=guard_name(job.target))
    assert run(client, index_name, queue, hold=True).state == READY


def test_a_data_stream_cannot_be_handed_over(client: OpenSearch, index_name: str, queue: InlineQueue) -> None:
    body = {"index_patterns": [index_name], "data_stream": {}, "priority": 5}
    client.indices.put_index_template(name=index_name, body=body)
    client.index(index=index_name, body={"@timestamp": 0, "title": "a", "body": "b"}, refresh=True)
    try:
        with pytest.raises(ConfigError, match="data stream"):
            begin(client, index_name, queue, way=HANDOVER)
    finally:
        client.indices.delete_data_stream(name=index_name)
        client.indices.delete_index_template(name=index_name)


def test_a_job_whose_indices_were_deleted_begins_anew(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    first = handed_over(client, queue, index_name)
    for name in (first.target, index_name):
        client.indices.delete(index=name)
    again = handed_over(client, queue, index_name)
    assert (again.target, again.truth) == (first.target, TARGET)
    assert len(contents(client, str(again.alias))) == 20
