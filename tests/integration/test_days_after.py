"""Life after a cutover: rollovers, daily indices, another model, other keys in the mapping."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.index import aliases
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex import dead_letters, operate
from ce2de_os.reindex.cutover.rollback import rollback
from ce2de_os.reindex.job import DONE, READY, ROLLED_BACK, Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.syncing.retry import retry
from tests.integration.indexes import HashEncoder, InlineQueue, all_documents, articles, create_index

ENCODER = HashEncoder()
OTHER = HashEncoder("b" * 64, name="other")
FIELDS = TextSpec(("title", "body"))


@pytest.fixture
def queue() -> InlineQueue:
    return InlineQueue()


def run(client: OpenSearch, queue: InlineQueue, source: str, encoder: Any = ENCODER, **options: Any) -> Job:
    job = start(client, JobRequest(source, FIELDS, **options), encoder, queue)
    queue.run(client, encoder)
    return Ledger(client).job(job.job_id).job


def flat_settings(client: OpenSearch, index: str) -> dict[str, Any]:
    found: dict[str, Any] = client.indices.get_settings(index=index, flat_settings="true")[index]["settings"]
    return found


def test_an_alias_keeps_its_filter_when_another_model_replaces_the_copy(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    """Each member by what it was copied from, not by its own name; else a tenant would see all documents."""
    alias, archive = f"{index_name}-tenant", f"{index_name}-archive"
    create_index(client, index_name, articles(14))
    create_index(client, archive, articles(3))
    first = run(client, queue, index_name, alias=alias)
    assert first.state == DONE, first.error
    only = {"filter": {"match": {"title": "river"}}, "search_routing": "k", "is_write_index": False}
    client.indices.put_alias(index=first.target, name=alias, body=only)
    client.indices.put_alias(index=archive, name=alias)
    before = aliases.definitions(client, alias)
    second = run(client, queue, index_name, OTHER, alias=alias, follow=False)
    assert second.state == DONE, second.error
    after = aliases.definitions(client, alias)
    assert after == {second.target: before[first.target], archive: before[archive]}
    assert after[second.target]["filter"] == only["filter"]
    assert rollback(client, second.job_id).state == ROLLED_BACK
    assert aliases.definitions(client, alias) == before


def test_an_alias_rolls_over_after_its_handover_and_the_new_index_is_followed(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    alias = f"{index_name}-log"
    create_index(client, f"{index_name}-000001", articles(5), number_of_replicas=0)
    client.indices.put_alias(index=f"{index_name}-000001", name=alias, body={"is_write_index": True})
    job = run(client, queue, f"{index_name}-000001", alias=alias)
    assert job.state == DONE, job.error
    rolled = client.indices.rollover(alias=alias)
    assert (rolled["old_index"], rolled["rolled_over"]) == (job.target, True)
    client.index(index=alias, id="new", body={"title": "after the rollover"}, refresh=True)
    for _ in range(2):  # it joins, and is embedded at the next look
        queue.follow(client, ENCODER)
    new = all_documents(client, rolled["new_index"])["new"]
    assert new["ce2de_vector"] == pytest.approx(
        list(ENCODER.encode_documents(["after the rollover"])[0]), abs=1e-5
    )
    assert {len(one["ce2de_vector"]) for one in all_documents(client, alias).values()} == {16}


@pytest.mark.parametrize("held", [True, False])
def test_a_daily_index_joins_a_pattern_with_the_settings_of_its_source(
    client: OpenSearch, index_name: str, queue: InlineQueue, held: bool
) -> None:
    create_index(client, f"{index_name}-1", articles(5))
    alias = f"{index_name}s"
    job = run(client, queue, f"{index_name}-*", alias=alias, hold=held, follow=not held)
    assert job.state == (READY if held else DONE), job.error
    create_index(client, f"{index_name}-2", articles(7), refresh_interval="9s")
    if held:
        job = operate.cutover(client, ENCODER, job.job_id, "operator", accept_unreplicated=True)
        assert job.state == DONE, job.error
    else:
        for _ in range(2):
            queue.follow(client, ENCODER)
    joined = f"{index_name}-2-ce2de-aaaaaaaa-000001"
    assert set(aliases.definitions(client, alias)) == {f"{index_name}-1-ce2de-aaaaaaaa-000001", joined}
    assert {len(one["ce2de_vector"]) for one in all_documents(client, joined).values()} == {16}
    found = flat_settings(client, joined)
    assert (found["index.refresh_interval"], found["index.number_of_replicas"]) == ("9s", "1")


def test_a_daily_index_joins_although_a_worker_died_while_it_joined(
    client: OpenSearch, index_name: str, queue: InlineQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_index(client, f"{index_name}-1", articles(5))
    job = run(client, queue, f"{index_name}-*", alias=f"{index_name}s")
    assert job.state == DONE, job.error
    create_index(client, f"{index_name}-2", articles(7))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Ledger, "add_slices", _die)
        queue.follow(client, ENCODER)
    for _ in range(2):
        queue.follow(client, ENCODER)
    assert len(all_documents(client, f"{index_name}-2-ce2de-aaaaaaaa-000001")) == 7


def _die(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("mode", ["copy", "in_place"])
@pytest.mark.parametrize("end", ["held", "cancelled"])
def test_a_job_of_another_model_leaves_the_vectors_that_are_searched_up_to_date(
    client: OpenSearch, index_name: str, mode: Any, end: str
) -> None:
    """Until its alias moves, what applications search is kept up to date by the standing job of before."""
    alias, old, new = f"{index_name}-app", InlineQueue(), InlineQueue()
    create_index(client, index_name, articles(5))
    client.indices.put_alias(index=index_name, name=alias)
    assert run(client, old, index_name, alias=alias).state == DONE
    second = run(client, new, alias, OTHER, alias=alias, mode=mode, hold=True)
    assert second.state == READY, second.error
    if end == "cancelled":
        operate.cancel(client, second.job_id)
    client.index(index=alias, id="new", body={"title": "written later"}, refresh=True)
    old.follow(client, ENCODER)
    new.follow(client, OTHER)
    wanted = pytest.approx(list(ENCODER.encode_documents(["written later"])[0]), abs=1e-5)
    assert all_documents(client, alias)["new"]["ce2de_vector"] == wanted
    assert ("new" in all_documents(client, second.target)) == (mode == "in_place" or end == "held")
    if end == "held":
        assert operate.cutover(client, OTHER, second.job_id, "operator").state == DONE
        assert "new" in all_documents(client, alias)


@pytest.mark.parametrize("way", ["handover", "mirror", "in_place"])
@pytest.mark.parametrize("times", [1, 2])
def test_after_a_rollback_the_vectors_of_the_former_model_are_kept_up_to_date(
    client: OpenSearch, index_name: str, way: Any, times: int
) -> None:
    """A new model at noon, back to the former one at night, once or twice: the next day's documents count."""
    alias, old, new = f"{index_name}-app", InlineQueue(), InlineQueue()
    create_index(client, index_name, articles(5), **{"index.knn": True})
    client.indices.put_alias(index=index_name, name=alias)
    options: dict[str, Any] = {"mode": "in_place"} if way == "in_place" else {"alias": alias, "way": way}
    source = alias if way == "handover" else index_name
    first = run(client, old, source, **options)
    assert first.state == DONE, first.error
    if way == "in_place":
        options["vector"] = partial(VectorField, name="other_vector")
    second = run(client, new, source, OTHER, **options)
    assert second.state == DONE, second.error
    written = index_name if way == "mirror" else alias
    client.index(index=written, id="between", body={"title": "written at noon"}, refresh=True)
    new.follow(client, OTHER)
    for number in range(times):
        if number:
            assert operate.cutover(client, OTHER, second.job_id, "operator").state == DONE
        assert rollback(client, second.job_id).state == ROLLED_BACK
        body = {"title": f"the day after {number}"}
        client.index(index=written, id=f"next{number}", body=body, refresh=True)
        old.follow(client, ENCODER)
    found = all_documents(client, alias if way != "in_place" else index_name)
    for doc_id in ("between", *(f"next{number}" for number in range(times))):
        right = ENCODER.encode_documents([found[doc_id]["title"]])[0]
        assert found[doc_id]["ce2de_vector"] == pytest.approx(list(right), abs=1e-5), doc_id


