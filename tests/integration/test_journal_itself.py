"""The journal finds every kind of loss that is planted, and no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opensearchpy import OpenSearch, helpers
from opensearchpy.exceptions import ConnectionError as OpenSearchConnectionError

from ce2de_os.index.text_spec import TextSpec
from ce2de_os.local.servers import Endpoints
from tests.integration.indexes import TEXT_MAPPING, HashEncoder, articles
from tests.integration.journal import Fields, Journal, Verdict, compare
from tests.integration.writers import Route, traffic, writer_client

ENCODER = HashEncoder()
FIELDS = Fields(TextSpec(("title", "body")), "ce2de_vector", "ce2de_vector_hash", ENCODER.fingerprint)
OWN = {"ce2de_vector": {"type": "float"}, "ce2de_vector_hash": {"type": "keyword"}}
NOW = {"refresh": "true"}


class Embedded:
    """An index behind an alias, and its journal; `embed` gives every document the vector of its text."""

    def __init__(self, client: OpenSearch, name: str) -> None:
        self.client, self.index, self.alias = client, f"{name}-1", f"{name}-alias"
        mappings = {"properties": {**TEXT_MAPPING["properties"], **OWN}}
        body = {"mappings": mappings, "aliases": {self.alias: {"is_write_index": True}}}
        client.indices.create(index=self.index, body=body)
        documents = {str(number): article for number, article in enumerate(articles(60))}
        actions = [{"_index": self.index, "_id": key, **each} for key, each in documents.items()]
        helpers.bulk(client, actions, refresh=True)
        self.journal = Journal(documents)

    def embed(self) -> None:
        self.client.indices.refresh(index=self.index)
        hits = helpers.scan(self.client, index=self.index, query={"query": {"match_all": {}}})
        helpers.bulk(self.client, [self._update(hit) for hit in hits], refresh=True)

    def _update(self, hit: dict[str, Any]) -> dict[str, Any]:
        text = FIELDS.text.text_of(hit["_source"])
        own = {"ce2de_vector": None, "ce2de_vector_hash": None}
        if text:
            vector = ENCODER.encode_documents([text])[0].tolist()
            own = {"ce2de_vector": vector, "ce2de_vector_hash": FIELDS.wanted_hash(hit["_source"])}
        routed = {"routing": hit["_routing"]} if "_routing" in hit else {}
        return {"_op_type": "update", "_index": self.index, "_id": hit["_id"], "doc": own, **routed}

    def verdict(self) -> Verdict:
        return compare(self.client, self.journal, self.alias, FIELDS, ENCODER)


@pytest.fixture
def embedded(client: OpenSearch, index_name: str) -> Embedded:
    made = Embedded(client, index_name)
    made.embed()
    return made


@pytest.fixture
def connect(endpoints: Endpoints) -> Callable[[], OpenSearch]:
    return lambda: writer_client(endpoints.opensearch_url)


def numbers(verdict: Verdict) -> list[int]:
    return [len(found) for found in vars(verdict).values()]


def test_nothing_is_found_where_nothing_is_wrong(embedded: Embedded) -> None:
    verdict = embedded.verdict()
    assert verdict.is_clean, verdict.explain()
    assert str(verdict) == "lost/resurrected/stale/without-vector = 0/0/0/0"


def delete(embedded: Embedded) -> None:
    embedded.client.delete(index=embedded.index, id="7", params=NOW)


def write_one_of_nobody(embedded: Embedded) -> None:
    embedded.client.index(index=embedded.index, id="nobody", body={"title": "a"}, params=NOW)


def bring_back(embedded: Embedded) -> None:
    embedded.journal.acknowledged("7", None)


def show_one_twice(embedded: Embedded) -> None:
    other = embedded.index.replace("-1", "-2")
    embedded.client.indices.create(index=other, body={"aliases": {embedded.alias: {}}})
    source = embedded.client.get(index=embedded.index, id="7")["_source"]
    embedded.client.index(index=other, id="7", body=source, params=NOW)


def lose_an_update(embedded: Embedded) -> None:
    state = embedded.journal.entry("7").state
    embedded.journal.acknowledged("7", {**(state or {}), "counter": 2})


def keep_an_old_vector(embedded: Embedded) -> None:
    """The hash is that of the present text, the vector is not."""
    changes = {"doc": {"ce2de_vector": ENCODER.encode_documents(["another text"])[0].tolist()}}
    actions = [
        {"_op_type": "update", "_index": embedded.index, "_id": doc_id, **changes}
        for doc_id in embedded.journal.entries()
    ]
    helpers.bulk(embedded.client, actions)


def change_a_text(embedded: Embedded) -> None:
    state = {**(embedded.journal.entry("7").state or {}), "title": "another"}
    embedded.client.update(index=embedded.index, id="7", body={"doc": state}, params=NOW)
    embedded.journal.acknowledged("7", state)


def take_a_vector_away(embedded: Embedded) -> None:
    embedded.client.update(index=embedded.index, id="7", body={"doc": {"ce2de_vector": None}}, params=NOW)


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (delete, [1, 0, 0, 0]),
        (write_one_of_nobody, [0, 1, 0, 0]),
        (bring_back, [0, 1, 0, 0]),
        (show_one_twice, [0, 1, 0, 0]),
        (lose_an_update, [0, 0, 1, 0]),
        (change_a_text, [0, 0, 0, 1]),
        (take_a_vector_away, [0, 0, 0, 1]),
        (keep_an_old_vector, [0, 0, 0, 48]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_fault_is_found(
    embedded: Embedded, plant: Callable[[Embedded], None], expected: list[int]
) -> None:
    plant(embedded)
    verdict = embedded.verdict()
    assert numbers(verdict) == expected, verdict.explain()


def test_a_change_without_an_answer_may_have_happened_or_not(embedded: Embedded) -> None:
    before = embedded.journal.entry("7").state or {}
    embedded.journal.unknown("7", {**before, "counter": 2})
    embedded.journal.unknown("8", None)
    assert embedded.verdict().is_clean
    embedded.client.update(index=embedded.index, id="7", body={"doc": {"counter": 2}}, params=NOW)
    embedded.client.delete(index=embedded.index, id="8", params=NOW)
    assert embedded.verdict().is_clean
    embedded.client.update(index=embedded.index, id="7", body={"doc": {"counter": 3}}, params=NOW)
    assert numbers(embedded.verdict()) == [0, 0, 1, 0]


@pytest.fixture
def routes(embedded: Embedded) -> list[Route]:
    return [Route(embedded.alias, is_alias=True), Route(embedded.index)]


def test_writers_by_alias_and_by_name_know_what_they_wrote(
    embedded: Embedded, connect: Callable[[], OpenSearch], routes: list[Route]
) -> None:
    with traffic(connect, embedded.journal, routes * 2, rate=300, batch=20) as running:
        running.wait_until(lambda so_far: so_far.acknowledged >= 500)
    report = running.report()
    embedded.embed()
    verdict = embedded.verdict()
    assert verdict.is_clean, verdict.explain()
    assert not report.errors
    assert (report.unknown, report.left) == (0, 0)
    states = [entry.state for entry in embedded.journal.entries().values()]
    assert None in states
    assert any(entry.routing for entry in embedded.journal.entries().values())


def test_documents_deleted_behind_the_writers_are_found(
    embedded: Embedded, connect: Callable[[], OpenSearch], routes: list[Route]
) -> None:
    with traffic(connect, embedded.journal, routes):
        time.sleep(1)
        doomed = (
            {"_op_type": "delete", "_index": embedded.index, "_id": str(number)} for number in range(20)
        )
        deleted, _ = helpers.bulk(embedded.client, doomed, raise_on_error=False)
        time.sleep(1)
    embedded.embed()
    lost, resurrected, stale, bare = numbers(embedded.verdict())
    assert lost == deleted > 5, "a later full update must not hide the loss"
    assert (resurrected, stale, bare) == (0, 0, 0)


def test_a_write_block_is_waited_for_and_measured(
    embedded: Embedded, connect: Callable[[], OpenSearch], routes: list[Route]
) -> None:
    with traffic(connect, embedded.journal, routes) as running:
        time.sleep(0.5)
        embedded.client.indices.add_block(index=embedded.index, block="write")
        time.sleep(2)
        settings = {"index.blocks.write": None}
        embedded.client.indices.put_settings(index=embedded.index, body=settings)
        time.sleep(0.5)
    report = running.report(routes[0])
    assert len(report.stood_still_s) >= 1
    assert max(report.stood_still_s) > 0.8
    assert "times, p50" in str(report)
    embedded.embed()
    assert embedded.verdict().is_clean


def test_a_write_that_is_still_blocked_at_the_end_did_not_happen(
    embedded: Embedded, connect: Callable[[], OpenSearch]
) -> None:
    with traffic(connect, embedded.journal, [Route(embedded.index)]) as running:
        time.sleep(0.5)
        embedded.client.indices.add_block(index=embedded.index, block="write")
        time.sleep(2)
    embedded.client.indices.put_settings(index=embedded.index, body={"index.blocks.write": None})
    assert running.report().left > 0
    embedded.embed()
    assert embedded.verdict().is_clean


def test_an_alias_without_a_write_index_refuses_and_nothing_is_written(
    embedded: Embedded, connect: Callable[[], OpenSearch]
) -> None:
    action = {"index": embedded.index, "alias": embedded.alias, "is_write_index": False}
    embedded.client.indices.update_aliases(body={"actions": [{"add": action}]})
    by_alias = Route(embedded.alias, is_alias=True, may_be_refused=True)
    with traffic(connect, embedded.journal, [by_alias, Route(embedded.index)]) as running:
        running.wait_until(lambda so_far: sum(so_far.refused.values()) > 10, by_alias)
    assert list(running.report(by_alias).refused) == ["illegal_argument_exception"]
    embedded.embed()
    assert embedded.verdict().is_clean


class Deaf(OpenSearch):
    """A connection that breaks while some answers are on their way."""

    asked = 0

    def bulk(self, *args: Any, **kwargs: Any) -> Any:
        self.asked += 1
        if self.asked % 5 == 0:
            raise OpenSearchConnectionError("N/A", "broken before the request", None)
        answer = super().bulk(*args, **kwargs)
        if self.asked % 3 == 0:
            raise OpenSearchConnectionError("N/A", "broken before the answer", None)
        return answer


def test_answers_that_do_not_arrive_are_no_losses(
    embedded: Embedded, endpoints: Endpoints, routes: list[Route]
) -> None:
    def connect() -> OpenSearch:
        return Deaf(hosts=[endpoints.opensearch_url], max_retries=0)

    with traffic(connect, embedded.journal, routes) as running:
        time.sleep(2)
    assert not running.report().errors
    embedded.embed()
    verdict = embedded.verdict()
    assert verdict.is_clean, verdict.explain()


@pytest.fixture
def stream(client: OpenSearch, index_name: str) -> Iterator[str]:
    properties = {**TEXT_MAPPING["properties"], **OWN, "@timestamp": {"type": "date"}}
    body = {
        "index_patterns": [index_name],
        "data_stream": {},
        "template": {"settings": {"number_of_replicas": 0}, "mappings": {"properties": properties}},
    }
    client.indices.put_index_template(name=index_name, body=body)
    client.indices.create_data_stream(name=index_name)
    yield index_name
    client.indices.delete_data_stream(name=index_name)
    client.indices.delete_index_template(name=index_name)


def test_a_data_stream_that_rolls_over(
    client: OpenSearch, stream: str, connect: Callable[[], OpenSearch]
) -> None:
    journal = Journal()
    route = Route(stream, is_stream=True, by_index=True, search=stream)
    with traffic(connect, journal, [route, route]) as running:
        for _ in range(2):
            time.sleep(0.7)
            client.indices.rollover(alias=stream)
        time.sleep(0.5)
    assert not running.report().errors
    verdict = compare(client, journal, stream, FIELDS, ENCODER)
    assert (verdict.lost, verdict.resurrected, verdict.stale) == ({}, {}, {})
    assert len({entry.index for entry in journal.entries().values() if entry.index}) == 3


def test_a_rollover_alias(client: OpenSearch, index_name: str, connect: Callable[[], OpenSearch]) -> None:
    alias = f"{index_name}-alias"
    first = {"aliases": {alias: {"is_write_index": True}}, "mappings": TEXT_MAPPING}
    client.indices.create(index=f"{index_name}-000001", body=first)
    journal, rolled = Journal(), threading.Event()
    route = Route(alias, by_index=True, search=alias)
    with traffic(connect, journal, [route]) as running:
        time.sleep(0.7)
        client.indices.rollover(alias=alias, body={"mappings": TEXT_MAPPING})
        rolled.wait(0.7)
    assert not running.report().errors
    verdict = compare(client, journal, alias, FIELDS, ENCODER)
    assert (verdict.lost, verdict.resurrected, verdict.stale) == ({}, {}, {})
