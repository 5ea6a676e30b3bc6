"""Read source and target: sums by stretch, documents by number, and single documents as they are now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from opensearchpy import OpenSearch
from opensearchpy.exceptions import TransportError

from ce2de_os.index import admin
from ce2de_os.index.admin import patiently
from ce2de_os.index.client import backend_errors, entries_of
from ce2de_os.reindex.compare.stretches import Found, Look, Sums
from ce2de_os.reindex.job import Part

PAGE = 500
"""Most documents in one answer; an index may allow fewer."""

_SUMS = "responses.aggregations.stretches.buckets"
_WANTED = ",".join(
    (
        "responses.status",
        "responses.error",
        f"{_SUMS}.key",
        f"{_SUMS}.doc_count",
        f"{_SUMS}.numbers.sum",
        f"{_SUMS}.numbers.sum_of_squares",
    )
)

Key = tuple[str, str | None]
"""A document's id and routing; ``None``: it has none of its own."""


class Numbered(NamedTuple):
    """A document and the number by which it is compared.

    Attributes:
        number: in the source its ``_seq_no``; in the target the one that it was copied at, -1 if unknown.
        seq_no: ``_seq_no`` in its own index; ``primary_term``: the same.
    """

    doc_id: str
    routing: str | None
    number: int
    seq_no: int
    primary_term: int

    @property
    def key(self) -> Key:
        """Id and routing of the document."""
        return self.doc_id, self.routing


