"""A rollback beside writes that it does not expect, and one that does not succeed at once."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os import deep_json
from ce2de_os.errors import JobError
from ce2de_os.index import aliases
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex import operate
from ce2de_os.reindex.cutover.rollback import plan_rollback, rollback
from ce2de_os.reindex.job import DONE, FOLLOWING, ROLLED_BACK, Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.standing import standing_id
from tests.integration.indexes import HashEncoder, InlineQueue, all_documents, articles, create_index

ENCODER = HashEncoder()
FIELDS = TextSpec(("title", "body"))


def handed_over(client: OpenSearch, name: str, **settings: Any) -> Job:
    """A job after its handover, with 12 documents."""
    queue, alias = InlineQueue(), f"{name}-app"
    create_index(client, name, articles(12), **settings)
    client.indices.put_alias(index=name, name=alias)
    job = start(client, JobRequest(name, FIELDS, alias), ENCODER, queue)
    queue.run(client, ENCODER)
    job = Ledger(client).job(job.job_id).job
    assert job.state == DONE, job.error
    return job


def nested(depth: int) -> list[Any]:
    found: list[Any] = [1]
    for _ in range(depth - 1):
        found = [found]
    return found


def titles(client: OpenSearch, name: str) -> dict[str, str]:
    return {doc_id: source["title"] for doc_id, source in all_documents(client, name).items()}


def test_a_rollback_that_is_repeated_after_more_writes_loses_none_of_them(
    client: OpenSearch, index_name: str
) -> None:
    job = handed_over(client, index_name)
    alias = str(job.alias)
    client.indices.put_mapping(index=index_name, body={"dynamic": "strict"})
    client.update(index=alias, id="3", body={"doc": {"title": "first edit"}})
    client.index(index=alias, id="short-lived", body={"title": "deleted before the second try"})
    client.index(index=alias, id="odd", body={"title": "odd", "new_field": 1}, refresh=True)
    with pytest.raises(JobError, match="rejects 1 documents"):
        rollback(client, job.job_id)
    assert set(aliases.definitions(client, alias)) == set(job.targets)
    assert Ledger(client).job(standing_id(alias)).job.state == FOLLOWING, "new writes still get their vectors"
    client.update(index=alias, id="3", body={"doc": {"title": "second edit"}})
    client.delete(index=alias, id="short-lived")
    client.delete(index=alias, id="odd", refresh=True)
    expected = titles(client, alias)
    planned = plan_rollback(client, Ledger(client).job(job.job_id).job)
    assert (planned.written, planned.deleted) == (1, 1)
    back = rollback(client, job.job_id)
    assert (back.state, back.unordered) == (ROLLED_BACK, ())
    assert set(aliases.definitions(client, alias)) == {index_name}
    assert titles(client, alias) == expected


def test_what_an_old_route_changes_while_a_rollback_copies_back_is_reported(
    client: OpenSearch, index_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that still writes to the source by its name is let in as soon as the source is open."""
    job = handed_over(client, index_name, **{"mapping.depth.limit": 1000})
    alias, moving = str(job.alias), import_module("ce2de_os.reindex.cutover.rollback")
    client.delete(index=alias, id="3")
    deep = nested(980)  # more levels than Python compares by itself
    edit = {"title": "edit through the alias", "deep": deep}
    client.index(index=alias, id="4", body=deep_json.dumps(edit))
    client.update(index=alias, id="5", body={"doc": {"title": "copied back as usual"}}, refresh=True)
    copy_back = moving._copy_back

    def beside_an_old_route(*args: Any) -> Any:
        for doc_id in ("3", "6"):
            client.update(index=index_name, id=doc_id, body={"doc": {"body": "by the old route"}})
        client.index(index=index_name, id="4", body=deep_json.dumps({"title": "old route", "deep": deep}))
        client.index(index=index_name, id="new", body={"title": "new by the old route"}, refresh=True)
        return copy_back(*args)

    monkeypatch.setattr(moving, "_copy_back", beside_an_old_route)
    back = rollback(client, job.job_id)
    assert back.state == ROLLED_BACK
    assert set(back.unordered) == {"3", "4"}, "6 and new were written on one side only"
    found = titles(client, alias)
    assert (found["5"], found["new"]) == ("copied back as usual", "new by the old route")
    assert operate.cutover(client, ENCODER, job.job_id, "operator").state == DONE
    assert titles(client, alias) == found
