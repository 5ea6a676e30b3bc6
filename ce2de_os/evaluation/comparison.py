"""Compare several systems' rankings with one of them, the baseline: better, equivalent, or neither.

The tests are those of Yang et al., "Distillation for Multilingual Information Retrieval", SIGIR 2024, arXiv
2405.00977: one-sided paired t-tests and paired equivalence tests, both with Bonferroni's correction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from ce2de_os.errors import DataError
from ce2de_os.evaluation.figures import PValue, paired_tests
from ce2de_os.evaluation.languages import (
    LanguageOf,
    qrels_by_language,
    ranked_shares,
    relevant_shares,
    runs_by_language,
)
from ce2de_os.evaluation.metrics import Qrels, Runs, Scores, measure
from ce2de_os.evaluation.significance import better_than, bonferroni, confidence_interval, mean, tost

DEFAULT_METRICS = ("nDCG@20", "MAP", "Recall@1000", "MRR@10")
MARGIN = 0.05
TOP_K = 20  # documents of a query whose languages are counted


@dataclass(frozen=True)
class MetricFigure:
    """One metric of one system.

    Attributes:
        mean: over the queries.
        low: lower end of the mean's 95% bootstrap interval.
        high: upper end.
        better: one-sided paired t-test of "better than the baseline"; ``None`` for the baseline itself and
            without one. Corrected over the systems that this metric compares with the baseline.
        equivalent: TOST of "differs from the baseline by less than the margin", in the same way.
        scores: by query id.
    """

    mean: float
    low: float
    high: float
    better: PValue | None
    equivalent: PValue | None
    scores: Scores


def is_better(figure: MetricFigure) -> bool:
    """Return whether it is significantly better than the baseline's."""
    return figure.better is not None and figure.better.is_significant


def is_equivalent(figure: MetricFigure) -> bool:
    """Return whether it is significantly within the margin of the baseline's."""
    return figure.equivalent is not None and figure.equivalent.is_significant


Figures = dict[str, dict[str, MetricFigure]]
"""System to metric to figure."""


@dataclass(frozen=True)
class Answers:
    """The completeness of a system's rankings.

    Attributes:
        missing: judged queries without a result; they count 0.
        depth: documents of the longest ranking.
        relevant: relevant documents found, over all queries.
    """

    missing: int
    depth: int
    relevant: int


@dataclass(frozen=True)
class LanguageResult:
    """One language alone: rankings without the other languages' documents, judged by its own relevant ones.

    Attributes:
        language: its name.
        queries: queries with a relevant document in it; with none, there are no figures.
        figures: over these queries.
        relevant_share: its share of a query's relevant documents, the mean over all queries.
        ranked_shares: its share of the first `TOP_K` documents, by system, as a mean too. Above
            ``relevant_share``, the system prefers the language.
    """

    language: str
    queries: int
    figures: Figures
    relevant_share: float
    ranked_shares: dict[str, float]


@dataclass(frozen=True)
class RunComparison:
    """The result of `compare_runs`.

    Attributes:
        queries: judged queries.
        metrics: in the order given.
        baseline: the system that the others are compared with; ``None``: there were no tests.
        margin: largest difference from the baseline that counts as equivalent.
        figures: over all queries and languages, systems in the order given.
        answers: by system.
        languages: each language alone, sorted; empty without languages.
    """

    queries: int
    metrics: tuple[str, ...]
    baseline: str | None
    margin: float
    figures: Figures
    answers: dict[str, Answers]
    languages: list[LanguageResult] = field(default_factory=list)

    @property
    def comparisons(self) -> int:
        """Number of systems compared with the baseline, the factor of Bonferroni's correction."""
        return len(self.figures) - 1 if self.baseline is not None else 0

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)


def compare_runs(
    runs: Mapping[str, Runs],
    qrels: Qrels,
    *,
    baseline: str | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    margin: float = MARGIN,
    language_of: LanguageOf | None = None,
) -> RunComparison:
    """Measure every system, and test it against the baseline.

    Args:
        runs: each system's rankings; queries that are not judged are ignored.
        qrels: judged queries, each with a relevant document.
        baseline: one of the systems; ``None``: no tests.
        metrics: names in `ce2de_os.evaluation.METRICS`.
        margin: largest difference of two means that counts as equivalent, in the metrics' own unit.
        language_of: the language of a document, to evaluate each alone; ``None``: do not.

    Raises:
        DataError: no query is judged, a system has no judged query, there is no such baseline or metric, or a
            document's language is not known.
        ConfigError: ``margin`` is not above 0.
    """
    if not qrels:
        raise DataError("no judged query: nothing can be measured")
    if baseline is not None and baseline not in runs:
        raise DataError(f"baseline '{baseline}': expected one of {', '.join(runs)}")
    judged_runs = {name: _judged(name, run, qrels) for name, run in runs.items()}
    how = (baseline, tuple(dict.fromkeys(metrics)), margin)
    return RunComparison(
        queries=len(qrels), metrics=how[1], baseline=baseline, margin=margin,
        figures=_figures(judged_runs, qrels, *how),
        answers={name: _answers(run, qrels) for name, run in judged_runs.items()},
        languages=list(_languages(judged_runs, qrels, language_of, how)) if language_of else [],
    )  # fmt: skip


def _judged(name: str, run: Runs, qrels: Qrels) -> Runs:
    kept = {query_id: ranking for query_id, ranking in run.items() if query_id in qrels}
    if not kept:
        raise DataError(
            f"{name}: holds none of the {len(qrels):,} judged queries, the first is '{next(iter(qrels))}'; "
            "expected the same query ids"
        )
    return kept


def _figures(
    runs: Mapping[str, Runs], qrels: Qrels, baseline: str | None, metrics: Sequence[str], margin: float
) -> Figures:
    figures: Figures = {name: {} for name in runs}
    for metric in metrics:
        scores = {name: measure(qrels, run, metric) for name, run in runs.items()}
        references = {name: baseline for name in scores if name != baseline} if baseline is not None else {}
        better = paired_tests(scores, references, better_than, bonferroni)
        equivalent = paired_tests(scores, references, partial(tost, margin=margin), bonferroni)
        for name, one in scores.items():
            figures[name][metric] = MetricFigure(
                mean(one), *confidence_interval(one), better.get(name), equivalent.get(name), one
            )
    return figures


def _answers(run: Runs, qrels: Qrels) -> Answers:
    return Answers(
        missing=sum(not run.get(query_id) for query_id in qrels),
        depth=max(map(len, run.values())),
        relevant=sum(qrels[query_id].get(doc.doc_id, 0) > 0 for query_id in run for doc in run[query_id]),
    )


def _languages(
    runs: Mapping[str, Runs],
    qrels: Qrels,
    language_of: LanguageOf,
    how: tuple[str | None, Sequence[str], float],
) -> Iterator[LanguageResult]:
    judged, relevant = qrels_by_language(qrels, language_of), relevant_shares(qrels, language_of)
    parts: dict[str, Mapping[str, Runs]] = {}
    ranked: dict[str, dict[str, float]] = {}
    for name, run in runs.items():
        try:
            parts[name] = runs_by_language(run, language_of)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        ranked[name] = ranked_shares(run, language_of, TOP_K)
    for language in sorted(judged.keys() | {one for part in parts.values() for one in part}):
        own = judged.get(language, {})
        alone = {name: part.get(language, {}) for name, part in parts.items()}
        yield LanguageResult(
            language, len(own), _figures(alone, own, *how) if own else {}, relevant.get(language, 0.0),
            {name: shares.get(language, 0.0) for name, shares in ranked.items()},
        )  # fmt: skip