class Sides:
    """A part's source and target; ``requests`` counts the requests to them."""

    def __init__(self, client: OpenSearch, part: Part, origin_field: str) -> None:
        self._client, self._part, self._origin = client, part, origin_field
        self.requests = 0
        self._page: int | None = None

    @property
    def page(self) -> int:
        """Most documents that both indices give in one answer."""
        if self._page is None:
            names = f"{self._part.source},{self._part.target}"
            self._page = min(PAGE, patiently(lambda: admin.most_hits(self._client, names)))
        return self._page

    def refresh(self) -> None:
        """Make everything visible that was written to either side."""
        for name in (self._part.source, self._part.target):
            patiently(lambda: admin.refresh(self._client, name))  # noqa: B023
        self.requests += 2

    def sums(self, looks: Sequence[Look]) -> list[tuple[Found, Found]]:
        """Read each look's sums in source and target, all of them in one request."""
        number = f"{self._origin}.seq_no"
        searches = [
            search
            for look in looks
            for search in (
                self._in_source(look.shard, _body([], "_seq_no", look)),
                self._in_target(_body([self._of_shard(look.shard)], number, look)),
            )
        ]
        answers = [_found(answer) for answer in self._ask(searches, _WANTED)]
        return list(zip(answers[::2], answers[1::2], strict=True))

    def in_source(self, shard: int, numbers: Sequence[int]) -> list[Numbered]:
        """Return the source's documents with these ``_seq_no``; at most one page of them."""
        body = _documents({"terms": {"_seq_no": list(numbers)}}, len(numbers))
        (answer,) = self._ask([self._in_source(shard, body)])
        return [_numbered(hit, hit["_seq_no"]) for hit in answer["hits"]["hits"]]

    def in_target(self, shard: int, counts: Mapping[int, int]) -> Iterator[list[Numbered]]:
        """Yield the target's copies of a shard's numbers; ``counts``: how many documents each number has."""
        field = f"{self._origin}.seq_no"
        query = {"bool": {"filter": [self._of_shard(shard), {"terms": {field: list(counts)}}]}}
        total = sum(counts.values())
        if total > self.page:
            yield from self.pages(query)
        elif total:
            body = {**_documents(query, total), "docvalue_fields": [field]}
            (answer,) = self._ask([self._in_target(body)])
            yield [self._copied(hit) for hit in answer["hits"]["hits"]]

    def pages(self, query: Mapping[str, Any]) -> Iterator[list[Numbered]]:
        """Yield the matching documents of the target, page by page, in the order of their own ``_seq_no``."""
        for shard in sorted(patiently(lambda: admin.checkpoints(self._client, self._part.target))):
            after = -1
            while True:
                beyond = {"range": {"_seq_no": {"gt": after}}}
                body = {
                    **_documents({"bool": {"filter": [query, beyond]}}, self.page),
                    "docvalue_fields": [f"{self._origin}.seq_no"],
                    "sort": [{"_seq_no": "asc"}],
                }
                (answer,) = self._ask([self._in_target(body, f"_shards:{shard}|_primary")])
                hits = answer["hits"]["hits"]
                if hits:
                    yield [self._copied(hit) for hit in hits]
                if len(hits) < self.page:
                    break
                after = hits[-1]["_seq_no"]

    def foreign(self, upto: Mapping[int, int], *, bounded: bool) -> dict[str, Any]:
        """Return the query for the documents of the target that were copied from no compared number.

        Those have no origin, or one in a shard that the source does not have. Not ``bounded``: an origin
        beyond the source's last number is foreign too, because the source takes no writes.
        """
        shard, number = f"{self._origin}.shard", f"{self._origin}.seq_no"
        known: list[dict[str, Any]]
        if bounded:
            known = [{"terms": {shard: sorted(upto)}}, {"exists": {"field": number}}]
        else:
            known = [{"bool": {"should": [
                {"bool": {"filter": [self._of_shard(one), {"range": {number: {"lte": last}}}]}}
                for one, last in upto.items()
            ]}}]  # fmt: skip
        return {"bool": {"must_not": {"bool": {"filter": known}}}}

    def count(self, query: Mapping[str, Any]) -> int:
        """Count the documents of the target that match."""
        self.requests += 1
        return patiently(lambda: admin.count(self._client, self._part.target, query))

    def now_in_source(self, keys: Sequence[Key]) -> list[int | None]:
        """Read each document's ``_seq_no`` in the source now, visible or not; ``None``: it is gone."""
        entries = self._now(self._part.source, keys, "false")
        return [entry["_seq_no"] if entry.get("found") else None for entry in entries]

    def now_in_target(self, keys: Sequence[Key]) -> list[tuple[int, int] | None]:
        """Read each document's origin in the target now; (-1, -1): it has none; ``None``: it is absent."""
        entries = self._now(self._part.target, keys, self._origin)
        return [
            _origin(entry.get("_source", {}).get(self._origin)) if entry.get("found") else None
            for entry in entries
        ]

    def _now(self, index: str, keys: Sequence[Key], fields: str) -> list[dict[str, Any]]:
        if not keys:
            return []
        docs = [{"_id": doc_id, **({"routing": routing} if routing else {})} for doc_id, routing in keys]
        params = {"preference": "_primary"}
        params |= {"_source": "false"} if fields == "false" else {"_source_includes": fields}

        def fetch() -> list[dict[str, Any]]:
            action = f"look up documents of '{index}'"
            with backend_errors(action):
                answer = self._client.mget(index=index, body={"docs": docs}, params=params)
            return entries_of(action, answer)

        self.requests += 1
        return patiently(fetch)

    def _in_source(self, shard: int, body: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        return {"index": self._part.source, "preference": f"_shards:{shard}|_primary"}, body

    def _in_target(
        self, body: Mapping[str, Any], preference: str = "_primary"
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        return {"index": self._part.target, "preference": preference}, body

    def _ask(
        self, searches: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], wanted: str | None = None
    ) -> list[dict[str, Any]]:
        """Send several searches, each with its header, in one request."""
        lines: list[Mapping[str, Any]] = []
        for header, body in searches:
            # A partial answer would be a wrong sum.
            lines += [{**header, "allow_partial_search_results": False}, body]
        params = {"filter_path": wanted} if wanted else {}

        def search() -> list[dict[str, Any]]:
            with backend_errors(f"compare '{self._part.source}' with '{self._part.target}'"):
                answers: list[dict[str, Any]] = self._client.msearch(body=lines, params=params)["responses"]
                for answer in answers:
                    if "error" in answer:
                        raise TransportError(answer["status"], str(answer["error"]), answer)
            return answers

        self.requests += 1
        return patiently(search)

    def _of_shard(self, shard: int) -> dict[str, Any]:
        return {"term": {f"{self._origin}.shard": shard}}

    def _copied(self, hit: Mapping[str, Any]) -> Numbered:
        (number, *_) = hit.get("fields", {}).get(f"{self._origin}.seq_no", [-1])
        return _numbered(hit, int(number))


def _body(filters: list[dict[str, Any]], field: str, look: Look) -> dict[str, Any]:
    ranges = [{"range": {field: {"gte": first, "lte": last}}} for first, last in look.ranges]
    histogram: dict[str, Any] = {"histogram": {"field": field, "interval": look.width, "min_doc_count": 1}}
    if look.adds:
        histogram["aggs"] = {"numbers": {"extended_stats": {"field": field}}}
    return {
        "size": 0,
        "track_total_hits": False,
        "query": {"bool": {"filter": [*filters, {"bool": {"should": ranges}}]}},
        "aggs": {"stretches": histogram},
    }


def _documents(query: Mapping[str, Any], size: int) -> dict[str, Any]:
    return {
        "size": size,
        "query": query,
        "_source": False,
        "seq_no_primary_term": True,
        "track_total_hits": False,
    }


def _found(answer: Mapping[str, Any]) -> dict[int, Sums]:
    buckets = answer.get("aggregations", {}).get("stretches", {}).get("buckets", [])
    return {int(bucket["key"]): _sums(bucket) for bucket in buckets}


def _sums(bucket: Mapping[str, Any]) -> Sums:
    numbers = bucket.get("numbers", {})
    return Sums(bucket["doc_count"], numbers.get("sum", 0.0), numbers.get("sum_of_squares", 0.0))


def _numbered(hit: Mapping[str, Any], number: int) -> Numbered:
    return Numbered(hit["_id"], hit.get("_routing"), number, hit["_seq_no"], hit["_primary_term"])


def _origin(value: Any) -> tuple[int, int]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, Mapping) or not {"shard", "seq_no"} <= value.keys():
        return -1, -1
    return int(value["shard"]), int(value["seq_no"])
