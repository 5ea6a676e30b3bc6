"""The reindex on a real OpenSearch, with its messages handled in this process."""

from __future__ import annotations

import time
from typing import Any

import pytest
from opensearchpy import OpenSearch

from ce2de_os.errors import (
    ArtifactMismatchError,
    Ce2deError,
    ConfigError,
    DataError,
    IndexSchemaError,
    JobError,
)
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex import dead_letters
from ce2de_os.reindex.cutover.finish import finish
from ce2de_os.reindex.job import DONE, FAILED, FINISHING, RUNNING, Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.slices.pipeline import run_slice
from ce2de_os.reindex.status import status
from ce2de_os.reindex.syncing.retry import retry
from tests.integration.indexes import (
    TEXT_MAPPING,
    HashEncoder,
    InlineQueue,
    all_documents,
    articles,
    assert_same_documents,
    begin,
    create_index,
)

FIELDS = ("title", "body")
ENCODER = HashEncoder()


def reindex(client: OpenSearch, source: str, encoder: Any = ENCODER, **request: Any) -> Job:
    queue = InlineQueue()
    job = begin(client, source, queue, encoder, **request)
    queue.run(client, encoder)
    queue.follow(client, encoder)  # a job that is done goes on as a standing job
    return status(client, job.job_id).job


def assert_done(client: OpenSearch, job: Job) -> None:
    found = status(client, job.job_id)
    assert found.job.state == DONE, (found.job.error, found.errors)


def test_every_document_arrives_once_and_the_alias_moves(client: OpenSearch, index_name: str) -> None:
    analysis = {"analysis": {"analyzer": {"mine": {"type": "english"}}}}
    mappings = {"properties": {"title": {"type": "text", "analyzer": "mine"}, "body": {"type": "text"}}}
    create_index(client, index_name, articles(2500), mappings, number_of_shards=2, **analysis)
    before = client.indices.stats(index=index_name)["_all"]["primaries"]["indexing"]["index_total"]
    job = reindex(client, index_name)
    assert job.state == DONE, job.error
    assert list(client.indices.get_alias(name=job.alias)) == [job.target]
    assert_same_documents(client, index_name, job.target, ENCODER)
    target = client.indices.get(index=job.target)[job.target]
    assert target["mappings"]["properties"]["title"]["analyzer"] == "mine"
    assert target["settings"]["index"]["number_of_shards"] == "2"
    assert target["settings"]["index"]["number_of_replicas"] == "1"
    assert "refresh_interval" not in target["settings"]["index"]
    after = client.indices.stats(index=index_name)["_all"]["primaries"]["indexing"]["index_total"]
    assert after == before, "the source is never written to"


def test_documents_with_odd_texts(client: OpenSearch, index_name: str) -> None:
    sources: list[dict[str, Any]] = [
        {"title": 42},
        {"title": ["a", "b"], "body": None},
        {"title": None},
        {"other": "no text field at all"},
        {"title": ""},
        {"title": "x" * 5_000_000},
        {"title": "plain", "body": "document"},
        {"title": "😀 emoji"},
    ]
    create_index(client, index_name, sources)
    lone_surrogate = r'{"title": "half \ud800 a pair"}'  # valid JSON, though no valid text
    client.index(index=index_name, id="8", body=lone_surrogate, refresh=True)
    job = reindex(client, index_name)
    assert job.state == DONE, job.error
    found = all_documents(client, job.target)
    assert len(found) == len(sources) + 1
    with_vector = {doc_id for doc_id, document in found.items() if "ce2de_vector" in document}
    assert with_vector == {"0", "1", "5", "6", "7", "8"}
    assert status(client, job.job_id).counts.without_text == 3


def test_routing_is_kept(client: OpenSearch, index_name: str) -> None:
    routed = [{"_routing": "k", **article} for article in articles(5)]
    create_index(client, index_name, routed, number_of_shards=3)
    job = reindex(client, index_name)
    assert job.state == DONE, job.error
    assert client.get(index=job.target, id="3", routing="k")["_routing"] == "k"