def test_a_rollback_of_a_job_that_is_not_the_last_leaves_the_standing_job(
    client: OpenSearch, index_name: str
) -> None:
    old, new = InlineQueue(), InlineQueue()
    create_index(client, index_name, articles(5), **{"index.knn": True})
    first = run(client, old, index_name, mode="in_place")
    second = run(client, new, index_name, OTHER, mode="in_place")
    assert second.state == DONE, second.error
    assert rollback(client, first.job_id).state == ROLLED_BACK
    client.index(index=index_name, id="next", body={"title": "the day after"}, refresh=True)
    new.follow(client, OTHER)
    assert second.vector.name in all_documents(client, index_name)["next"]


@pytest.mark.parametrize("state", ["following", "paused"])
def test_after_a_rollback_a_standing_job_that_lost_an_index_continues(
    client: OpenSearch, index_name: str, state: str
) -> None:
    """Retention deleted one of its indices before the new model came; paused it stays paused."""
    old, new, alias = InlineQueue(), InlineQueue(), f"{index_name}x"
    for day in (1, 2):
        create_index(client, f"{index_name}-{day}", articles(3))
    options = {"alias": alias, "way": "mirror"}
    assert run(client, old, f"{index_name}-*", **options).state == DONE
    old.follow(client, ENCODER)
    client.indices.delete(index=f"{index_name}-1")
    old.follow(client, ENCODER)
    if state == "paused":
        operate.pause(client, old.standing[-1])
    second = run(client, new, f"{index_name}-*", OTHER, **options)
    assert second.state == DONE, second.error
    assert rollback(client, second.job_id).state == ROLLED_BACK
    assert Ledger(client).job(old.standing[-1]).job.state == state
    client.index(index=f"{index_name}-2", id="next", body={"title": "the day after"}, refresh=True)
    old.follow(client, ENCODER)
    assert ("next" in all_documents(client, alias)) == (state == "following")


