"""What a job refuses before anything is created, on a real OpenSearch."""

from __future__ import annotations

from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.index.metadata import META_KEY
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex.job import DONE, FAILED, READY, Job
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.sources import new_members
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.status import status
from tests.integration.indexes import HashEncoder, InlineQueue, all_documents, articles, create_index

ENCODER = HashEncoder()
OTHER = HashEncoder("b" * 64, name="other")
FIELDS = TextSpec(("title", "body"))


def begin(client: OpenSearch, source: str, encoder: Any = ENCODER, **request: Any) -> Job:
    queue = InlineQueue()
    options = {"text": FIELDS, "alias": f"{source.rstrip('*')}-search", "follow": False, **request}
    job = start(client, JobRequest(source, **options), encoder, queue)
    queue.run(client, encoder)
    found = status(client, job.job_id).job
    assert found.state in (DONE, READY), found.error
    return found


def refused(client: OpenSearch, source: str, told: str, **request: Any) -> None:
    before = sorted(client.indices.get(index=f"{source.rstrip('*')[:12]}*", expand_wildcards="all"))
    with pytest.raises((ConfigError, DataError), match=told):
        begin(client, source, **request)
    assert sorted(client.indices.get(index=f"{source.rstrip('*')[:12]}*", expand_wildcards="all")) == before


def test_a_field_that_opensearch_computes_is_refused_and_the_real_ones_are_named(
    client: OpenSearch, index_name: str
) -> None:
    text = {"type": "text", "copy_to": "everything"}
    fields = {"title": text, "body": text, "everything": {"type": "text"}}
    fields["content"] = {"type": "alias", "path": "body"}
    create_index(client, index_name, articles(3), {"properties": fields})
    refused(client, index_name, "copy_to.*`text_fields=body,title`", text=TextSpec(("everything",)))
    refused(client, index_name, "alias of the field 'body'.*`text_fields=body`", text=TextSpec(("content",)))


def test_every_field_that_holds_text_is_offered(client: OpenSearch, index_name: str) -> None:
    kinds = {"message": "match_only_text", "name": "search_as_you_type", "code": "keyword", "n": "integer"}
    create_index(client, index_name, [], {"properties": {key: {"type": kind} for key, kind in kinds.items()}})
    told = "the fields that hold text are: code, message, name;"
    refused(client, index_name, told, text=TextSpec(("name.en",)))


def test_a_name_that_no_field_has_is_explained(client: OpenSearch, index_name: str) -> None:
    name = {"type": "keyword", "fields": {"en": {"type": "text"}}}
    fields = {"name": name, "meta": {"type": "flat_object"}, "raw": {"type": "object", "enabled": False}}
    create_index(client, index_name, [], {"properties": fields})
    cases = {
        "name.en": "'name.en' is a multi-field of 'name': name 'name'",
        "meta.a.title": "'meta.a.title' is inside 'meta', a flat_object",
        "raw.title": "'raw.title' is inside 'raw', an object with enabled: false",
        "nam": "no field 'nam'; the fields that hold text are: name;",
    }
    for field, told in cases.items():
        refused(client, index_name, told, text=TextSpec((field,)))


@pytest.mark.parametrize("kept", [{"excludes": ["bo*"]}, {"excludes": ["body"]}, {"includes": ["title"]}])
def test_text_that_the_source_does_not_keep_is_refused_even_where_the_loss_is_accepted(
    client: OpenSearch, index_name: str, kept: dict[str, Any]
) -> None:
    fields = {"title": {"type": "text"}, "body": {"type": "text"}}
    create_index(client, index_name, articles(3), {"properties": fields, "_source": kept})
    refused(client, index_name, "leaves 'body' out of its _source", accept_excluded_fields=True)
    begin(client, index_name, text=TextSpec(("title",)), accept_excluded_fields=True)


def test_a_copy_without_any_vector_is_not_served(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, [{"other": "a text"}] * 3, {"properties": {"body": {"type": "text"}}})
    queue = InlineQueue()
    job = start(client, JobRequest(index_name, TextSpec(("body",)), alias=f"{index_name}-s"), ENCODER, queue)
    queue.run(client, ENCODER)
    found = status(client, job.job_id).job
    assert (found.state, "no document has text in body" in str(found.error)) == (FAILED, True)
    assert not client.indices.exists_alias(name=f"{index_name}-s")


def test_a_filtered_alias_is_refused_as_source_unless_it_is_the_one_that_moves(
    client: OpenSearch, index_name: str
) -> None:
    create_index(client, index_name, articles(7))
    tenant = f"{index_name}-tenant"
    client.indices.put_alias(index=index_name, name=tenant, body={"filter": {"term": {"title": "engine"}}})
    seen = client.count(index=tenant)["count"]
    refused(client, tenant, f"shows only a part of '{index_name}'.*`alias={tenant}`")
    begin(client, tenant, alias=tenant)
    assert client.count(index=tenant)["count"] == seen < 7


@pytest.mark.parametrize(
    ("request_options", "told"),
    [
        ({"alias": "Bad Alias"}, "`alias`: 'Bad Alias' has 'B' in it"),
        ({"alias": "same", "target": "same"}, "`alias` and `target` are both 'same'"),
        ({"target": "x" * 256}, "has 256 bytes"),
        ({"pipeline": "not-there"}, "there is no ingest pipeline 'not-there'"),
    ],
)
def test_names_that_cannot_be_are_refused_at_once(
    client: OpenSearch, index_name: str, request_options: dict[str, Any], told: str
) -> None:
    create_index(client, index_name, articles(3))
    refused(client, index_name, told, **request_options)


