"""What a target is created with on a real OpenSearch, and what the user's own index templates do to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import ConfigError
from ce2de_os.index import admin
from ce2de_os.index.documents import documents, field_texts
from ce2de_os.index.guard import guard_name, turn_name
from ce2de_os.index.metadata import IndexMetadata, fields_from
from ce2de_os.index.target_body import target_body
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex import dead_letters
from ce2de_os.reindex.job import DONE, READY, Job
from ce2de_os.reindex.operate import cutover
from ce2de_os.reindex.planning.sample import draw
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.creation import remove_rollover_template, rollover_template
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.slices.source import read_documents_by_id
from ce2de_os.reindex.status import status
from ce2de_os.reindex.syncing.retry import retry
from tests.integration.indexes import (
    HashEncoder,
    InlineQueue,
    all_documents,
    articles,
    assert_same_documents,
    create_index,
)

ENCODER = HashEncoder()
FIELDS = TextSpec(("title", "body"))


def reindex(client: OpenSearch, source: str, **request: Any) -> Job:
    queue = InlineQueue()
    options = {"alias": f"{source}-search", "follow": False, "accept_unreplicated": True, **request}
    job = start(client, JobRequest(source, FIELDS, **options), ENCODER, queue)
    queue.run(client, ENCODER)
    found = status(client, job.job_id).job
    assert found.state in (DONE, READY), found.error
    return found


def settings_of(client: OpenSearch, index: str) -> dict[str, Any]:
    found: dict[str, Any] = client.indices.get_settings(index=index, flat_settings="true")[index]["settings"]
    return found


@pytest.fixture
def counting(client: OpenSearch, index_name: str) -> Iterator[str]:
    """A pipeline that counts how often it ran on a document."""
    name = f"{index_name}-counting"
    script = "ctx.n = (ctx.containsKey('n') ? ctx.n : 0) + 1"
    client.ingest.put_pipeline(id=name, body={"processors": [{"script": {"source": script}}]})
    yield name
    for index in client.indices.get(index=f"{index_name}*", expand_wildcards="all"):
        client.indices.delete(index=index)
    client.ingest.delete_pipeline(id=name)


def test_a_source_that_waits_for_two_copies_and_allows_few_hits_is_copied(
    client: OpenSearch, index_name: str
) -> None:
    settings = {"max_result_window": 50, "number_of_replicas": 1, "translog.durability": "async"}
    create_index(client, index_name, articles(300), **settings)
    client.indices.put_settings(index=index_name, body={"index.write.wait_for_active_shards": "2"})
    job = reindex(client, index_name, hold=True)
    found = settings_of(client, job.target)
    client.indices.put_settings(index=[index_name, job.target], body={"index.max_result_window": None})
    assert_same_documents(client, index_name, job.target, ENCODER)
    assert found["index.write.wait_for_active_shards"] == "2"  # back after the load
    assert found["index.translog.durability"] == "async"
    assert found["index.number_of_replicas"] == "1"
    assert found["index.max_result_window"] == "50"  # what the source's owner allows


def test_every_reader_keeps_within_the_hits_that_an_index_allows(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(60), max_result_window=7, number_of_shards=2)
    fields = ("title", "body")
    assert len(dict(field_texts(client, index_name, fields))) == 60
    assert len(documents(client, index_name, [str(number) for number in range(60)], fields)) == 60
    assert len(draw(client, index_name, fields, 30).texts) == 7
    assert len(read_documents_by_id(client, index_name, ["1", "2", "3"])) == 3
    refuse = {"processors": [{"fail": {"if": "ctx.title != null", "message": "no titles"}}]}
    client.ingest.put_pipeline(id=index_name, body=refuse)
    queue = InlineQueue()
    options = {"alias": f"{index_name}-search", "follow": False, "accept_unreplicated": True}
    job = start(client, JobRequest(index_name, FIELDS, pipeline=index_name, **options), ENCODER, queue)
    queue.run(client, ENCODER)
    assert dead_letters.count(client, job.job_id) == 60
    client.ingest.put_pipeline(id=index_name, body={"processors": []})
    assert retry(client, ENCODER, job.job_id).written == 60
    client.ingest.delete_pipeline(id=index_name)
    assert cutover(client, ENCODER, job.job_id, "tester").state == DONE
    client.indices.put_settings(index=f"{index_name}*", body={"index.max_result_window": None})
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_a_mapping_that_is_full_has_room_for_the_vectors(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(20), **{"mapping.total_fields.limit": 2})
    job = reindex(client, index_name)
    assert int(settings_of(client, job.target)["index.mapping.total_fields.limit"]) > 2
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_a_final_pipeline_runs_once_on_each_document_also_on_late_writes(
    client: OpenSearch, index_name: str, counting: str
) -> None:
    create_index(client, index_name, articles(5), final_pipeline=counting)
    job = reindex(client, index_name, hold=True)
    client.index(index=index_name, id="late", body={"title": "late", "body": "late"}, refresh=True)
    again = reindex(client, index_name, hold=True)
    assert again.job_id == job.job_id
    assert {document["n"] for document in all_documents(client, job.target).values()} == {1}
    assert "late" in all_documents(client, job.target)
    assert settings_of(client, job.target)["index.final_pipeline"] == "_none"


@pytest.fixture
def template(client: OpenSearch, index_name: str) -> Iterator[Any]:
    """Puts an index template, which is deleted after the indices."""
    made: list[str] = []

    def put(pattern: str, body: dict[str, Any], **more: Any) -> str:
        made.append(f"{index_name}-template-{len(made)}")
        client.indices.put_index_template(
            name=made[-1], body={"index_patterns": [pattern], "template": body, **more}
        )
        return made[-1]

    yield put
    for name in (f"{index_name}*", f"ce2de-{index_name}*"):
        client.indices.delete_data_stream(name=name, params={"ignore": [404]})
        for index in client.indices.get(index=name, expand_wildcards="all"):
            client.indices.delete(index=index)
    for name in made:
        client.indices.delete_index_template(name=name)


def test_a_template_that_adds_an_alias_leaves_the_alias_alone(
    client: OpenSearch, index_name: str, template: Any
) -> None:
    settings = {"number_of_replicas": 0, "refresh_interval": "7s", "codec": "best_compression"}
    template(f"{index_name}*", {"aliases": {f"{index_name}-read": {}}, "settings": settings})
    create_index(client, index_name, articles(20))
    job = reindex(client, index_name, hold=True)
    assert client.count(index=f"{index_name}-read")["count"] == 20
    assert job.target == f"ce2de-{index_name}-aaaaaaaa-000001"  # a name that the template does not match


def test_settings_of_a_template_that_the_source_lacks_are_not_the_copys(
    client: OpenSearch, index_name: str, template: Any, counting: str
) -> None:
    create_index(client, index_name, articles(5))
    template(f"{index_name}*", {"settings": {"final_pipeline": counting, "codec": "best_compression"}})
    job = reindex(client, index_name, hold=True)
    assert job.target == f"{index_name}-ce2de-aaaaaaaa-000001"
    assert settings_of(client, job.target)["index.codec"] is None
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_a_data_streams_own_template_does_not_stop_its_copy(
    client: OpenSearch, index_name: str, template: Any
) -> None:
    template(f"{index_name}-*", {"mappings": {"properties": {"title": {"type": "text"}}}}, data_stream={})
    stream = f"{index_name}-app"
    for number, document in enumerate(articles(5)):
        body = {**document, "@timestamp": "2026-01-01T00:00:00Z"}
        client.create(index=stream, id=str(number), body=body)
    client.indices.refresh(index=stream)
    job = reindex(client, stream)
    assert job.target == f"ce2de-{stream}-000001-aaaaaaaa-000001"
    assert client.count(index=f"{stream}-search")["count"] == 5


def test_what_a_template_forces_on_a_target_is_told_and_nothing_is_left_behind(
    client: OpenSearch, index_name: str, template: Any
) -> None:
    create_index(client, index_name, articles(5))
    name = template(f"*{index_name}*", {"aliases": {f"{index_name}-read": {}}})
    with pytest.raises(ConfigError, match=f"'{name}'.*choose a `target`"):
        reindex(client, index_name)
    with pytest.raises(ConfigError, match=f"'{name}'. gave '{index_name}-new' alias '{index_name}-read'"):
        reindex(client, index_name, target=f"{index_name}-new")
    assert sorted(client.indices.get(index=f"*{index_name}*")) == [index_name]


def test_an_index_that_rolls_over_from_a_copy_carries_the_vector_field(
    client: OpenSearch, index_name: str, template: Any
) -> None:
    template(f"{index_name}*", {"settings": {"number_of_replicas": 0}}, priority=7)
    create_index(client, index_name, articles(5), refresh_interval="9s", number_of_replicas=0)
    job = reindex(client, index_name)
    try:
        assert rollover_template(client, job.parts[0]) is None
        assert rollover_template(client, job.parts[0]) is None  # again, as after a lost answer
        client.indices.update_aliases(
            body={"actions": [
                {"add": {"index": job.target, "alias": f"{index_name}-search", "is_write_index": True}},
            ]}
        )  # fmt: skip
        rolled = client.indices.rollover(alias=f"{index_name}-search")["new_index"]
        found = client.indices.get(index=rolled, flat_settings="true")[rolled]
        assert rolled == f"{index_name}-ce2de-aaaaaaaa-000002"
        assert found["mappings"]["properties"]["ce2de_vector"]["type"] == "knn_vector"
        (entry,) = fields_from(found["mappings"])
        assert (entry.fingerprint, entry.source) == ("a" * 64, "")
        assert (found["settings"]["index.knn"], found["settings"]["index.refresh_interval"]) == ("true", "9s")
        assert "index.default_pipeline" not in found["settings"]
    finally:
        remove_rollover_template(client, job.target)
    assert not client.indices.exists_index_template(name=f"ce2de-rollover-{index_name}-ce2de-aaaaaaaa")


def test_a_target_of_a_version_that_wrote_no_level_is_no_other_target(
    client: OpenSearch, index_name: str
) -> None:
    create_index(client, index_name, articles(30))
    source, vector = admin.describe(client, index_name), VectorField(ENCODER.dim)
    metadata = IndexMetadata(
        vector.name, FIELDS.fields, ENCODER.fingerprint, ENCODER.dim, ENCODER.name, index_name, ENCODER.space,
        ready=True,
    )  # fmt: skip
    body = target_body(source.settings, source.mappings, metadata, vector, vector.hash_field)
    del body["mappings"]["properties"][vector.name]["compression_level"]
    target = f"{index_name}-old"
    body["aliases"] = {name: {"is_hidden": True} for name in (guard_name(target), turn_name(target, 0))}
    client.indices.create(index=target, body=body)

    job = reindex(client, index_name, target=target)
    assert (job.state, job.error, job.targets) == (DONE, None, (target,))
    mapping = client.indices.get_mapping(index=target)[target]["mappings"]["properties"][vector.name]
    assert "compression_level" not in mapping
    assert_same_documents(client, index_name, target)
