"""What a verification finds, on a real OpenSearch."""

from __future__ import annotations

import itertools
import random
import threading
from typing import Any

import pytest
from opensearchpy import OpenSearch, helpers

from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex import operate
from ce2de_os.reindex.job import DONE, FAILED, READY, Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.verify import VerifyReport
from tests.integration.indexes import TEXT_MAPPING, HashEncoder, InlineQueue, articles, create_index

ENCODER = HashEncoder()


def held(client: OpenSearch, source: str, fields: tuple[str, ...] = ("title", "body"), **request: Any) -> Job:
    """A job that is ready for its cutover."""
    queue = InlineQueue()
    wanted = JobRequest(source, TextSpec(fields), f"{source}-search", **{"hold": True, **request})
    job = start(client, wanted, ENCODER, queue)
    queue.run(client, ENCODER)
    return Ledger(client).job(job.job_id).job


def verified(client: OpenSearch, job: Job) -> VerifyReport:
    return operate.verify_job(client, ENCODER, job.job_id)


def change_copy(client: OpenSearch, job: Job, doc_id: str, **fields: Any) -> None:
    client.update(index=job.target, id=doc_id, body={"doc": fields}, refresh=True)


def test_lost_stale_and_surplus_documents_are_named(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(30), number_of_shards=2)
    job = held(client, index_name)
    report = verified(client, job)
    assert (report.problems, report.lost, report.stale, report.surplus) == ([], 0, 0, 0)
    assert report.compared == 30
    client.delete(index=job.target, id="3", refresh=True)
    client.index(index=job.target, id="strange", body={"title": "not of the source"}, refresh=True)
    origin = client.get(index=job.target, id="5")["_source"]["ce2de_vector_origin"]
    change_copy(client, job, "5", ce2de_vector_origin={**origin, "seq_no": origin["seq_no"] + 5000})
    report = verified(client, job)
    assert (report.lost, report.stale, report.surplus) == (1, 1, 1)
    lost, stale, surplus, *_ = report.problems
    assert f"1 documents of '{index_name}' are missing in '{job.target}': '3'" in lost
    assert f"'{job.target}' has 1 documents at another version than '{index_name}': '5'" in stale
    assert f"'{job.target}' has 1 documents more than '{index_name}': 'strange'" in surplus


def test_a_copy_with_other_content_is_found(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, ({**source, "price": 1} for source in articles(20)))
    job = held(client, index_name)
    change_copy(client, job, "3", price=2)
    (problem,) = verified(client, job).problems
    assert f"document '3' has other values in '{job.target}' than in '{index_name}': price" in problem


def test_writes_that_go_on_are_no_problem(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(200), number_of_shards=2)
    job = held(client, index_name)
    stop = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if stop.wait(0.005):
                return
            client.index(index=index_name, id=str(number % 220), body={"title": f"written {number}"})
            if number % 10 == 9:
                client.delete(index=index_name, id=str(number % 220))

    writing = threading.Thread(target=write)
    writing.start()
    try:
        reports = [verified(client, job) for _ in range(3)]
    finally:
        stop.set()
        writing.join()
    assert [(one.lost, one.stale, one.surplus) for one in reports] == [(0, 0, 0)] * 3
    assert reports[-1].moving > 0


def test_many_writes_on_their_way_hide_no_missing_vector(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(40))
    job = held(client, index_name)
    script = {"script": "ctx._source.remove('ce2de_vector')"}
    client.update_by_query(index=job.target, body=script, params={"refresh": "true"})
    late = ({"_index": index_name, "title": f"written {number}"} for number in range(100))
    helpers.bulk(client, late, refresh=True)
    report = verified(client, job)
    assert report.moving >= 100
    assert any("have text but no vector" in problem for problem in report.problems)


NEW_FIELDS: dict[str, Any] = {
    "status": {"type": "keyword"},
    "place": {"type": "geo_point"},
    "seen": {"type": "date", "format": "dd/MM/yyyy"},
    "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
    "author": {"properties": {"name": {"type": "keyword"}}},
}
DOCUMENT: dict[str, Any] = {
    "title": "bread", "status": "in-review", "place": {"lat": 48.1, "lon": 11.5}, "seen": "31/12/2025",
    "author": {"name": "Ada L"},
}  # fmt: skip


class TestMappingsThatChangeMeanwhile:
    def test_new_fields_come_to_the_copy_before_its_documents(
        self, client: OpenSearch, index_name: str
    ) -> None:
        create_index(client, index_name, articles(5))
        job = held(client, index_name)
        client.indices.put_mapping(index=index_name, body={"properties": NEW_FIELDS})
        client.index(index=index_name, id="new", body=DOCUMENT)
        assert operate.cutover(client, ENCODER, job.job_id, "operator").state == DONE
        properties = client.indices.get_mapping(index=job.target)[job.target]["mappings"]["properties"]
        assert {name: properties[name] for name in NEW_FIELDS} == NEW_FIELDS
        near = {"geo_distance": {"distance": "10km", "place": {"lat": 48.1, "lon": 11.5}}}
        assert client.count(index=job.target, body={"query": near})["count"] == 1

    def test_verifying_alone_brings_them_too(self, client: OpenSearch, index_name: str) -> None:
        create_index(client, index_name, articles(5))
        job = held(client, index_name)
        client.indices.put_mapping(index=index_name, body={"properties": NEW_FIELDS})
        assert verified(client, job).problems == []
        properties = client.indices.get_mapping(index=job.target)[job.target]["mappings"]["properties"]
        assert {name: properties[name] for name in NEW_FIELDS} == NEW_FIELDS

    def test_a_field_of_another_type_in_the_copy_is_a_problem(
        self, client: OpenSearch, index_name: str
    ) -> None:
        create_index(client, index_name, articles(5))
        job = held(client, index_name)
        client.indices.put_mapping(index=job.target, body={"properties": {"status": {"type": "text"}}})
        client.indices.put_mapping(index=index_name, body={"properties": NEW_FIELDS})
        (problem,) = verified(client, job).problems
        assert f"field 'status' of '{index_name}' is not the same in '{job.target}'" in problem
        assert "`target`" in problem
        properties = client.indices.get_mapping(index=job.target)[job.target]["mappings"]["properties"]
        assert properties["seen"] == NEW_FIELDS["seen"], "one that cannot be carried over keeps no other back"


