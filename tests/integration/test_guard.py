"""The guard on a real OpenSearch: who has lost the right to write changes nothing and creates nothing."""

from __future__ import annotations

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import GuardGoneError
from ce2de_os.index import admin
from ce2de_os.index.bulk import (
    Action,
    CreateAction,
    DeleteAction,
    ReplaceAction,
    UpdateAction,
    WriteAction,
    write_documents,
)
from ce2de_os.index.guard import guard_name
from tests.integration.indexes import all_documents

OLD = {"text": "as it was"}
ACTIONS: tuple[Action, ...] = (
    WriteAction("a", 9, None, {"text": "new"}),
    WriteAction("b", 9, None, {"text": "new"}),
    CreateAction("c", None, {"text": "new"}),
    UpdateAction("a", 0, 1, None, {"text": "new"}),
    ReplaceAction("a", 0, 1, None, {"text": "new"}),
    DeleteAction("a", None, 0, 1),
)


@pytest.fixture
def target(cluster: OpenSearch, cluster_index: str) -> str:
    guard = {guard_name(cluster_index): {"is_hidden": True}}
    body = {"aliases": guard, "settings": {"number_of_replicas": 0}}
    cluster.indices.create(index=cluster_index, body=body)
    write_documents(cluster, cluster_index, [WriteAction("a", 1, None, OLD)], guarded=True)
    return cluster_index


def test_a_guarded_write_arrives_and_no_one_sees_the_guard(cluster: OpenSearch, target: str) -> None:
    assert all_documents(cluster, target) == {"a": OLD}
    report = write_documents(cluster, target, [DeleteAction("a", None, 0, 1)], guarded=True)
    assert (report.written, all_documents(cluster, target)) == (1, {})
    assert admin.aliases_of(cluster, target) == []


def assert_refused(client: OpenSearch, target: str) -> None:
    for action in ACTIONS:
        with pytest.raises(GuardGoneError, match=f"the job may not write to '{target}' any more"):
            write_documents(client, target, [action], guarded=True)


def test_without_the_guard_nothing_is_written(cluster: OpenSearch, target: str) -> None:
    cluster.indices.delete_alias(index=target, name=guard_name(target))
    assert_refused(cluster, target)
    assert all_documents(cluster, target) == {"a": OLD}


def test_a_deleted_target_is_not_made_again_by_a_write(cluster: OpenSearch, target: str) -> None:
    cluster.indices.delete(index=target)
    before = sorted(cluster.indices.get(index="*", expand_wildcards="all"))
    assert_refused(cluster, target)
    assert sorted(cluster.indices.get(index="*", expand_wildcards="all")) == before


def test_an_index_made_under_the_targets_name_is_not_written(cluster: OpenSearch, target: str) -> None:
    cluster.indices.delete(index=target)
    cluster.indices.create(index=target)
    assert_refused(cluster, target)
    assert all_documents(cluster, target) == {}
