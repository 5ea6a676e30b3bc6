"""The figures of systems that rank the same queries: means, their intervals, and paired tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ce2de_os.errors import DataError
from ce2de_os.evaluation.metrics import Qrels, Runs, Scores, measure
from ce2de_os.evaluation.significance import confidence_interval, holm, mean, paired_t_test, ratio_interval

SHOWN_METRICS = ("nDCG@10", "MRR@10", "Recall@100")
MAIN_METRIC = SHOWN_METRICS[0]
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class PValue:
    """A test's p-value, and the same after the correction for several tests."""

    p: float
    corrected: float

    @property
    def is_significant(self) -> bool:
        """Return whether the corrected p-value is below 0.05."""
        return self.corrected < SIGNIFICANT


@dataclass(frozen=True)
class Figure:
    """One metric of one system.

    Attributes:
        mean: over the queries.
        low: lower end of the mean's 95% bootstrap interval.
        high: upper end.
        p: of a paired two-sided t-test against the reference; ``None`` without a reference.
        p_holm: ``p`` corrected over all comparisons of this metric.
    """

    mean: float
    low: float
    high: float
    p: float | None = None
    p_holm: float | None = None

    @classmethod
    def of(cls, scores: Scores, reference: Scores | None, test: PValue | None) -> Figure:
        """Compute the figure of ``scores``; ``test`` compares them with the reference."""
        return cls(mean(scores), *confidence_interval(scores), *_p_values(test))


@dataclass(frozen=True)
class KeptFigure(Figure):
    """One metric of one system, also as a share of its reference.

    Attributes:
        kept: the mean as a share of the reference's; ``None`` without a reference, or if that one has 0.
        kept_low: lower end of the share's 95% bootstrap interval, the same queries in both.
        kept_high: upper end.
    """

    kept: float | None = None
    kept_low: float | None = None
    kept_high: float | None = None

    @classmethod
    def of(cls, scores: Scores, reference: Scores | None, test: PValue | None) -> KeptFigure:
        """Compute the figure of ``scores``, and of their share of the ``reference``."""
        plain = (mean(scores), *confidence_interval(scores), *_p_values(test))
        if reference is None or mean(reference) == 0:
            return cls(*plain)
        bounds = (bound if bound == bound else None for bound in ratio_interval(scores, reference))
        return cls(*plain, mean(scores) / mean(reference), *bounds)


F = TypeVar("F")


def compare_with_references(
    qrels: Qrels,
    runs: Mapping[str, Runs],
    references: Mapping[str, str],
    figure: Callable[[Scores, Scores | None, PValue | None], F],
) -> dict[str, dict[str, F]]:
    """Compute every system's figures by metric, each system compared with its own reference.

    Args:
        qrels: the judgments.
        runs: each system's rankings.
        references: the system that each one is compared with; those without one are left out.
        figure: makes a figure of a system's scores, its reference's, and the test of the two, which Holm's
            method corrects over the comparisons of one metric.

    Raises:
        DataError: there is no judged query.
    """
    if not qrels:
        raise DataError("no judged query: nothing can be measured")
    found: dict[str, dict[str, F]] = {name: {} for name in runs}
    for metric in SHOWN_METRICS:
        scores = {name: measure(qrels, run, metric) for name, run in runs.items()}
        tests = paired_tests(scores, references, paired_t_test, holm)
        for name, one in scores.items():
            found[name][metric] = figure(one, scores.get(references.get(name, "")), tests.get(name))
    return found


def paired_tests(
    scores: Mapping[str, Scores],
    references: Mapping[str, str],
    test: Callable[[Scores, Scores], float],
    correct: Callable[[Sequence[float]], list[float]],
) -> dict[str, PValue]:
    """Test each system of ``references`` against its reference; correct all p-values together."""
    found = {name: test(scores[name], scores[other]) for name, other in references.items()}
    corrected = correct(list(found.values()))
    return {name: PValue(p, one) for (name, p), one in zip(found.items(), corrected, strict=True)}


def p_text(p: float | None) -> str:
    """Write a p-value for a table; ``None`` is empty."""
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _p_values(test: PValue | None) -> tuple[float | None, float | None]:
    return (test.p, test.corrected) if test else (None, None)