def test_after_a_rollback_the_former_fields_of_the_same_model_are_embedded(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    alias = f"{index_name}-app"
    create_index(client, index_name, articles(5))
    client.indices.put_alias(index=index_name, name=alias)
    assert run(client, queue, alias, alias=alias).state == DONE
    request = JobRequest(
        alias, TextSpec(("title",)), alias=alias, way="handover", target=f"{index_name}-titles"
    )
    second = start(client, request, ENCODER, queue)
    queue.run(client, ENCODER)
    assert Ledger(client).job(second.job_id).job.state == DONE
    assert rollback(client, second.job_id).state == ROLLED_BACK
    client.index(index=alias, id="next", body={"title": "the day after", "body": "all"}, refresh=True)
    queue.follow(client, ENCODER)
    wanted = pytest.approx(list(ENCODER.encode_documents(["the day after\nall"])[0]), abs=1e-5)
    assert all_documents(client, alias)["next"]["ce2de_vector"] == wanted


def test_a_clone_that_took_the_place_of_an_index_is_the_source_of_the_next_job(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    """A clone, a shrunken index or a restored one has the mapping of the index that it replaces."""
    alias, clone = f"{index_name}-app", f"{index_name}-resized"
    create_index(client, index_name, articles(5))
    client.indices.put_alias(index=index_name, name=alias)
    first = run(client, queue, index_name, alias=alias)
    client.indices.put_settings(index=first.target, body={"index.blocks.write": True})
    client.indices.clone(index=first.target, target=clone, body={"settings": {"index.blocks.write": None}})
    client.indices.put_settings(index=first.target, body={"index.blocks.write": None})
    moves = [{"remove": {"index": first.target, "alias": alias}}, {"add": {"index": clone, "alias": alias}}]
    client.indices.update_aliases(body={"actions": moves})
    client.index(index=alias, id="new", body={"title": "acknowledged"}, refresh=True)
    second = run(client, InlineQueue(), alias, OTHER, alias=alias, mode="copy", follow=False)
    assert second.state == DONE, second.error
    assert "new" in all_documents(client, alias)
    assert second.sources == (clone,)


def test_other_keys_of_the_mappings_meta_stay(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    mine = {"owner": "search team", "schema_version": 7}
    mappings = {"_meta": mine, "properties": {"title": {"type": "text"}, "body": {"type": "text"}}}
    create_index(client, index_name, articles(5), mappings, **{"index.knn": True})
    job = run(client, queue, index_name, hold=True, follow=False)
    assert job.state == READY, job.error
    meta = client.indices.get_mapping(index=index_name)[index_name]["mappings"]["_meta"]
    client.indices.put_mapping(index=index_name, body={"_meta": {**meta, "schema_version": 8}})
    assert operate.cutover(client, ENCODER, job.job_id, "operator").state == DONE
    assert rollback(client, job.job_id).state == ROLLED_BACK
    assert operate.cutover(client, ENCODER, job.job_id, "operator").state == DONE
    meta = client.indices.get_mapping(index=index_name)[index_name]["mappings"]["_meta"]
    assert {name: meta[name] for name in mine} == {"owner": "search team", "schema_version": 8}
    assert "ce2de" in meta


def test_a_dead_letter_is_written_through_the_jobs_pipeline(
    client: OpenSearch, index_name: str, queue: InlineQueue
) -> None:
    refuse = {"fail": {"if": "ctx.title == 'odd'", "message": "odd"}}
    mark = {"set": {"field": "origin", "value": "pipeline"}}
    client.ingest.put_pipeline(id=index_name, body={"processors": [refuse, mark]})
    try:
        create_index(client, index_name, [{"title": "odd"}, {"title": "plain"}])
        job = run(client, queue, index_name, alias=f"{index_name}-a", pipeline=index_name, follow=False)
        assert dead_letters.count(client, job.job_id) == 1
        client.ingest.put_pipeline(id=index_name, body={"processors": [mark]})
        assert retry(client, ENCODER, job.job_id).written == 1
        assert [one["origin"] for one in all_documents(client, job.target).values()] == ["pipeline"] * 2
    finally:
        client.ingest.delete_pipeline(id=index_name)