def test_pipelines_do_not_run_again(client: OpenSearch, index_name: str) -> None:
    client.ingest.put_pipeline(
        id=index_name, body={"processors": [{"append": {"field": "ran", "value": "x"}}]}
    )
    create_index(client, index_name, articles(3), default_pipeline=index_name)
    job = reindex(client, index_name)
    assert job.state == DONE, job.error
    assert all(document["ran"] == ["x"] for document in all_documents(client, job.target).values())
    settings = client.indices.get_settings(index=job.target)[job.target]["settings"]["index"]
    assert settings.get("default_pipeline", "_none") == "_none"  # only the job writes to a mirror
    client.indices.delete(index=f"{index_name}*")
    client.ingest.delete_pipeline(id=index_name)


def test_starting_again_catches_up_with_writes_and_updates(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(50))
    first = reindex(client, index_name)
    client.index(index=index_name, id="new", body={"title": "a new one"})
    client.index(index=index_name, id="7", body={"title": "changed", "body": "entirely"}, refresh=True)
    second = reindex(client, index_name)
    assert (second.job_id, second.state) == (first.job_id, DONE), second.error
    assert_same_documents(client, index_name, second.target, ENCODER)


def test_source_may_be_named_by_the_alias_that_moves(client: OpenSearch, index_name: str) -> None:
    alias = f"{index_name}-search"
    create_index(client, index_name, articles(5))
    client.indices.put_alias(index=index_name, name=alias)
    first = reindex(client, alias, alias=alias)
    assert first.previous == (index_name,)
    assert list(client.indices.get_alias(name=alias)) == [first.target]
    assert reindex(client, alias, alias=alias).job_id == first.job_id


def test_writes_during_the_job_arrive(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(2500))
    queue = InlineQueue()
    job = begin(client, index_name, queue)
    client.index(index=index_name, id="late", body={"title": "late"})
    client.update(index=index_name, id="3", body={"doc": {"title": "updated"}})
    queue.run(client, ENCODER)
    assert_done(client, job)
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_a_small_budget_passes_the_slice_on(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(900))
    queue = InlineQueue()
    job = begin(client, index_name, queue)
    queue.run(client, ENCODER, budget_s=0.0)
    assert status(client, job.job_id).job.state == DONE
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_resume_puts_lost_messages_back(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(2500))
    lost, queue = InlineQueue(), InlineQueue()
    first = begin(client, index_name, lost)
    lost.messages.clear()
    assert begin(client, index_name, queue).job_id == first.job_id
    queue.run(client, ENCODER)
    assert status(client, first.job_id).job.state == DONE


def test_a_worker_that_lost_the_cluster_while_finishing_tries_again(
    client: OpenSearch, index_name: str
) -> None:
    create_index(client, index_name, articles(5))
    queue = InlineQueue()
    job = begin(client, index_name, queue)
    run_slice(client, ENCODER, job.job_id, 0, "one", 20.0)
    ledger = Ledger(client)
    lease = time.time() + 60
    ledger.change_job(ledger.job(job.job_id), state=FINISHING, owner="one", lease_until_s=lease)
    finish(client, ENCODER, job.job_id, "two")
    assert status(client, job.job_id).job.state == FINISHING
    finish(client, ENCODER, job.job_id, "one")
    assert_done(client, job)


def test_only_one_worker_holds_a_lease(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(5))
    job = begin(client, index_name, InlineQueue())
    ledger = Ledger(client)
    stored = ledger.slice(job.job_id, 0)
    assert ledger.claim(stored, "one") is not None
    assert ledger.claim(stored, "two") is None
    assert ledger.claim(ledger.slice(job.job_id, 0), "two") is None
    assert ledger.claim(ledger.slice(job.job_id, 0), "two", is_gone=lambda owner: owner == "one") is not None


