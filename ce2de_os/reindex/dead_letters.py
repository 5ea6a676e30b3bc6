"""Dead letters: documents that could not be embedded or written, each with the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.helpers import scan

from ce2de_os.index import admin
from ce2de_os.index.client import WHOLE, backend_errors, item_error
from ce2de_os.index.templates import render

DLQ_INDEX = "ce2de-dlq"
KILLER = "killed_its_worker"
"""The ``kind`` of a document that crashed several workers."""

FAILING = "embedding_failed"
"""The ``kind`` of a document that failed in several tries to read, encode or write it."""

_BATCH = 1000
_AGAIN = """
    ctx._source.tries += 1;
    ctx._source.reason = params.reason;
    ctx._source.at_s = params.at_s;
"""


@dataclass(frozen=True)
class DeadLetter:
    """A document in the dead-letter index.

    Attributes:
        part: number of the job's part that it belongs to.
        status: HTTP status of the rejection; 0 if it was never sent.
        kind: OpenSearch's type of error, `KILLER` or `FAILING`.
        tries: how often it failed.
        at_s: when, by the cluster's clock.
    """

    job_id: str
    part: int
    source: str
    doc_id: str
    routing: str | None
    status: int
    kind: str
    reason: str
    at_s: float
    tries: int = 1

    @property
    def key(self) -> str:
        """Id in the dead-letter index, where a document is once for each job.

        An id may be in an index several times, under different routings; those are different documents.
        """
        place = [self.job_id, self.source, self.doc_id, *([self.routing] if self.routing is not None else [])]
        return hashlib.sha256("\n".join(place).encode()).hexdigest()[:40]

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> DeadLetter:
        """Build one from its document."""
        return cls(**{name: source[name] for name in cls.__dataclass_fields__})


def add(client: OpenSearch, letters: Iterable[DeadLetter]) -> None:
    """Add documents; one that is there already gets one more try.

    Raises:
        BackendBusyError: 429, or the index is read-only for now.
        BulkWriteError: OpenSearch rejects them.
    """
    lines: list[dict[str, Any]] = []
    for letter in letters:
        again = {"source": _AGAIN, "params": {"reason": letter.reason, "at_s": letter.at_s}}
        lines += [
            {"update": {"_id": letter.key, "retry_on_conflict": 3}},
            {"script": again, "upsert": asdict(letter)},
        ]
    if not lines:
        return
    if not admin.exists(client, DLQ_INDEX):
        admin.create(client, DLQ_INDEX, render("dlq", {}))
    with backend_errors("write dead letters"):
        answer = client.bulk(index=DLQ_INDEX, body=lines)
    failed = [item["update"] for item in answer["items"] if item["update"]["status"] >= 300]
    if failed:
        raise item_error("write dead letters", failed[0])


def count(client: OpenSearch, job_id: str | None = None) -> int:
    """Count the dead letters of a job; ``None``: of all jobs."""
    if not admin.exists(client, DLQ_INDEX):
        return 0
    admin.refresh(client, DLQ_INDEX)
    return admin.count(client, DLQ_INDEX, {"term": {"job_id": job_id}} if job_id else None)


def by_kind(client: OpenSearch, job_id: str) -> dict[str, int]:
    """Count the dead letters of a job for each kind of error."""
    if not admin.exists(client, DLQ_INDEX):
        return {}
    admin.refresh(client, DLQ_INDEX)
    body = {
        "size": 0,
        "query": {"term": {"job_id": job_id}},
        "aggs": {"kinds": {"terms": {"field": "kind", "size": 50}}},
    }
    with backend_errors("count dead letters"):
        answer = client.search(index=DLQ_INDEX, body=body, params=WHOLE)
    return {bucket["key"]: bucket["doc_count"] for bucket in answer["aggregations"]["kinds"]["buckets"]}


def letters(client: OpenSearch, job_id: str) -> Iterator[DeadLetter]:
    """Stream a job's dead letters."""
    if not admin.exists(client, DLQ_INDEX):
        return
    admin.refresh(client, DLQ_INDEX)
    with backend_errors("read dead letters"):
        query = {"query": {"term": {"job_id": job_id}}}
        for hit in scan(client, index=DLQ_INDEX, query=query, allow_partial_search_results=False):
            yield DeadLetter.from_source(hit["_source"])


def remove(client: OpenSearch, found: Iterable[DeadLetter]) -> None:
    """Delete dead letters."""
    keys = [letter.key for letter in found]
    for start in range(0, len(keys), _BATCH):
        lines = [{"delete": {"_id": key}} for key in keys[start : start + _BATCH]]
        with backend_errors("remove dead letters"):
            client.bulk(index=DLQ_INDEX, body=lines)