def test_an_application_that_gives_versions_itself_is_noticed_before_a_handover(
    client: OpenSearch, index_name: str
) -> None:
    """Its next version would be lower than the copy's, and such connectors ignore the conflict."""
    alias, versioned = f"{index_name}-app", {"version_type": "external"}
    create_index(client, index_name, [])
    client.indices.put_alias(index=index_name, name=alias)
    for number, article in enumerate(articles(20)):
        client.index(index=index_name, id=str(number), body=article, params={**versioned, "version": "8"})
    client.indices.refresh(index=index_name)
    told = "application gives.*'19' would have version 20, not 8.*`way=mirror`.*`way=handover`"
    refused(client, index_name, told, alias=alias)
    for way in ("mirror", "handover"):
        begin(client, index_name, alias=f"{alias}-{way}", way=way, target=f"{index_name}-{way}", hold=True)


@pytest.mark.parametrize("version", [None, 1_700_000_000_000])
def test_versions_that_go_on_after_a_handover_are_no_reason_against_it(
    client: OpenSearch, index_name: str, version: int | None
) -> None:
    alias = f"{index_name}-app"
    create_index(client, index_name, [])
    client.indices.put_alias(index=index_name, name=alias)
    for number, article in enumerate([*articles(5), *articles(5)]):
        given = {"version_type": "external", "version": str(version + number)} if version else {}
        client.index(index=index_name, id=str(number % 5), body=article, params=given)
    job = begin(client, index_name, alias=alias)
    assert job.way == "handover"
    if version:
        higher = {"version_type": "external", "version": str(version + 10)}
        client.index(index=alias, id="3", body={"title": "accepted"}, params=higher)


def test_a_closed_source_and_one_that_may_not_be_written_in_place_are_refused(
    client: OpenSearch, index_name: str
) -> None:
    create_index(client, index_name, articles(3), knn=True)
    client.indices.put_settings(index=index_name, body={"index.blocks.write": True})
    refused(client, index_name, r"read-only \(index.blocks.write\)", mode="in_place")
    client.indices.close(index=index_name)
    refused(client, index_name, f"is closed.*POST {index_name}/_open", mode="copy")


def test_a_name_of_245_bytes_is_copied_into_a_shorter_one(client: OpenSearch, index_name: str) -> None:
    source = f"{index_name}-{'x' * (244 - len(index_name))}"
    create_index(client, source, articles(3))
    job = begin(client, source, alias=f"{index_name}-search")
    assert len(job.target) == 255
    assert client.count(index=f"{index_name}-search")["count"] == 3


def test_a_second_model_on_a_pattern_reads_the_sources_not_the_first_ones_copies(
    client: OpenSearch, index_name: str
) -> None:
    for name in ("a", "b"):
        create_index(client, f"{index_name}-{name}", articles(5))
    begin(client, f"{index_name}-*")
    job = begin(client, f"{index_name}-*", OTHER, alias=f"{index_name}-search2")
    assert job.sources == (f"{index_name}-a", f"{index_name}-b")
    assert job.targets == tuple(f"{index_name}-{name}-ce2de-bbbbbbbb-000001" for name in ("a", "b"))


def test_an_index_that_appears_behind_a_pattern_is_named(client: OpenSearch, index_name: str) -> None:
    create_index(client, f"{index_name}-1", articles(5))
    job = begin(client, f"{index_name}-*", hold=True)
    assert new_members(client, job) == []
    create_index(client, f"{index_name}-2", articles(5))
    assert new_members(client, job) == [f"{index_name}-2"]


def test_vectors_that_a_documents_writer_made_up_are_not_believed(
    client: OpenSearch, index_name: str
) -> None:
    text = "planted\nplanted"
    planted = {
        "title": "planted",
        "body": "planted",
        "ce2de_vector": [1.0] + [0.0] * 15,
        "ce2de_vector_hash": FIELDS.hash_of(text, ENCODER.fingerprint),
    }
    meta = {META_KEY: {"fields": {}}}
    mappings = {
        "_meta": meta,
        "dynamic": False,
        "properties": {"title": {"type": "text"}, "body": {"type": "text"}},
    }
    create_index(client, index_name, [planted], mappings)
    job = begin(client, index_name)
    (document,) = all_documents(client, job.target).values()
    assert document["ce2de_vector"] == pytest.approx(list(ENCODER.encode_documents([text])[0]), abs=1e-5)


@pytest.mark.parametrize("block", ["write", "read_only"])
def test_a_read_only_source_is_copied_but_not_handed_over(
    client: OpenSearch, index_name: str, block: str
) -> None:
    """Its copy would take writes that it does not take itself, and a rollback would open it."""
    alias, setting = f"{index_name}-app", f"index.blocks.{block}"
    create_index(client, index_name, articles(3))
    client.indices.put_alias(index=index_name, name=alias)
    client.indices.put_settings(index=index_name, body={setting: True})
    try:
        refused(client, index_name, rf"is read-only \({setting}\).*`way=mirror`", alias=alias)
        begin(client, index_name)
        assert client.count(index=f"{index_name}-search")["count"] == 3
        found = client.indices.get_settings(index=index_name, flat_settings="true")[index_name]["settings"]
        assert found[setting] == "true"
    finally:
        client.indices.put_settings(index=index_name, body={setting: None})