def test_a_lost_lease_stops_the_worker_without_harm(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(600))
    queue = InlineQueue()
    job = begin(client, index_name, queue)
    ledger = Ledger(client)

    class TakenOver(HashEncoder):
        def encode_documents(self, texts: Any) -> Any:
            ledger.change_slice(ledger.slice(job.job_id, 0), owner="another", lease_until_s=0.0)
            return super().encode_documents(texts)

    assert run_slice(client, TakenOver(), job.job_id, 0, "first", 20.0) is False
    queue.run(client, ENCODER)
    assert_done(client, job)
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_a_document_that_kills_its_workers_is_set_aside(client: OpenSearch, index_name: str) -> None:
    """The worker dies while it encodes one text; pages shrink until that document is found."""
    create_index(client, index_name, articles(90))
    client.index(index=index_name, id="poison", body={"title": "poison"}, refresh=True)
    queue = InlineQueue()
    job = begin(client, index_name, queue)

    class DeathError(BaseException):
        pass

    class Mortal(HashEncoder):
        def encode_documents(self, texts: Any) -> Any:
            if any("poison" in text for text in texts):
                raise DeathError
            return super().encode_documents(texts)

    deaths = 0
    while status(client, job.job_id).slices.get("done") != 1:
        try:
            run_slice(client, Mortal(), job.job_id, 0, f"w{deaths}", 20.0, is_gone=lambda _: True)
        except DeathError:
            deaths += 1
        assert deaths < 10
    found = status(client, job.job_id)
    assert (found.dead_letters, found.counts.refused) == (1, 1)
    ((letter),) = dead_letters.letters(client, job.job_id)
    assert (letter.doc_id, letter.kind) == ("poison", dead_letters.KILLER)
    assert set(all_documents(client, job.target)) == {str(number) for number in range(90)}
    assert retry(client, ENCODER, job.job_id).written == 1
    finish(client, ENCODER, job.job_id, "tester")
    assert_done(client, job)
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_orphaned_slices_are_passed_on(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(2500))
    queue = InlineQueue()
    job = begin(client, index_name, queue)
    ledger = Ledger(client)
    claimed = ledger.claim(ledger.slice(job.job_id, 0), "dead")
    assert claimed is not None
    ledger.change_slice(claimed, lease_until_s=time.time() - 1)
    queue.messages.remove((job.job_id, 0))  # the message died with its worker
    queue.run(client, ENCODER)
    assert_done(client, job)
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_documents_deleted_from_the_source_are_removed(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(30))
    reindex(client, index_name)
    client.delete(index=index_name, id="3", refresh=True)
    job = reindex(client, index_name)
    assert job.state == DONE, job.error
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_a_document_deleted_and_written_again(client: OpenSearch, index_name: str) -> None:
    """Its ``_version`` begins anew, so only its ``_seq_no`` tells that it is newer."""
    create_index(client, index_name, articles(5), gc_deletes="0s")
    for number in range(9):
        client.index(index=index_name, id="3", body={"title": f"version {number}"})
    reindex(client, index_name)
    client.delete(index=index_name, id="3", refresh=True)
    time.sleep(1)  # deleted versions are forgotten
    client.index(index=index_name, id="3", body={"title": "begun anew"}, refresh=True)
    assert client.get(index=index_name, id="3")["_version"] == 1
    job = reindex(client, index_name)
    assert job.state == DONE, job.error
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_a_deleted_target_is_made_again(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(5))
    job = reindex(client, index_name)
    client.indices.delete(index=job.target)
    assert reindex(client, index_name).state == DONE
    assert_same_documents(client, index_name, job.target, ENCODER)


def test_a_recreated_source_is_noticed(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(5))
    reindex(client, index_name)
    client.indices.delete(index=index_name)
    create_index(client, index_name, articles(5))
    with pytest.raises(JobError, match="created again"):
        reindex(client, index_name)


def test_another_model_is_refused(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(5))
    queue = InlineQueue()
    job = begin(client, index_name, queue)
    with pytest.raises(ArtifactMismatchError, match="was started with model aaaaaaaaaaaa"):
        run_slice(client, HashEncoder(fingerprint="b" * 64), job.job_id, 0, "wrong", 20.0)
    ledger = Ledger(client)
    assert ledger.claimable(ledger.slice(job.job_id, 0).slice)
    assert status(client, job.job_id).job.state == RUNNING


def test_unknown_index(client: OpenSearch, index_name: str) -> None:
    with pytest.raises(IndexSchemaError, match=f"no such index .{index_name}"):
        reindex(client, index_name)


