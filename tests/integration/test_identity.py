"""A job's indices on a real OpenSearch: another index under the same name, or an older state, is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from opensearchpy import OpenSearch

from ce2de_os.config import OpenSearchSettings
from ce2de_os.errors import BackendUnavailableError, Ce2deError, IdentityError, JobError
from ce2de_os.index import admin
from ce2de_os.index.client import connect
from ce2de_os.index.guard import guard_name
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.local.servers import LocalServers
from ce2de_os.reindex import identity, operate
from ce2de_os.reindex.job import FAILED, READY, Job, Part
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.status import status
from tests.conftest import remove
from tests.integration.indexes import HashEncoder, InlineQueue, all_documents, articles, create_index

ENCODER = HashEncoder()
FIELDS = TextSpec(("title", "body"))


def held(client: OpenSearch, source: str) -> Job:
    """A copy that is verified and waits for its cutover."""
    queue = InlineQueue()
    job = start(client, JobRequest(source, FIELDS, f"{source}-search", hold=True), ENCODER, queue)
    queue.run(client, ENCODER)
    found = status(client, job.job_id)
    assert (found.job.state, found.lag, found.errors) == (READY, 0, ()), found.job.error
    return found.job


def test_the_record_knows_both_indices(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(20), number_of_shards=2)
    (part,) = held(client, index_name).parts
    stats = client.indices.stats(index=[part.source, part.target], level="shards")["indices"]
    assert (part.source_uuid, part.target_uuid) == (stats[part.source]["uuid"], stats[part.target]["uuid"])
    for index, history in ((part.source, part.source_history), (part.target, part.target_history)):
        commits = [stats[index]["shards"][str(number)][0]["commit"] for number in range(2)]
        assert history == tuple(commit["user_data"]["history_uuid"] for commit in commits)


def test_a_source_that_was_built_again_is_told_and_its_copy_is_not_served(
    client: OpenSearch, index_name: str
) -> None:
    create_index(client, index_name, articles(20))
    job = held(client, index_name)
    client.indices.delete(index=index_name)
    create_index(client, index_name, articles(20))
    found = status(client, job.job_id)
    assert found.lag is None
    assert f"'{index_name}' was deleted and created again" in found.errors[0]
    with pytest.raises(IdentityError, match="deleted and created again"):
        operate.verify_job(client, ENCODER, job.job_id)
    with pytest.raises(JobError, match="deleted and created again"):
        operate.cutover(client, ENCODER, job.job_id, "tester")
    assert status(client, job.job_id).job.state == FAILED
    assert not client.indices.exists_alias(name=f"{index_name}-search")


@pytest.mark.parametrize("state", ["gone", "closed"])
def test_a_source_that_cannot_be_read_any_more_is_one_clear_line(
    client: OpenSearch, index_name: str, state: str
) -> None:
    create_index(client, index_name, articles(20))
    job = held(client, index_name)
    if state == "gone":
        client.indices.delete(index=index_name)
        told = f"'{index_name}' does not exist any more; its copy '{job.target}' may be wrong"
    else:
        client.indices.close(index=index_name)
        told = f"'{index_name}' is closed, .* open it with POST {index_name}/_open"
    with pytest.raises(JobError, match=told):
        operate.cutover(client, ENCODER, job.job_id, "tester")
    found = status(client, job.job_id)
    assert index_name in found.errors[0]
    assert not client.indices.exists_alias(name=f"{index_name}-search")


def test_a_target_that_was_made_again_is_not_served(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(20))
    job = held(client, index_name)
    client.indices.delete(index=job.target)
    client.indices.create(index=job.target, body={"aliases": {guard_name(job.target): {"is_hidden": True}}})
    assert f"'{job.target}' was deleted and created again" in status(client, job.job_id).errors[0]
    with pytest.raises(JobError, match="deleted and created again"):
        operate.cutover(client, ENCODER, job.job_id, "tester")
    assert not client.indices.exists_alias(name=f"{index_name}-search")


def test_a_record_that_names_another_index_as_target_is_not_believed(
    client: OpenSearch, index_name: str
) -> None:
    """Whoever may write to the ledger could name any index; its own mapping must say that it is the copy."""
    create_index(client, index_name, articles(5))
    create_index(client, f"{index_name}-other", articles(5))
    job, ledger = held(client, index_name), Ledger(client)
    other = admin.describe(client, f"{index_name}-other")
    part = replace(job.parts[0], target=other.name, target_uuid=other.uuid, target_history=())
    ledger.change_job(ledger.job(job.job_id), parts=(part,), accept_unreplicated=True)
    told = f"'{other.name}' does not say that it is a copy of '{index_name}'"
    with pytest.raises(IdentityError, match=told):
        operate.verify_job(client, ENCODER, job.job_id)
    with pytest.raises(Ce2deError):
        operate.cutover(client, ENCODER, job.job_id, "tester")
    assert len(all_documents(client, other.name)) == 5
    assert not client.indices.exists_alias(name=f"{index_name}-search")


def parts_of(client: OpenSearch, names: list[str]) -> list[Part]:
    return [Part(name, admin.describe(client, name).uuid, name, 0) for name in names]


def test_many_sources_are_looked_at_together_and_one_that_is_gone_is_named(
    client: OpenSearch, index_name: str
) -> None:
    names = [f"{index_name}-{'x' * 150}-{number}" for number in range(25)]  # more than one request's names
    for name in names[:2]:
        create_index(client, name, articles(3))
    client.indices.put_alias(index=names[1], name=names[2])
    parts = parts_of(client, names[:2])
    assert identity.checkpoints_of(client, parts) == [{0: 2}, {0: 2}]
    for name in names[3:]:
        client.indices.create(index=name, body={"settings": {"number_of_replicas": 0}})
    parts = parts_of(client, [*names[:2], *names[3:]])
    assert identity.checkpoints_of(client, parts)[2:] == [{0: -1}] * 22
    client.indices.delete(index=names[5])
    with pytest.raises(IdentityError, match=f"'{names[5]}' does not exist any more"):
        identity.checkpoints_of(client, parts)


@pytest.fixture
def snapshots(instances: Path) -> Iterator[OpenSearch]:
    """A server of its own that may write snapshots, with the repository ``backup``."""
    home = instances / f"tests-{os.getpid()}-snapshots"
    backup = home / "backup"
    backup.mkdir(parents=True)
    backup.chmod(0o777)  # OpenSearch runs as another account
    servers = LocalServers(home=home, node_settings={"path.repo": str(backup)})
    url = servers.up(heap="512m").opensearch_url
    with connect(OpenSearchSettings(url=url)) as client:
        client.snapshot.create_repository(
            repository="backup", body={"type": "fs", "settings": {"location": str(backup)}}
        )
        yield client
    remove(servers)


def test_a_snapshot_restored_over_the_source_is_refused_and_reopening_is_not(
    snapshots: OpenSearch, index_name: str
) -> None:
    client = snapshots
    create_index(client, index_name, articles(20))
    client.snapshot.create(
        repository="backup", snapshot="s1", body={"indices": index_name}, wait_for_completion=True
    )
    job = held(client, index_name)
    client.indices.close(index=index_name)
    client.indices.open(index=index_name)
    assert status(client, job.job_id).errors == ()
    client.indices.close(index=index_name)
    client.snapshot.restore(
        repository="backup", snapshot="s1", body={"indices": index_name}, wait_for_completion=True
    )
    assert "another history" in status(client, job.job_id).errors[0]
    with pytest.raises(JobError, match=f"'{index_name}' has another history than when the job began"):
        operate.cutover(client, ENCODER, job.job_id, "tester")


def test_a_primary_that_is_away_is_not_another_index(client: OpenSearch, index_name: str) -> None:
    settings = {"index.routing.allocation.require._name": "nobody", "number_of_replicas": 0}
    body = {"settings": settings}
    client.indices.create(index=index_name, body=body, params={"wait_for_active_shards": "0"})
    part = Part(index_name, "", index_name, 0, snapshot=(-1,))
    with pytest.raises(BackendUnavailableError, match="0 of 1 primaries answer"):
        identity.source_checkpoints(client, part)
