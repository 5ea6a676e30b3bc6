"""Verification: decides whether the alias may move to the targets.

BM25 is compared in the fields that source and target have in common, under the source's own analyzers. Fields
for the languages of the text are the target's alone: searches there are meant to find other documents than
before, so what is verified of them is that each document's text stands in the field of one language.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from opensearchpy import OpenSearch

from ce2de_os.arrays import cosine
from ce2de_os.index import admin
from ce2de_os.index.client import backend_errors
from ce2de_os.index.documents import random_order
from ce2de_os.index.language_fields import OTHER, LanguageSpec, language_field
from ce2de_os.index.token_field import from_json, to_json
from ce2de_os.reindex import dead_letters, identity
from ce2de_os.reindex.embedding import DocumentEncoder
from ce2de_os.reindex.job import Job, Part

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
    """What was found; the targets pass if ``problems`` is empty.

    Attributes:
        source_documents: in all sources; ``target_documents`` likewise.
        moving: operations of live writes that the targets do not have yet; counts may differ by as many.
        refused: documents in the dead-letter index, which the targets lack.
        without_vector: documents that have no text.
        sampled: vectors that were computed again.
        min_cosine: the least cosine to them, ``None`` if there was no vector.
        languages: documents by language, those in none of the job's under ``"other"``; empty: it has none.
        agreement: mean share of the ten best BM25 hits in common, ``None`` if there was no text.
        source_p50_ms: median time of a BM25 search; ``target_p50_ms`` likewise.
        problems: what stands against moving the alias.
    """

    source_documents: int = 0
    target_documents: int = 0
    moving: int = 0
    refused: int = 0
    without_vector: int = 0
    sampled: int = 0
    min_cosine: float | None = None
    languages: dict[str, int] = field(default_factory=dict)
    agreement: float | None = None
    source_p50_ms: float | None = None
    target_p50_ms: float | None = None
    problems: list[str] = field(default_factory=list)

    def to_source(self) -> dict[str, Any]:
        """The report as the ledger and ``--json`` show it."""
        return asdict(self)


def verify(
    client: OpenSearch,
    encoder: DocumentEncoder,
    job: Job,
    lag: Callable[[], int],
    accept_refused: bool = False,
) -> VerifyReport:
    """Compare sources and targets: counts, a sample of vectors, BM25 results and latency.

    All must have been refreshed. ``lag`` tells how many operations of the sources the targets have not seen;
    it is asked after counting, so that live writes explain a difference and lost documents do not hide in it.
    """
    report = VerifyReport(refused=dead_letters.count(client, job.job_id))
    report.problems += identity.problems(client, job)
    if report.problems:
        return report  # what is compared then says nothing
    if report.refused and not accept_refused:
        report.problems.append(
            f"{report.refused} documents were refused; see: ce2de reindex dlq list {job.job_id}"
        )
    _check_counts(client, job, report, lag)
    for part in job.parts:
        _check_vectors(client, encoder, job, part, report)
        _check_languages(client, job, part, report)
        if job.mode == "copy":
            _check_results(client, job, part, report)
    return report


def _check_counts(client: OpenSearch, job: Job, report: VerifyReport, lag: Callable[[], int]) -> None:
    counts = [
        (part, admin.count(client, part.source), admin.count(client, part.target)) for part in job.parts
    ]
    report.moving = lag()
    report.source_documents = sum(source for _, source, _ in counts)
    report.target_documents = sum(target for _, _, target in counts)
    for part, source, target in counts:
        missing = source - target
        if missing > report.moving + report.refused:
            report.problems.append(f"{missing} documents of '{part.source}' are missing in '{part.target}'")
        if -missing > report.moving:
            report.problems.append(f"'{part.target}' has {-missing} documents more than '{part.source}'")


def _check_vectors(
    client: OpenSearch, encoder: DocumentEncoder, job: Job, part: Part, report: VerifyReport
) -> None:
    has_vector = _has_vector(job)
    without = {"bool": {"must_not": [has_vector]}}
    report.without_vector += admin.count(client, part.target, without)
    bare = [hit for hit in _sample(client, part.target, without) if job.text.text_of(hit["_source"])]
    if len(bare) > report.moving + report.refused:
        report.problems.append(f"document '{bare[0]['_id']}' and perhaps others have text but no vector")
    hits = _sample(client, part.target, has_vector)
    report.sampled += len(hits)
    if not hits:
        return
    least = _least_cosine(encoder, job, [hit["_source"] for hit in hits])
    report.min_cosine = min(least, report.min_cosine if report.min_cosine is not None else least)
    if least < MIN_COSINE:
        report.problems.append(
            f"a vector stored in '{part.target}' differs from its text encoded again: cosine {least:.4f}, "
            f"at least {MIN_COSINE} expected"
        )


def _check_languages(client: OpenSearch, job: Job, part: Part, report: VerifyReport) -> None:
    if job.languages is None:
        return
    for language, documents in _by_language(client, job, part.target).items():
        report.languages[language] = report.languages.get(language, 0) + documents
    wrong = [
        hit["_id"]
        for hit in _sample(client, part.target, {"match_all": {}})
        if not _stands(job, job.languages, hit["_source"])
    ]
    if len(wrong) > report.moving + report.refused:
        report.problems.append(
            f"the text of document '{wrong[0]}' and perhaps of others does not stand in the field of its "
            "language"
        )


def _stands(job: Job, languages: LanguageSpec, source: Mapping[str, Any]) -> bool:
    """Whether a document's text stands in the field of its language, and in no other."""
    text, language = job.text.text_of(source), source.get(language_field(job.vector.name))
    known = language in (*languages.codes, OTHER) if text else language is None
    return known and languages.holds(source, job.vector.name, language, text)


