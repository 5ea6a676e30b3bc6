"""The exact comparison of source and copy on a real OpenSearch."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from opensearchpy import OpenSearch, helpers

from ce2de_os.errors import GuardGoneError
from ce2de_os.index import admin
from ce2de_os.index.guard import guard_name
from ce2de_os.index.target_body import origin_property
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.compare import compare, differences, remove_surplus
from ce2de_os.reindex.job import Part
from ce2de_os.reindex.slices.source import read_page

VECTOR = VectorField(4)
ORIGIN = VECTOR.origin_field
PASSAGES = {"vectors": {"type": "nested", "properties": {"start": {"type": "integer"}}}}


class Pair:
    """A source and a copy of it, both small and without vectors."""

    def __init__(self, client: OpenSearch, name: str, shards: int = 1, **settings: Any) -> None:
        self.client, self.upto = client, dict.fromkeys(range(shards), -1)
        self.part = Part(name, "uuid", f"{name}-copy", 0)
        self.page = settings.get("max_result_window", 5000)
        for index in (self.part.source, self.part.target):
            own = origin_property(VECTOR) if index == self.part.target else {}
            properties = {"n": {"type": "integer"}, **PASSAGES, **own}
            client.indices.create(
                index=index,
                body={
                    "settings": {"number_of_shards": shards, "number_of_replicas": 0, **settings},
                    "mappings": {"properties": properties},
                },
            )
        client.indices.put_alias(index=self.part.target, name=guard_name(self.part.target))

    def write(self, numbers: Iterable[int], **content: Any) -> None:
        """Write documents to the source; one that is there already is updated."""
        actions = ({"_index": self.part.source, "_id": str(n), "n": n, **content} for n in numbers)
        helpers.bulk(self.client, actions, chunk_size=5000)

    def delete(self, *numbers: int) -> None:
        for number in numbers:
            self.client.delete(index=self.part.source, id=str(number))

    def copy(self, skip: Iterable[str] = ()) -> None:
        """Bring the target up to date with what was written since, but leave some ids out."""
        checkpoints = admin.checkpoints(self.client, self.part.source)
        admin.refresh(self.client, self.part.source)
        lines = []
        for shard, checkpoint in checkpoints.items():
            while self.upto[shard] < checkpoint:
                after = self.upto[shard]
                page = read_page(self.client, self.part.source, shard, after, checkpoint, self.page)
                self.upto[shard] = page[-1].seq_no if len(page) == self.page else checkpoint
                for one in page:
                    content = {**one.source, ORIGIN: {"shard": shard, "seq_no": one.seq_no}}
                    routing = {"routing": one.routing} if one.routing else {}
                    header = {"_id": one.doc_id, "version": one.seq_no + 1, "version_type": "external_gte"}
                    if one.doc_id not in skip:
                        lines += [{"index": {**header, **routing}}, content]
        if lines:
            assert not self.client.bulk(index=self.part.target, body=lines)["errors"]

    def lose(self, *numbers: int) -> None:
        """Lose documents of the target."""
        for number in numbers:
            self.client.delete(index=self.part.target, id=str(number))

    def add(self, doc_id: str, shard: int, seq_no: int, routing: str | None = None) -> None:
        """Put a document into the target that says to come from there."""
        body = {"n": 0, ORIGIN: {"shard": shard, "seq_no": seq_no}}
        self.client.index(index=self.part.target, id=doc_id, body=body, routing=routing)

    def found(
        self,
        upto: Mapping[int, int] | None = None,
        known: Any = frozenset(),
        equal: Mapping[int, int] | None = None,
    ) -> tuple[set[str], ...]:
        """The ids that are lost, stale and surplus."""
        result = compare(self.client, self.part, ORIGIN, upto, known, equal=equal)
        kinds = (result.lost, result.stale, result.surplus)
        assert result.differing == sum(map(len, kinds))
        return tuple({one.doc_id for one in kind} for kind in kinds)

    def removed(self) -> int:
        return remove_surplus(self.client, self.part, ORIGIN)


NOTHING: tuple[set[str], ...] = (set(), set(), set())


@pytest.mark.parametrize("shards", [1, 3])
def test_every_kind_of_difference_is_named(client: OpenSearch, index_name: str, shards: int) -> None:
    pair = Pair(client, index_name, shards)
    pair.write(range(3000))
    pair.copy()
    assert pair.found() == NOTHING
    pair.write([5, 1700], n=1)
    pair.delete(8, 2999)
    assert pair.found() == ({*()}, {"5", "1700"}, {"8", "2999"})
    pair.copy(skip=["1700"])
    pair.lose(41, 42)
    assert pair.found() == ({"41", "42"}, {"1700"}, {"8", "2999"})
    assert (pair.removed(), pair.removed()) == (2, 0)
    assert pair.found() == ({"41", "42"}, {"1700"}, set())


def test_details_suffice_to_mend_a_document(client: OpenSearch, index_name: str) -> None:
    pair = Pair(client, index_name)
    pair.write(range(3))
    pair.copy()
    pair.lose(0)
    pair.write([1], n=7)
    pair.delete(2)
    result = compare(client, pair.part, ORIGIN)
    assert [tuple(one) for one in result.lost] == [("0", None, 0, 0)]
    assert [tuple(one) for one in result.stale] == [("1", None, 0, 3, 1)]
    copy = client.get(index=pair.part.target, id="2")
    assert [tuple(one) for one in result.surplus] == [
        ("2", None, copy["_seq_no"], copy["_primary_term"], False, 0)
    ]


def test_lost_and_surplus_documents_do_not_cancel(client: OpenSearch, index_name: str) -> None:
    """Two are lost, two were deleted, with the same sum and in the same stretch."""
    pair = Pair(client, index_name)
    pair.write(range(4000))
    pair.copy()
    pair.lose(100, 107)
    pair.delete(102, 105)
    assert pair.found() == ({"100", "107"}, set(), {"102", "105"})


@pytest.mark.parametrize("shards", [1, 3])
def test_after_an_equal_comparison_counts_find_every_difference(
    client: OpenSearch, index_name: str, shards: int
) -> None:
    pair = Pair(client, index_name, shards)
    pair.write(range(3000))
    pair.copy()
    equal = dict(pair.upto)
    assert pair.found(equal, equal=equal) == NOTHING
    pair.delete(8, 9, 2999)
    pair.write(range(40, 60), n=1)
    pair.write(range(3000, 3100))
    pair.delete(50, 3050)
    pair.copy(skip=["45", "3044"])
    lacking = {"3044"}, {"45"}, {"8", "9", "2999", "50"}
    assert pair.found(equal=equal) == pair.found() == lacking
    pair.lose(77, 78)
    assert pair.found(equal=equal) == ({*lacking[0], "77", "78"}, *lacking[1:])
    pair.removed()
    pair.copy()
    assert pair.found(equal=equal)[2] == set()


def test_equal_sides_take_few_requests_and_one_difference_few_more(
    client: OpenSearch, index_name: str
) -> None:
    pair = Pair(client, index_name)
    pair.write(range(20_000))
    pair.copy()
    equal = compare(client, pair.part, ORIGIN)
    assert (equal.differing, equal.requests) == (0, 4)
    pair.lose(12_345)
    assert compare(client, pair.part, ORIGIN).requests <= equal.requests + 5


def test_the_same_id_under_several_routings(client: OpenSearch, index_name: str) -> None:
    pair = Pair(client, index_name, shards=4)
    for routing, number in itertools.product("abcdef", range(20)):
        client.index(index=index_name, id=str(number), routing=routing, body={"n": number})
    pair.copy()
    assert pair.found() == NOTHING
    client.delete(index=index_name, id="3", routing="a")
    result = compare(client, pair.part, ORIGIN)
    assert (result.lost_count, result.stale_count) == (0, 0)
    before = admin.count(client, pair.part.target)
    assert pair.removed() == result.surplus_count <= 1
    admin.refresh(client, pair.part.source)
    admin.refresh(client, pair.part.target)
    assert admin.count(client, pair.part.target) == admin.count(client, pair.part.source) <= before
    # A copy in the wrong shard is surplus although the id is in the source.
    pair.add("4", 0, 0, routing="zz")
    wrong = compare(client, pair.part, ORIGIN)
    assert wrong.differing <= 2
    pair.removed()
    pair.copy()


def test_passages_are_not_counted_twice(client: OpenSearch, index_name: str) -> None:
    pair = Pair(client, index_name)
    pair.write(range(700), vectors=[{"start": 0}, {"start": 1}])
    pair.copy()
    assert pair.found() == NOTHING
    pair.lose(600)
    assert pair.found() == ({"600"}, set(), set())


def test_empty_sides_are_equal(client: OpenSearch, index_name: str) -> None:
    pair = Pair(client, index_name, shards=3)
    assert pair.found() == NOTHING
    pair.write([1])
    pair.copy()
    assert pair.found() == NOTHING
    pair.delete(1)
    assert pair.found() == (set(), set(), {"1"})
    assert pair.removed() == 1


def test_documents_of_unknown_origin_are_surplus_unless_they_live_in_the_source(
    client: OpenSearch, index_name: str
) -> None:
    pair = Pair(client, index_name, max_result_window=50)
    pair.write(range(120))
    pair.copy()
    for number in range(115, 175):  # five of them overwrite copies
        client.index(index=pair.part.target, id=str(number), body={"n": number})
    pair.add("beyond", 0, 10**6)
    pair.add("elsewhere", 7, 3)
    strange = {*map(str, range(120, 175)), "beyond", "elsewhere"}
    assert pair.found() == (set(), {*map(str, range(115, 120))}, strange)
    assert pair.removed() == len(strange)


def test_many_documents_of_one_origin(client: OpenSearch, index_name: str) -> None:
    pair = Pair(client, index_name, max_result_window=50)
    pair.write(range(10))
    pair.copy()
    for number in range(130):
        pair.add(f"again-{number}", 0, 4)
    assert pair.found()[2] == {f"again-{number}" for number in range(130)}


def test_a_source_that_moves_is_compared_up_to_a_checkpoint(client: OpenSearch, index_name: str) -> None:
    pair = Pair(client, index_name, shards=2)
    pair.write(range(500))
    pair.copy()
    upto = dict(pair.upto)
    pair.write(range(490, 510), n=1)  # later than what is compared
    assert pair.found(upto) == NOTHING
    assert compare(client, pair.part, ORIGIN, upto).newer == 10
    pair.copy()  # the target is ahead of what is compared
    assert pair.found(upto) == NOTHING
    pair.lose(3, 505)
    assert pair.found(upto) == ({"3"}, set(), set())


def test_nothing_is_reported_while_writes_go_on(client: OpenSearch, index_name: str) -> None:
    pair = Pair(client, index_name, shards=2)
    pair.write(range(2000))
    pair.copy()
    stop = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            pair.write([number * 37 % 2500], n=number)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for _ in range(15):
            pair.copy()
            assert pair.found(dict(pair.upto)) == NOTHING
    finally:
        stop.set()
        writing.join()
    pair.copy()
    assert pair.found() == NOTHING


def test_documents_that_were_refused_are_left_out(client: OpenSearch, index_name: str) -> None:
    pair = Pair(client, index_name)
    pair.write(range(20))
    pair.copy(skip=["4"])
    assert pair.found() == ({"4"}, set(), set())
    assert pair.found(known={("4", None)}) == NOTHING
    assert compare(client, pair.part, ORIGIN, known={("4", None)}).refused == 1


def test_a_document_that_came_back_meanwhile_is_not_deleted(client: OpenSearch, index_name: str) -> None:
    pair = Pair(client, index_name)
    pair.write(range(20))
    pair.copy()
    pair.delete(4, 5)
    admin.refresh(client, index_name)
    pair.write([4])  # live again, though no search sees it
    (batch,) = differences(client, pair.part, ORIGIN, {0: 19})
    assert [one.doc_id for one in batch.surplus] == ["5"]
    pair.write([5])
    pair.copy()
    assert pair.removed() == 0
    assert pair.found() == NOTHING


def test_without_its_guard_a_target_loses_nothing(client: OpenSearch, index_name: str) -> None:
    pair = Pair(client, index_name)
    pair.write(range(5))
    pair.copy()
    pair.delete(1)
    client.indices.delete_alias(index=pair.part.target, name=guard_name(pair.part.target))
    with pytest.raises(GuardGoneError, match="may not write to"):
        pair.removed()
    assert pair.found() == (set(), set(), {"1"})


def test_thousands_of_differences_are_all_counted(client: OpenSearch, index_name: str) -> None:
    pair = Pair(client, index_name)
    pair.write(range(9000))
    pair.copy()
    admin.refresh(client, pair.part.target)
    client.delete_by_query(
        index=index_name, body={"query": {"range": {"n": {"lt": 3000}}}}, refresh=True, conflicts="proceed"
    )
    client.delete_by_query(
        index=pair.part.target, body={"query": {"range": {"n": {"gte": 5000}}}}, refresh=True
    )
    result = compare(client, pair.part, ORIGIN)
    assert (result.lost_count, result.stale_count, result.surplus_count) == (4000, 0, 3000)
    assert len(result.lost) == len(result.surplus) == 1000
    assert pair.removed() == 3000
