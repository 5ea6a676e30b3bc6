"""Intervals and tests by hand arithmetic and against second implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.evaluation import confidence_interval, paired_t_test
from ce2de_os.evaluation.significance import better_than, bonferroni, tost


def test_the_interval_is_near_the_normal_one_and_repeats_itself():
    values = np.random.default_rng(1).uniform(size=400)
    scores = {str(row): float(value) for row, value in enumerate(values)}
    low, high = confidence_interval(scores)
    error = values.std(ddof=1) / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)
    assert (low, high) == confidence_interval(scores)
    assert (low, high) != confidence_interval(scores, seed=1)
    narrow_low, narrow_high = confidence_interval(scores, confidence=0.5)
    assert low < narrow_low < values.mean() < narrow_high < high


@pytest.mark.parametrize("scores", [{"q": 0.3}, {"a": 0.3, "b": 0.3, "c": 0.3}])
def test_without_spread_the_interval_is_the_mean(scores):
    assert confidence_interval(scores) == pytest.approx((0.3, 0.3))


def test_the_paired_t_test_agrees_with_a_second_implementation():
    rng = np.random.default_rng(2)
    left = rng.uniform(size=30)
    right = left + rng.normal(0.02, 0.1, size=30)
    names = [f"q{row}" for row in range(30)]
    # The order of the queries must not matter.
    got = paired_t_test(dict(zip(names, left, strict=True)), dict(zip(names[::-1], right[::-1], strict=True)))
    differences = left - right
    statistic = differences.mean() / (differences.std(ddof=1) / math.sqrt(30))
    assert got == pytest.approx(2 * tail_of_t(abs(statistic), 29), rel=1e-4)


def tail_of_t(statistic, freedom):
    """P(T > statistic) by integrating Student's density with the trapezoid rule."""
    points = np.linspace(statistic, 300, 3_000_001)
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    constant /= math.sqrt(freedom * math.pi)
    density = constant * (1 + points**2 / freedom) ** (-(freedom + 1) / 2)
    return float(np.trapezoid(density, points))


def test_the_paired_t_test_by_hand():
    # Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t = 2 sqrt(3) with 2 degrees of freedom,
    # for which P(|T| > t) = 1 - t / sqrt(2 + t^2).
    left, right = {"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 0.0, "b": 0.0, "c": 0.0}
    t = 2 * math.sqrt(3)
    assert paired_t_test(left, right) == pytest.approx(1 - t / math.sqrt(2 + t**2))


def test_the_paired_t_test_without_variance():
    left = {"a": 0.1, "b": 0.7, "c": 0.3}
    assert paired_t_test(left, dict(left)) == 1.0
    # The differences 0.6 - 0.7 and 0.2 - 0.3 are not equal in binary.
    assert paired_t_test(left, {query: value - 0.1 for query, value in left.items()}) == 0.0
    assert paired_t_test({"a": 0.1}, {"a": 0.9}) == 1.0


def sample(seed=3, size=25, shift=0.02):
    rng = np.random.default_rng(seed)
    left = rng.uniform(size=size)
    right = left - rng.normal(shift, 0.05, size=size)
    return ({f"q{row}": float(value) for row, value in enumerate(one)} for one in (left, right))


def test_the_one_sided_test_by_hand():
    # As above, t = 2 sqrt(3) with 2 degrees of freedom; one tail is half of both.
    left, right = {"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 0.0, "b": 0.0, "c": 0.0}
    t = 2 * math.sqrt(3)
    tail = (1 - t / math.sqrt(2 + t**2)) / 2
    assert better_than(left, right) == pytest.approx(tail)
    assert better_than(right, left) == pytest.approx(1 - tail)


def test_the_one_sided_test_agrees_with_a_second_implementation():
    left, right = sample()
    expected = stats.ttest_rel(list(left.values()), list(right.values()), alternative="greater").pvalue
    assert better_than(left, right) == pytest.approx(float(expected))
    assert 0.001 < better_than(left, right) < 0.2


def test_equivalence_by_hand():
    # Differences -1, 0, 1 have mean 0 and standard error 1 / sqrt(3): with a margin of 2 both tests have
    # t = 2 sqrt(3); with a margin of 1 and all differences higher by 1/2, they have t = sqrt(3) (1 ± 1/2).
    left, right = {"a": 1.0, "b": 2.0, "c": 3.0}, dict.fromkeys("abc", 2.0)
    t = 2 * math.sqrt(3)
    assert tost(left, right, margin=2) == pytest.approx((1 - t / math.sqrt(2 + t**2)) / 2)
    higher = {query: value + 0.5 for query, value in left.items()}
    t = math.sqrt(3) / 2
    for pair in ((higher, right), (right, higher)):
        assert tost(*pair, margin=1) == pytest.approx((1 - t / math.sqrt(2 + t**2)) / 2)


@pytest.mark.parametrize("margin", [0.01, 0.05, 0.2])
def test_equivalence_agrees_with_a_second_implementation(margin):
    left, right = sample()
    a, b = np.array(list(left.values())), np.array(list(right.values()))
    above = stats.ttest_rel(a, b - margin, alternative="greater").pvalue
    below = stats.ttest_rel(a, b + margin, alternative="less").pvalue
    assert tost(left, right, margin) == pytest.approx(float(max(above, below)))


def test_equivalence_is_that_an_interval_lies_within_the_margin():
    # TOST at 5% rejects exactly where the 90% interval of the mean difference lies within the margin.
    for seed in range(40):
        left, right = sample(seed, shift=0.03)
        differences = np.array(list(left.values())) - np.array(list(right.values()))
        reach = stats.t.ppf(0.95, len(differences) - 1) * stats.sem(differences)
        within = abs(differences.mean()) + reach < 0.05
        assert (tost(left, right, 0.05) < 0.05) == within


def test_one_sided_tests_without_variance():
    left = {"a": 0.1, "b": 0.7, "c": 0.3}
    lower = {query: value - 0.1 for query, value in left.items()}
    assert (better_than(left, lower), better_than(lower, left), better_than(left, left)) == (0, 1, 1)
    assert (tost(left, left), tost(left, lower), tost(lower, left)) == (0, 1, 1)
    assert (tost(left, lower, 0.2), tost(left, lower, 0.1)) == (0, 1)  # as large as the margin is too large


def test_one_query_proves_nothing():
    assert better_than({"a": 0.9}, {"a": 0.1}) == 1.0
    assert tost({"a": 0.5}, {"a": 0.5}) == 1.0


@pytest.mark.parametrize("margin", [0, -0.05, math.nan])
def test_the_margin_must_be_positive(margin):
    with pytest.raises(ConfigError, match="margin: got"):
        tost({"a": 0.5}, {"a": 0.5}, margin)


def test_bonferroni_by_hand():
    assert bonferroni([0.01, 0.4, 0.2]) == pytest.approx([3 * 0.01, 1.0, 3 * 0.2])
    assert bonferroni([0.04]) == [0.04]
    assert bonferroni([]) == []


@pytest.mark.parametrize("test", [paired_t_test, better_than, tost])
def test_other_queries_cannot_be_paired(test):
    with pytest.raises(DataError, match="the same queries"):
        test({"a": 0.1}, {"b": 0.1})
