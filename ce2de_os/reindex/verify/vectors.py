"""Check that documents have the right vectors, and their text in the field of its language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ce2de_os.arrays import cosine
from ce2de_os.index import admin
from ce2de_os.index.base64_vectors import numbers_of
from ce2de_os.index.client import WHOLE, backend_errors
from ce2de_os.index.language_fields import OTHER, LanguageSpec, language_field
from ce2de_os.index.token_field import from_json, to_json
from ce2de_os.reindex.job import Job
from ce2de_os.reindex.slices.embedding import DocumentEncoder
from ce2de_os.reindex.verify.report import VerifyReport
from ce2de_os.reindex.verify.subject import Subject

MIN_COSINE = 0.999
"""Least cosine between a stored vector and the same text encoded again."""


def check_vectors(subject: Subject, encoder: DocumentEncoder, report: VerifyReport) -> None:
    """Encode a sample of texts again, and look for documents that have text and no vector."""
    job, part = subject.job, subject.part
    has_vector = _has_vector(job)
    without = {"bool": {"must_not": [has_vector]}}
    report.without_vector += admin.count(subject.client, part.target, without)
    bare = [
        hit["_id"]
        for hit in subject.sample(without)
        if job.text.text_of(hit["_source"]) and not subject.is_awaited(hit)
    ]
    if bare:
        report.problems.append(f"document '{bare[0]}' and perhaps others have text but no vector")
    hits = [hit for hit in subject.sample(has_vector) if not subject.is_awaited(hit)]
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


def check_languages(subject: Subject, report: VerifyReport) -> None:
    """Check that each document's text is in the field of its language, if the job asks for that."""
    job = subject.job
    if job.languages is None:
        return
    for language, documents in _by_language(subject).items():
        report.languages[language] = report.languages.get(language, 0) + documents
    wrong = [
        hit["_id"]
        for hit in subject.some
        if not _stands(job, job.languages, hit["_source"]) and not subject.is_awaited(hit)
    ]
    if wrong:
        report.problems.append(
            f"the text of document '{wrong[0]}' and perhaps of others is not in the field of its language"
        )


def _stands(job: Job, languages: LanguageSpec, source: Mapping[str, Any]) -> bool:
    """Return whether a document has its text in the field of its language, and in no other."""
    text, language = job.text.text_of(source), source.get(language_field(job.vector.name))
    known = language in (*languages.codes, OTHER) if text else language is None
    return known and languages.holds(source, job.vector.name, language, text)


def _by_language(subject: Subject) -> dict[str, int]:
    job, index = subject.job, subject.part.target
    most = len(job.languages.codes) + 1 if job.languages else 1
    terms = {"terms": {"field": language_field(job.vector.name), "size": most}}
    body = {"size": 0, "aggs": {"languages": terms}}
    with backend_errors(f"count languages of '{index}'"):
        answer = subject.client.search(index=index, body=body, params=WHOLE)
    return {bucket["key"]: bucket["doc_count"] for bucket in answer["aggregations"]["languages"]["buckets"]}


def _least_cosine(encoder: DocumentEncoder, job: Job, sources: Sequence[Mapping[str, Any]]) -> float:
    """Compute the least cosine of stored vectors and new ones of the same texts, tokens included."""
    stored = np.array([numbers_of(job.vector, _first_vector(source[job.vector.name])) for source in sources])
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


def _first_vector(value: Any) -> str | list[float]:  # noqa: ANN401 - any JSON value
    """Return the vector, or that of the first passage."""
    vector: str | list[float] = value[0]["vector"] if isinstance(value[0], Mapping) else value
    return vector


def _first_text(job: Job, source: Mapping[str, Any]) -> str:
    text, value = job.text.text_of(source), source[job.vector.name]
    return text[value[0]["start"] : value[0]["end"]] if isinstance(value[0], Mapping) else text
