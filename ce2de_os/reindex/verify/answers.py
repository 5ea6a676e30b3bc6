"""Compare the answers of source and target, and their speed.

BM25 is compared in the fields that both have in common, under the source's own analyzers. Fields for the
languages of the text are the target's alone: searches there are meant to find other documents than before.
"""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

from opensearchpy.exceptions import TransportError

from ce2de_os.errors import BackendBusyError, BackendError, BackendUnavailableError
from ce2de_os.index.client import backend_errors
from ce2de_os.reindex.compare.sides import Key
from ce2de_os.reindex.verify.report import VerifyReport
from ce2de_os.reindex.verify.subject import Subject, key_of

K = TypeVar("K", bound=Hashable)

MIN_AGREEMENT = 0.8
"""Least mean share of the ten best BM25 hits that source and target have in common."""

MAX_SLOWDOWN = 5.0
"""Most that the target's median BM25 latency may be, as a multiple of the source's; 200 ms always pass."""

_BEST = 10
_QUERIES = 20
_QUERY_WORDS = 8
_QUERY_CHARS = 200
"""Some analyzers make a word of each character, or several of it, and a query may have 1,024."""
_SHORTEST = 4
_TIE = 0.01  # BM25 scores shift a little with the deleted documents that an old index still counts
_ALWAYS_FAST_MS = 200.0

Answer = tuple[float, dict[Key, float]]
"""The milliseconds that a search took, and its best hits with their scores."""


def check_answers(subject: Subject, report: VerifyReport) -> None:
    """Ask source and target the same; compare hits and times, without what OpenSearch cannot search."""
    part = subject.part
    shared: list[float] = []
    times: tuple[list[float], list[float]] = ([], [])
    for answers in _ask(subject, _queries(subject)):
        if answers is None:
            report.unsearched += 1
            continue
        for took, (milliseconds, _) in zip(times, answers, strict=True):
            took.append(milliseconds)
        expected = {key: score for key, score in answers[0][1].items() if key not in subject.refused}
        shared.append(agreement(expected, answers[1][1]) if expected or not subject.refused else 1.0)
    if not shared:
        return
    report.agreement = min(
        statistics.fmean(shared), report.agreement if report.agreement is not None else 1.0
    )
    report.source_p50_ms, report.target_p50_ms = map(statistics.median, times)
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


def _queries(subject: Subject) -> list[str]:
    texts = (subject.job.text.text_of(hit["_source"]) for hit in subject.some)
    return [_as_query(text) for text in texts if text][:_QUERIES]


def _as_query(text: str) -> str:
    """Return the first words of a text as a query; lone surrogates become question marks."""
    words = " ".join(text[:_QUERY_CHARS].split()[:_QUERY_WORDS])
    return words.encode("utf-8", "replace").decode("utf-8")


def _ask(subject: Subject, queries: Sequence[str]) -> list[tuple[Answer, Answer] | None]:
    """Ask source and target; a query with too many words is shortened. ``None``: it cannot be asked."""
    found: dict[int, tuple[Answer, Answer] | None] = {}
    waiting = dict(enumerate(queries))
    while waiting:
        again = {}
        for (place, query), answers in zip(
            waiting.items(), _search(subject, list(waiting.values())), strict=True
        ):
            if answers is None and len(query) > _SHORTEST:
                again[place] = query[: len(query) // 2]
            else:
                found[place] = answers
        waiting = again
    return [found[place] for place in range(len(queries))]


def _search(subject: Subject, queries: Sequence[str]) -> list[tuple[Answer, Answer] | None]:
    """Ask source and target all queries in one request; ``None``: one of the two rejects the query."""
    names = subject.part.source, subject.part.target
    lines: list[dict[str, Any]] = []
    for query in queries:
        for name in names:
            lines += [{"index": name, "allow_partial_search_results": False}, _body(subject, name, query)]
    # One search after the other: their times are compared.
    params = {"max_concurrent_searches": "1"}
    with backend_errors(f"search '{names[0]}' and '{names[1]}'"):
        answers = subject.client.msearch(body=lines, params=params)["responses"] if lines else []
    found = [_answer(answer) for answer in answers]
    return [
        None if source is None or target is None else (source, target)
        for source, target in zip(found[::2], found[1::2], strict=True)
    ]


def _body(subject: Subject, index: str, query: str) -> dict[str, Any]:
    match = {"multi_match": {"query": query, "fields": list(subject.job.text.fields), "lenient": True}}
    return {"size": min(_BEST, subject.most_hits[index]), "query": match, "_source": False}


def _answer(answer: Mapping[str, Any]) -> Answer | None:
    """Read one answer; ``None``: OpenSearch rejects the query.

    Raises:
        BackendBusyError: the cluster is busy.
        BackendUnavailableError: a shard did not answer.
    """
    if "error" not in answer:
        hits = answer["hits"]["hits"]
        return float(answer["took"]), {key_of(hit): hit["_score"] for hit in hits}
    try:
        with backend_errors("compare answers"):
            raise TransportError(answer["status"], str(answer["error"]), answer)
    except (BackendBusyError, BackendUnavailableError):
        raise
    except BackendError:
        return None


def agreement(expected: Mapping[K, float], found: Mapping[K, float]) -> float:
    """Compute the share of the ``expected`` best hits (document to score) among the best ``found``.

    Which of several equal hits come last is chance, so a hit that ties with the lowest one of either index
    counts too: of an index with many deleted documents all scores may lie a little higher or lower.
    """
    if not expected or not found:
        return float(not expected and not found)
    lowest = min(found.values())
    last = [key for key, score in expected.items() if _ties(score, min(expected.values()))]
    tied = set(last) if len(last) > 1 else set()
    agreed = [key for key, score in expected.items() if key in found or key in tied or _ties(score, lowest)]
    return len(agreed) / len(expected)


def _ties(score: float, lowest: float) -> bool:
    return abs(score - lowest) <= _TIE * lowest
