"""Fusion on plain data: expected values are written as arithmetic."""

import random

import numpy as np
import pytest

from ce2de_os.fusion import LowerBound, fuse_min_max, fuse_rrf, l2, min_max, z_score
from ce2de_os.records import ScoredDoc


def run(**scores):
    return [ScoredDoc(doc_id, score) for doc_id, score in scores.items()]


def order(fused):
    return [document.doc_id for document in fused]


def score_of(fused, doc_id):
    return next(document.score for document in fused if document.doc_id == doc_id)


def test_min_max_is_linear_and_the_lowest_is_not_zero():
    scores = min_max(np.array([10.0, 6.0, 2.0], dtype=np.float32))

    assert scores.dtype == np.float32
    assert scores.tolist() == pytest.approx([1.0, (6 - 2) / (10 - 2), 0.001])


@pytest.mark.parametrize("raw", [[], [3.0], [0.0], [2.5, 2.5, 2.5]])
def test_min_max_of_nothing_to_tell_apart_is_one(raw):
    assert min_max(np.array(raw, dtype=np.float32)).tolist() == [1.0] * len(raw)


def test_weights_share_out_the_two_runs():
    fused = fuse_min_max([run(a=9, b=5, c=1), run(b=0.8, d=0.6, a=0.4)], [0.3, 0.7])

    assert order(fused) == ["b", "d", "a", "c"]
    assert score_of(fused, "b") == pytest.approx(0.3 * (5 - 1) / (9 - 1) + 0.7 * 1)
    assert score_of(fused, "d") == pytest.approx(0.7 * (0.6 - 0.4) / (0.8 - 0.4))
    assert score_of(fused, "a") == pytest.approx(0.3 * 1 + 0.7 * 0.001)
    assert score_of(fused, "c") == pytest.approx(0.3 * 0.001)


def test_weights_need_not_sum_to_one():
    runs = [run(a=9, b=5, c=1), run(b=0.8, a=0.4)]

    assert [d.score for d in fuse_min_max(runs, [3, 7])] == pytest.approx(
        [d.score for d in fuse_min_max(runs, [0.3, 0.7])]
    )


def test_a_weight_of_zero_leaves_the_other_run_in_charge():
    assert order(fuse_min_max([run(a=9, b=5, c=1), run(c=3, b=2, a=1)], [1, 0]))[:2] == ["a", "b"]


def test_rrf_sums_reciprocal_ranks():
    fused = fuse_rrf([run(a=9, b=5), run(b=0.8, c=0.6)], rrf_k=60)

    assert order(fused) == ["b", "a", "c"]
    assert score_of(fused, "a") == pytest.approx(1 / (60 + 1))
    assert score_of(fused, "b") == pytest.approx(1 / (60 + 2) + 1 / (60 + 1))
    assert score_of(fused, "c") == pytest.approx(1 / (60 + 2))


def test_rrf_looks_at_ranks_only():
    assert fuse_rrf([run(a=9, b=5)]) == fuse_rrf([run(a=0.2, b=0.1)])


@pytest.mark.parametrize("fuse", [lambda runs: fuse_min_max(runs, [0.5] * len(runs)), fuse_rrf])
class TestBoth:
    def test_no_run_has_documents(self, fuse):
        assert fuse([[], []]) == []

    def test_an_empty_run_leaves_the_other_ones_order(self, fuse):
        assert order(fuse([[], run(c=3, a=2, b=1)])) == ["c", "a", "b"]

    def test_ties_are_ordered_by_doc_id_whatever_came_first(self, fuse):
        assert order(fuse([run(z=1), run(a=1)])) == ["a", "z"]
        assert order(fuse([run(a=1), run(z=1)])) == ["a", "z"]

    def test_every_document_comes_out_once(self, fuse):
        runs = random_runs(seed=1)
        fused = fuse(runs)
        assert sorted(order(fused)) == sorted({d.doc_id for one in runs for d in one})
        assert [d.score for d in fused] == sorted((d.score for d in fused), reverse=True)


def random_runs(seed):
    rng = random.Random(seed)
    pool = [f"doc-{number}" for number in range(150)]
    runs = []
    for _ in range(2):
        scores = sorted((rng.uniform(0, 20) for _ in range(100)), reverse=True)
        runs.append([ScoredDoc(i, s) for i, s in zip(rng.sample(pool, 100), scores, strict=True)])
    return runs


def test_min_max_agrees_with_a_second_implementation_in_double_precision():
    runs = random_runs(seed=7)
    weights = [0.3, 0.7]
    expected = {}
    for one, weight in zip(runs, weights, strict=True):
        low, high = min(d.score for d in one), max(d.score for d in one)
        for document in one:
            share = (document.score - low) / (high - low) or 0.001
            expected[document.doc_id] = expected.get(document.doc_id, 0) + weight * share

    for document in fuse_min_max(runs, weights):
        assert document.score == pytest.approx(expected[document.doc_id], abs=1e-6)


class TestLowerBounds:
    def test_scores_above_the_bound_are_measured_from_it(self):
        # (6 - 2) / (10 - 2); the one below it from the lowest, (1 - 1) / 9, which is 0.001
        bounded = min_max(floats(10, 6, 1), LowerBound(2.0))
        assert bounded.tolist() == pytest.approx([1, 4 / 8, 0.001])

    def test_scores_below_the_bound_are_clipped_to_it(self):
        clipped = min_max(floats(10, 6, 2, 1), LowerBound(2.0, "clip"))
        assert clipped.tolist() == pytest.approx([1, 4 / 8, 0.001, 0.001])

    @pytest.mark.parametrize("mode", ["apply", "clip"])
    def test_a_bound_above_every_score_is_left_alone(self, mode):
        assert min_max(floats(3, 2, 1), LowerBound(9.0, mode)).tolist() == pytest.approx([1, 0.5, 0.001])

    def test_a_bound_at_the_highest_score(self):
        assert min_max(floats(3, 2, 1), LowerBound(3.0, "clip")).tolist() == pytest.approx([1, 0.001, 0.001])


class TestL2:
    def test_scores_are_divided_by_their_length(self):
        assert l2(floats(4, 3)).tolist() == pytest.approx([4 / 5, 3 / 5])

    def test_nothing_and_zeros(self):
        assert l2(floats()).tolist() == []
        assert l2(floats(0, 0)).tolist() == [0, 0]


class TestZScore:
    def test_scores_are_measured_in_deviations_from_the_mean(self):
        # mean 2, deviation sqrt((4 + 1 + 1) / 2) = sqrt(3)
        assert z_score(floats(4, 1, 1)).tolist() == pytest.approx([2 / 3**0.5, 0.001, 0.001])

    def test_a_score_that_is_the_mean_becomes_the_highest_score(self):
        assert z_score(floats(3, 2, 1)).tolist() == pytest.approx([1, 3, 0.001])

    @pytest.mark.parametrize("scores", [[], [5], [5, 5]])
    def test_nothing_to_tell_apart(self, scores):
        assert z_score(floats(*scores)).tolist() == scores


def floats(*scores):
    return np.array(scores, dtype=np.float32)