def _by_language(client: OpenSearch, job: Job, index: str) -> dict[str, int]:
    most = len(job.languages.codes) + 1 if job.languages else 1
    terms = {"terms": {"field": language_field(job.vector.name), "size": most}}
    with backend_errors(f"count languages of '{index}'"):
        answer = client.search(index=index, body={"size": 0, "aggs": {"languages": terms}})
    return {bucket["key"]: bucket["doc_count"] for bucket in answer["aggregations"]["languages"]["buckets"]}


def _least_cosine(encoder: DocumentEncoder, job: Job, sources: Sequence[Mapping[str, Any]]) -> float:
    """Between what is stored and the same texts encoded again, token vectors included."""
    stored = np.array([_first_vector(source[job.vector.name]) for source in sources], dtype=np.float32)
    texts = [_first_text(job, source) for source in sources]
    again = np.array(job.vector.encode(encoder.encode_documents(texts)), dtype=np.float32)
    least = float(cosine(stored, again).min())
    field = job.vector.token_field
    if field is None:
        return least
    _, tokens = encoder.encode_documents_and_tokens(texts)
    pairs = zip((source.get(field) or "" for source in sources), map(to_json, tokens), strict=True)
    return min([least, *(_least_token_cosine(old, new, job.vector.token_dim or 1) for old, new in pairs)])


def _least_token_cosine(stored: str, again: str, token_dim: int) -> float:
    if len(stored) != len(again):
        return 0.0
    pairs = cosine(from_json(stored, token_dim), from_json(again, token_dim))
    return float(pairs.min()) if len(pairs) else 1.0


def _has_vector(job: Job) -> dict[str, Any]:
    name = job.vector.name
    if job.text.passages is None:
        return {"exists": {"field": name}}
    return {"nested": {"path": name, "query": {"exists": {"field": f"{name}.vector"}}}}


def _first_vector(value: Any) -> list[float]:  # noqa: ANN401 - any JSON value
    """The vector, or that of the first passage."""
    vector: list[float] = value[0]["vector"] if isinstance(value[0], Mapping) else value
    return vector


def _first_text(job: Job, source: Mapping[str, Any]) -> str:
    text, value = job.text.text_of(source), source[job.vector.name]
    return text[value[0]["start"] : value[0]["end"]] if isinstance(value[0], Mapping) else text


def _sample(client: OpenSearch, index: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
    with backend_errors(f"sample '{index}'"):
        answer = client.search(index=index, body={"size": _SAMPLE, "query": random_order(query, _SEED)})
    hits: list[dict[str, Any]] = answer["hits"]["hits"]
    return hits


def _check_results(client: OpenSearch, job: Job, part: Part, report: VerifyReport) -> None:
    queries = _sample_queries(client, job, part)
    if not queries:
        return
    shared: list[float] = []
    times: dict[str, list[float]] = {part.source: [], part.target: []}
    for query in queries:
        best: dict[str, dict[str, float]] = {}
        for index in (part.source, part.target):
            took, best[index] = _best(client, index, job, query)
            times[index].append(took)
        shared.append(agreement(best[part.source], best[part.target]))
    report.agreement = min(
        statistics.fmean(shared), report.agreement if report.agreement is not None else 1.0
    )
    report.source_p50_ms = statistics.median(times[part.source])
    report.target_p50_ms = statistics.median(times[part.target])
    if report.agreement < MIN_AGREEMENT:
        report.problems.append(
            f"'{part.source}' and '{part.target}' agree on {report.agreement:.0%} of the best BM25 hits, "
            f"at least {MIN_AGREEMENT:.0%} expected"
        )
    if report.target_p50_ms > max(_ALWAYS_FAST_MS, MAX_SLOWDOWN * report.source_p50_ms):
        report.problems.append(
            f"BM25 takes {report.target_p50_ms:.0f} ms in '{part.target}', "
            f"{report.source_p50_ms:.0f} ms in '{part.source}'"
        )


def _sample_queries(client: OpenSearch, job: Job, part: Part) -> list[str]:
    texts = [job.text.text_of(hit["_source"]) for hit in _sample(client, part.target, {"match_all": {}})]
    return [_as_query(text) for text in texts if text][:_QUERIES]


def _as_query(text: str) -> str:
    """The first words of a text; lone surrogates, which no request can carry, become question marks."""
    words = " ".join(text[:1000].split()[:_QUERY_WORDS])
    return words.encode("utf-8", "replace").decode("utf-8")


def agreement(expected: Mapping[str, float], found: Mapping[str, float]) -> float:
    """Share of the ``expected`` best hits (id to score) that are among the best ``found``.

    Which of several equal hits come last is chance, so a hit that ties with the lowest one of either index
    counts too: of an index with many deleted documents all scores may lie a little higher or lower.
    """
    if not expected or not found:
        return float(not expected and not found)
    lowest = min(found.values())
    last = [doc_id for doc_id, score in expected.items() if _ties(score, min(expected.values()))]
    tied = set(last) if len(last) > 1 else set()
    agreed = [
        doc_id
        for doc_id, score in expected.items()
        if doc_id in found or doc_id in tied or _ties(score, lowest)
    ]
    return len(agreed) / len(expected)


def _ties(score: float, lowest: float) -> bool:
    return abs(score - lowest) <= _TIE * lowest


def _best(client: OpenSearch, index: str, job: Job, query: str) -> tuple[float, dict[str, float]]:
    match = {"multi_match": {"query": query, "fields": list(job.text.fields), "lenient": True}}
    body = {"size": 10, "query": match, "_source": False}
    with backend_errors(f"search '{index}'"):
        answer = client.search(index=index, body=body)
    return float(answer["took"]), {hit["_id"]: hit["_score"] for hit in answer["hits"]["hits"]}