class TestTextsOfManyTokens:
    def test_without_spaces(self, client: OpenSearch, index_name: str) -> None:
        rng = random.Random(1)
        texts = ["".join(chr(0x4E00 + rng.randrange(6000)) for _ in range(1200)) for _ in range(30)]
        create_index(client, index_name, ({"title": text[:60], "body": text} for text in texts))
        report = verified(client, held(client, index_name, ("body", "title")))
        assert report.problems == []
        assert (report.agreement, report.unsearched) == (1.0, 0)

    def test_of_ngrams(self, client: OpenSearch, index_name: str) -> None:
        analysis = {
            "analyzer": {"ng": {"tokenizer": "ngt", "filter": ["lowercase"]}},
            "tokenizer": {
                "ngt": {"type": "ngram", "min_gram": 2, "max_gram": 15, "token_chars": ["letter", "digit"]}
            },
        }
        fields = ("title", "body", "brand")
        mappings = {"properties": {name: {"type": "text", "analyzer": "ng"} for name in fields}}
        words = (  # noqa: SIM905
            "Donaudampfschifffahrtsgesellschaft Kraftfahrzeughaftpflichtversicherung waterproof headlamp "
            "rechargeable stainless bottle international replacement cartridge professional"
        ).split()
        rng = random.Random(2)
        sources = (
            {"title": " ".join(rng.sample(words, 5)), "body": " ".join(rng.sample(words, 8)), "brand": "x"}
            for _ in range(20)
        )
        create_index(client, index_name, sources, mappings, analysis=analysis, max_ngram_diff=20)
        report = verified(client, held(client, index_name, fields))
        assert report.problems == []
        assert report.agreement == 1.0


@pytest.mark.parametrize("accepted", [True, False])
def test_a_refused_document_is_neither_lost_nor_an_answer_that_differs(
    client: OpenSearch, index_name: str, accepted: bool
) -> None:
    mappings = {"properties": {**TEXT_MAPPING["properties"], "notes": {"type": "nested"}}}
    create_index(client, index_name, articles(2), mappings)
    job = held(client, index_name)
    client.indices.put_settings(index=job.target, body={"index.mapping.nested_objects.limit": 1})
    for doc_id in ("new", "1"):  # one that the copy lacks and one that it has at an older version
        client.index(index=index_name, id=doc_id, body={"title": "river", "notes": [{"n": 1}, {"n": 2}]})
    if accepted:
        found = operate.cutover(client, ENCODER, job.job_id, "operator", accept_rejected=True)
        assert found.report is not None
        assert found.report["refused"] == 2
    else:
        with pytest.raises(Exception, match="2 documents were rejected"):
            operate.cutover(client, ENCODER, job.job_id, "operator")
    report = Ledger(client).job(job.job_id).job.report
    assert report is not None
    assert (report["lost"], report["stale"], report["surplus"]) == (0, 0, 0)
    assert [problem for problem in report["problems"] if "were rejected" not in problem] == []


def test_the_same_id_under_several_routings_is_verified(client: OpenSearch, index_name: str) -> None:
    client.indices.create(index=index_name, body={"settings": {"number_of_shards": 3}})
    documents = [
        {"_index": index_name, "_id": str(number), "_routing": routing, "title": f"{routing} {number}"}
        for routing, number in itertools.product("abcd", range(20))
    ]
    helpers.bulk(client, documents, refresh=True)
    job = held(client, index_name, ("title",))
    assert job.state == READY, job.error
    client.delete(index=index_name, id="7", routing="b", refresh=True)
    assert operate.cutover(client, ENCODER, job.job_id, "operator").state == DONE
    client.indices.refresh(index=job.target)
    assert client.count(index=job.target)["count"] == client.count(index=index_name)["count"]


def test_documents_in_place_that_are_awaited_are_no_problem(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, articles(20), **{"index.knn": True})
    queue = InlineQueue()
    job = start(client, JobRequest(index_name, TextSpec(("title", "body")), None), ENCODER, queue)
    queue.run(client, ENCODER)
    job = Ledger(client).job(job.job_id).job
    assert job.state == DONE, job.error
    client.index(index=index_name, id="late", body={"title": "not embedded yet"}, refresh=True)
    assert verified(client, job).problems == []
    client.update(
        index=index_name, id="3", body={"script": "ctx._source.remove('ce2de_vector')"}, refresh=True
    )
    assert verified(client, job).problems == [], "it was changed after the job"
    assert job.state != FAILED
