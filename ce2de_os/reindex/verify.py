"""Verification: decides whether the alias may move to the target."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from opensearchpy import OpenSearch

from ce2de_os.arrays import cosine
from ce2de_os.index import admin
from ce2de_os.index.client import backend_errors
from ce2de_os.index.documents import document_text
from ce2de_os.reindex.job import Job
from ce2de_os.reindex.pipeline import DocumentEncoder

MIN_COSINE = 0.999
"""Least cosine between a stored vector and the same text encoded again."""

MIN_AGREEMENT = 0.8
"""Least mean share of the ten best BM25 hits that source and target have in common."""

MAX_SLOWDOWN = 5.0
"""Most that the target's median BM25 latency may be, as a multiple of the source's; 200 ms always pass."""

_SAMPLE = 64
_QUERIES = 20
_QUERY_WORDS = 8
_SEED = 20251
_TIE = 0.01  # BM25 scores shift a little with the deleted documents that an old index still counts
_ALWAYS_FAST_MS = 200.0


@dataclass
class VerifyReport:
    """What was found; the target passes if ``problems`` is empty."""

    source_documents: int = 0
    target_documents: int = 0
    without_vector: int = 0
    sampled: int = 0
    min_cosine: float | None = None
    agreement: float | None = None
    source_p50_ms: float | None = None
    target_p50_ms: float | None = None
    problems: list[str] = field(default_factory=list)

    def to_source(self) -> dict[str, Any]:
        """The report as the ledger and ``--json`` show it."""
        return asdict(self)


def verify(client: OpenSearch, encoder: DocumentEncoder, job: Job) -> VerifyReport:
    """Compare source and target: counts, a sample of vectors, BM25 results and latency.

    Both indexes must have been refreshed.
    """
    report = VerifyReport()
    _check_counts(client, job, report)
    _check_vectors(client, encoder, job, report)
    _check_results(client, job, report)
    return report


def _check_counts(client: OpenSearch, job: Job, report: VerifyReport) -> None:
    report.source_documents = admin.count(client, job.source)
    report.target_documents = admin.count(client, job.target)
    missing = report.source_documents - report.target_documents
    if missing > 0:
        report.problems.append(f"{missing} documents of '{job.source}' are missing in '{job.target}'")
    if missing < 0:
        report.problems.append(
            f"'{job.target}' has {-missing} documents more than '{job.source}': deleted there meanwhile? "
            "delete the target and start again"
        )


def _check_vectors(client: OpenSearch, encoder: DocumentEncoder, job: Job, report: VerifyReport) -> None:
    has_vector = {"exists": {"field": job.vector_field}}
    bare = _sample(client, job, {"bool": {"must_not": [has_vector]}})
    report.without_vector = admin.count(client, job.target, {"bool": {"must_not": [has_vector]}})
    forgotten = [hit["_id"] for hit in bare if document_text(hit["_source"], job.text_fields)]
    if forgotten:
        report.problems.append(f"document '{forgotten[0]}' and perhaps others have text but no vector")
    hits = _sample(client, job, has_vector)
    report.sampled = len(hits)
    if not hits:
        return
    stored = np.array([hit["_source"][job.vector_field] for hit in hits], dtype=np.float32)
    again = encoder.encode_documents([document_text(hit["_source"], job.text_fields) for hit in hits])
    report.min_cosine = float(cosine(stored, again).min())
    if report.min_cosine < MIN_COSINE:
        report.problems.append(
            f"a stored vector differs from its text encoded again: cosine {report.min_cosine:.4f}, "
            f"at least {MIN_COSINE} expected"
        )


def _sample(client: OpenSearch, job: Job, query: Mapping[str, Any]) -> list[dict[str, Any]]:
    scored = {"function_score": {"query": query, "random_score": {"seed": _SEED, "field": "_seq_no"}}}
    with backend_errors(f"sample '{job.target}'"):
        answer = client.search(index=job.target, body={"size": _SAMPLE, "query": scored})
    hits: list[dict[str, Any]] = answer["hits"]["hits"]
    return hits


def _check_results(client: OpenSearch, job: Job, report: VerifyReport) -> None:
    queries = _sample_queries(client, job)
    if not queries:
        return
    shared: list[float] = []
    times: dict[str, list[float]] = {job.source: [], job.target: []}
    for query in queries:
        best: dict[str, dict[str, float]] = {}
        for index in (job.source, job.target):
            took, best[index] = _best(client, index, job, query)
            times[index].append(took)
        shared.append(agreement(best[job.source], best[job.target]))
    report.agreement = statistics.fmean(shared)
    report.source_p50_ms = statistics.median(times[job.source])
    report.target_p50_ms = statistics.median(times[job.target])
    if report.agreement < MIN_AGREEMENT:
        report.problems.append(
            f"source and target agree on {report.agreement:.0%} of the best BM25 hits, "
            f"at least {MIN_AGREEMENT:.0%} expected"
        )
    if report.target_p50_ms > max(_ALWAYS_FAST_MS, MAX_SLOWDOWN * report.source_p50_ms):
        report.problems.append(
            f"BM25 takes {report.target_p50_ms:.0f} ms in the target, "
            f"{report.source_p50_ms:.0f} ms in the source"
        )


def _sample_queries(client: OpenSearch, job: Job) -> list[str]:
    texts = [
        document_text(hit["_source"], job.text_fields) for hit in _sample(client, job, {"match_all": {}})
    ]
    return [_as_query(text) for text in texts if text][:_QUERIES]


def _as_query(text: str) -> str:
    """The first words of a text; lone surrogates, which no request can carry, become question marks."""
    words = " ".join(text[:1000].split()[:_QUERY_WORDS])
    return words.encode("utf-8", "replace").decode("utf-8")


def agreement(expected: Mapping[str, float], found: Mapping[str, float]) -> float:
    """Share of the ``expected`` best hits (id to score) that are among the best ``found``.

    Which of several equal hits come last is chance, so a hit that ties with the lowest one found counts too.
    """
    lowest = min(found.values(), default=0.0)
    agreed = [
        doc_id
        for doc_id, score in expected.items()
        if doc_id in found or abs(score - lowest) <= _TIE * lowest
    ]
    return len(agreed) / len(expected) if expected else float(not found)


def _best(client: OpenSearch, index: str, job: Job, query: str) -> tuple[float, dict[str, float]]:
    match = {"multi_match": {"query": query, "fields": list(job.text_fields), "lenient": True}}
    body = {"size": 10, "query": match, "_source": False}
    with backend_errors(f"search '{index}'"):
        answer = client.search(index=index, body=body)
    return float(answer["took"]), {hit["_id"]: hit["_score"] for hit in answer["hits"]["hits"]}
