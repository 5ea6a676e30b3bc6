"""Judgments in the cluster, in an index of ours."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.helpers import scan

from ce2de_os.index import admin
from ce2de_os.index.client import WHOLE, backend_errors, item_error
from ce2de_os.index.templates import render
from ce2de_os.records import Query
from ce2de_os.ui.judging.records import MOST_QUERIES, Judgment, check_queries, judgment_of, now_ms

JUDGMENTS_INDEX = "ce2de-judgments"
_BATCH = 1000
_CONFLICT = 409
_WHOLE = {**WHOLE, "ignore_unavailable": "true"}

_Write = tuple[str, Mapping[str, Any], Mapping[str, Any]]
"""Key, document, and what else the action needs."""


class IndexJudgments:
    """Keeps judgments of every collection in one index.

    Each judgment is a document with the time of judging as version: an older one that comes late changes
    nothing.
    """

    def __init__(self, client: OpenSearch) -> None:
        self._client = client

    @property
    def place(self) -> str:
        """The index."""
        return f"index {JUDGMENTS_INDEX}"

    def queries(self, collection: str) -> list[Query]:
        """Return the queries of a collection, in the order in which they came."""
        body = {"size": MOST_QUERIES, "query": _of("query", collection), "sort": ["place", "query_id"]}
        return [Query(row["query_id"], row["text"]) for row in self._rows("read the queries", body)]

    def add_queries(self, collection: str, queries: Sequence[Query]) -> None:
        """Add queries; those with an id that is there already stay as they are."""
        known = self.queries(collection)
        new = check_queries(known, queries)
        at = now_ms()
        rows: list[_Write] = [
            (
                _key("query", collection, one.query_id),
                {"kind": "query", "collection": collection, "query_id": one.query_id, "text": one.text,
                 "place": at * MOST_QUERIES + number},
                {},
            )
            for number, one in enumerate(new)
        ]  # fmt: skip
        self._write("create", rows)

    def put(self, judgments: Sequence[Judgment]) -> None:
        """Write judgments; older ones than those that are kept change nothing."""
        rows: list[_Write] = [
            (
                one.key,
                {
                    "kind": "judgment", "collection": one.collection, "query_id": one.query_id,
                    "doc_id": one.doc_id, "judge": one.judge, "grade": one.grade, "at_ms": one.at_ms,
                },
                {"version": one.at_ms, "version_type": "external_gte"},
            )
            for one in judgments
        ]  # fmt: skip
        self._write("index", rows)

    def of_query(self, collection: str, query_id: str) -> list[Judgment]:
        """Return all judges' judgments of a query."""
        query = _of("judgment", collection, {"term": {"query_id": query_id}}, {"exists": {"field": "grade"}})
        rows = self._rows("read the judgments", {"size": MOST_QUERIES, "query": query})
        return [judgment_of(row) for row in rows]

    def all(self, collection: str) -> Iterable[Judgment]:
        """Return all judgments of a collection."""
        query = {"query": _of("judgment", collection, {"exists": {"field": "grade"}})}
        hits = scan(
            self._client,
            index=JUDGMENTS_INDEX,
            query=query,
            size=_BATCH,
            params={"ignore_unavailable": "true"},
        )
        with backend_errors("read the judgments"):
            yield from (judgment_of(hit["_source"]) for hit in hits)

    def counts(self, collection: str, judge: str) -> Mapping[str, int]:
        """Count a judge's judgments by query."""
        query = _of("judgment", collection, {"term": {"judge": judge}}, {"exists": {"field": "grade"}})
        by_query = {"terms": {"field": "query_id", "size": MOST_QUERIES}}
        body = {"size": 0, "query": query, "aggs": {"by_query": by_query}}
        answer = self._search("count the judgments", body)
        buckets = answer.get("aggregations", {}).get("by_query", {}).get("buckets", ())
        return {one["key"]: one["doc_count"] for one in buckets}

    def _rows(self, action: str, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        yield from (hit["_source"] for hit in self._search(action, body)["hits"]["hits"])

    def _search(self, action: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        with backend_errors(action):
            answer: Mapping[str, Any] = self._client.search(index=JUDGMENTS_INDEX, body=body, params=_WHOLE)
        return answer

    def _write(self, verb: str, rows: Sequence[_Write]) -> None:
        if rows and not admin.exists(self._client, JUDGMENTS_INDEX):
            admin.create(self._client, JUDGMENTS_INDEX, render("judgments", {}))
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            lines = [line for key, row, more in part for line in ({verb: {"_id": key, **more}}, row)]
            with backend_errors("write the judgments"):
                answer = self._client.bulk(index=JUDGMENTS_INDEX, body=lines, refresh=True)
            failed = [item[verb] for item in answer["items"] if item[verb]["status"] >= 300]
            failed = [item for item in failed if item["status"] != _CONFLICT]  # a newer one is there
            if failed:
                raise item_error("write the judgments", failed[0])


def _of(kind: str, collection: str, *more: Mapping[str, Any]) -> dict[str, Any]:
    return {"bool": {"filter": [{"term": {"kind": kind}}, {"term": {"collection": collection}}, *more]}}


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:40]