@pytest.mark.parametrize("fields", [("tittle",), ("title", "nope"), ()])
def test_unknown_text_field(client: OpenSearch, index_name: str, fields: tuple[str, ...]) -> None:
    create_index(client, index_name, articles(1))
    with pytest.raises(DataError, match="the fields that hold text are: body, title"):
        reindex(client, index_name, text=TextSpec(fields))


@pytest.mark.parametrize("stored", [{"enabled": False}, {"excludes": ["body"]}])
def test_source_without_its_documents(client: OpenSearch, index_name: str, stored: Any) -> None:
    create_index(client, index_name, articles(1), {**TEXT_MAPPING, "_source": stored})
    with pytest.raises(ConfigError, match=r"does not keep the (whole )?_source"):
        reindex(client, index_name)


def test_target_of_another_dimension_fingerprint_or_maker(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(1))
    target = f"{index_name}-target"
    client.indices.create(index=target)
    with pytest.raises(ConfigError, match="was not made by ce2de"):
        reindex(client, index_name, target=target)
    client.indices.delete(index=target)
    reindex(client, index_name, target=target)
    with pytest.raises(ArtifactMismatchError, match="dimension 16, the model gives 8"):
        reindex(client, index_name, HashEncoder("b" * 64, dim=8), target=target)
    with pytest.raises(ArtifactMismatchError, match="vectors of model aaaaaaaaaaaa"):
        reindex(client, index_name, HashEncoder("b" * 64), target=target)
    with pytest.raises(ConfigError, match="made from"):
        reindex(client, index_name, target=target, text=TextSpec(("title",)))


def test_alias_that_is_an_index(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(1))
    with pytest.raises(ConfigError, match="is an index"):
        reindex(client, index_name, alias=index_name)


def test_refused_documents_are_reported_and_stop_the_cutover(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(20))
    refuse = {"processors": [{"fail": {"if": "ctx.price != null", "message": "no prices"}}]}
    client.ingest.put_pipeline(id=index_name, body=refuse)
    queue = InlineQueue()
    job = begin(client, index_name, queue, pipeline=index_name)
    client.index(index=index_name, id="odd", body={"title": "odd", "price": 1}, refresh=True)
    queue.run(client, ENCODER)
    found = status(client, job.job_id)
    assert found.job.state == FAILED
    assert found.counts.refused >= 1
    assert "'odd'" in found.errors[0]
    assert "1 documents were rejected" in str(found.job.error)
    assert len(all_documents(client, job.target)) == 20
    client.ingest.put_pipeline(id=index_name, body={"processors": []})
    assert retry(client, ENCODER, job.job_id).written == 1
    begin(client, index_name, queue, pipeline=index_name)
    queue.run(client, ENCODER)
    assert_done(client, job)
    client.ingest.delete_pipeline(id=index_name)


def test_a_refused_document_that_is_mended_is_no_dead_letter_any_more(
    client: OpenSearch, index_name: str
) -> None:
    create_index(client, index_name, articles(5))
    refuse = {"processors": [{"fail": {"if": "ctx.price != null", "message": "no prices"}}]}
    client.ingest.put_pipeline(id=index_name, body=refuse)
    client.index(index=index_name, id="odd", body={"title": "odd", "price": 1}, refresh=True)
    job = reindex(client, index_name, pipeline=index_name)
    assert job.state == FAILED
    client.index(index=index_name, id="odd", body={"title": "mended"}, refresh=True)
    job = reindex(client, index_name, pipeline=index_name)
    assert job.state == DONE, job.error
    assert dead_letters.count(client, job.job_id) == 0
    client.ingest.delete_pipeline(id=index_name)


def test_unknown_job(client: OpenSearch) -> None:
    with pytest.raises(JobError, match="no job 'nope'"):
        status(client, "nope")


def test_every_error_is_one_line(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(1))
    for request in ({"source": "none"}, {"source": index_name, "alias": index_name}):
        with pytest.raises(Ce2deError) as caught:
            reindex(client, **request)
        assert "\n" not in str(caught.value)
