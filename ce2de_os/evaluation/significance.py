"""Compute means over queries with intervals, and the significance of a difference of two systems.

All tests are paired: both systems answer the same queries.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.evaluation.metrics import Scores

_RESAMPLES = 2000
_EQUAL = 1e-12  # differences below this are rounding errors


def mean(scores: Scores) -> float:
    """Compute the mean over queries."""
    return float(np.mean(list(scores.values())))


def confidence_interval(scores: Scores, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Compute the percentile bootstrap interval of the mean over queries (2,000 resamples)."""
    values = np.array(list(scores.values()))
    if len(values) < 2 or np.ptp(values) == 0:
        return float(values.mean()), float(values.mean())
    rng = np.random.default_rng(seed)
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=_RESAMPLES, confidence_level=confidence, method="percentile", rng=rng
    ).confidence_interval
    return float(found.low), float(found.high)


def paired_t_test(left: Scores, right: Scores) -> float:
    """Compute the two-sided p-value of Student's paired t-test over the common queries.

    1.0 where nothing differs or there is one query only; 0.0 where all queries differ by the same amount.

    Raises:
        DataError: the two have other queries.
    """
    differences = _differences(left, right)
    return min(1.0, 2 * min(_p_above_zero(differences), _p_above_zero(-differences)))


def better_than(left: Scores, right: Scores) -> float:
    """Compute the p-value of a one-sided paired t-test that ``left`` is better.

    1.0 where nothing differs or there is one query only; where all queries differ by the same amount, 0.0 if
    ``left`` is better, else 1.0.

    Raises:
        DataError: the two have other queries.
    """
    return _p_above_zero(_differences(left, right))


def tost(left: Scores, right: Scores, margin: float = 0.05) -> float:
    """Compute the p-value of two one-sided paired t-tests (TOST) for a difference below ``margin``.

    One tests that ``left`` is above ``right - margin``, one that it is below ``right + margin``; the larger
    p-value counts. 1.0 with one query only; where all queries differ by the same amount, 0.0 if that is less
    than ``margin``, else 1.0. Source: Schuirmann, "A comparison of the two one-sided tests procedure and the
    power approach for assessing the equivalence of average bioavailability", Journal of Pharmacokinetics and
    Biopharmaceutics 15, 1987.

    Args:
        left: a system's scores.
        right: another's, of the same queries.
        margin: the largest difference that counts as equivalent, in the metric's own unit.

    Raises:
        DataError: the two have other queries.
        ConfigError: ``margin`` is not above 0.
    """
    if not margin > 0:
        raise ConfigError(f"margin: got {margin}, expected a difference above 0")
    differences = _differences(left, right)
    return max(_p_above_zero(differences + margin), _p_above_zero(margin - differences))


def ratio_interval(
    left: Scores, right: Scores, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Compute the percentile bootstrap interval of ``mean(left) / mean(right)``, both resampled alike.

    NaN where ``right`` has a mean of 0 in more resamples than the interval leaves out.

    Raises:
        DataError: the two have other queries.
    """
    a, b = _paired(left, right)
    rows = np.random.default_rng(seed).integers(0, len(a), (_RESAMPLES, len(a)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = a[rows].mean(axis=1) / b[rows].mean(axis=1)
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(ratios, [tail, 100 - tail])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Apply Holm's step-down correction to several tests' p-values, in the given order.

    The smallest of ``m`` is multiplied by ``m``, the next by ``m - 1``, and so on; none falls below one
    before it, none exceeds 1. Source: Holm, "A simple sequentially rejective multiple test procedure",
    Scandinavian Journal of Statistics 6, 1979.
    """
    corrected = [1.0] * len(p_values)
    floor = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[position]))
        corrected[position] = floor
    return corrected


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """Apply Bonferroni's correction to several tests' p-values: each times their number, at most 1."""
    return [min(1.0, len(p_values) * p_value) for p_value in p_values]


def _paired(left: Scores, right: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if left.keys() != right.keys():
        raise DataError("a paired test needs both systems' scores of the same queries")
    order = sorted(left)
    return np.array([left[q] for q in order]), np.array([right[q] for q in order])


def _differences(left: Scores, right: Scores) -> NDArray[np.float64]:
    a, b = _paired(left, right)
    return np.asarray(a - b, dtype=np.float64)


def _p_above_zero(differences: NDArray[np.float64]) -> float:
    """Compute the one-sided p-value of Student's t-test that the mean is above 0."""
    if len(differences) < 2 or np.allclose(differences, 0, rtol=0, atol=_EQUAL):
        return 1.0
    # Without variance the statistic is infinite, or made of rounding errors.
    if np.allclose(differences, differences[0], rtol=0, atol=_EQUAL):
        return 0.0 if differences[0] > 0 else 1.0
    return float(stats.ttest_1samp(differences, 0.0, alternative="greater").pvalue)
