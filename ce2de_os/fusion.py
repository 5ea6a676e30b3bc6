"""Fusion: pure functions that fuse ranked lists into one.

They repeat OpenSearch's ``normalization-processor`` (min_max, l2, z_score with arithmetic_mean) and
``score-ranker-processor`` (rrf) step by step in float32, so that fusing on the client gives the scores of the
cluster's pipeline. A run is a ranked list, best first, without a document twice; an empty run is allowed
everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ce2de_os.records import ScoredDoc

Run = Sequence[ScoredDoc]
Scores = NDArray[np.float32]

LOWEST = np.float32(0.001)
"""Score of the worst document of a run in OpenSearch, instead of 0, so that it differs from an absent one."""

RRF_K = 60
"""The rank constant of the RRF paper, and OpenSearch's default."""


@dataclass(frozen=True)
class LowerBound:
    """The lower bound that `min_max` uses for a leg, instead of its lowest score.

    Attributes:
        min_score: the bound, on the leg's own scale.
        mode: ``"apply"``: scores above the bound are measured from it, those below from the lowest score.
            ``"clip"``: the same, and those below it become 0.001.
    """

    min_score: float = 0.0
    mode: Literal["apply", "clip"] = "apply"


def min_max(scores: Scores, bound: LowerBound | None = None) -> Scores:
    """Map raw scores ``(N,)`` linearly to 0..1: ``(s - min) / (max - min)``.

    If all scores are equal, each becomes 1. The lowest becomes 0.001.
    ``bound``: measure from there instead, unless every score is below it.
    """
    if not scores.size or scores.min() == scores.max():
        return np.ones_like(scores)
    lowest = _lowest(scores, bound)
    span = scores.max() - lowest
    normalized = np.divide(scores - lowest, span, out=np.ones_like(scores), where=span != 0)
    if bound and bound.mode == "clip":
        normalized = np.where(scores < lowest, LOWEST, normalized)
    return np.where(normalized == 0, LOWEST, normalized).astype(np.float32)


def _lowest(scores: Scores, bound: LowerBound | None) -> Scores:
    """Return, for each of ``scores``, the score that counts as the lowest."""
    lowest = np.full_like(scores, scores.min())
    if bound is None:
        return lowest
    limit = np.float32(bound.min_score)
    if bound.mode == "clip":
        return lowest if scores.max() < limit else np.full_like(scores, limit)
    return np.where((scores > limit) & (scores.max() > limit), limit, lowest).astype(np.float32)


def l2(scores: Scores) -> Scores:
    """Divide raw scores ``(N,)`` by the length of their vector; all 0 stay 0."""
    # One after the other in float32, as OpenSearch adds them up.
    total = np.float32(0)
    for score in scores:
        total += score * score
    divided: Scores = scores / np.sqrt(total) if total else np.zeros_like(scores)
    return divided


def z_score(scores: Scores) -> Scores:
    """Compute ``(s - mean) / standard deviation`` of raw scores ``(N,)``; 0.001 where that is not above 0.

    A score that is the mean itself becomes the highest raw score, as in OpenSearch.
    """
    if not scores.size:
        return scores
    mean = np.float32(np.mean(scores, dtype=np.float64))
    deviation = np.float32(np.std(scores, dtype=np.float64, ddof=1)) if scores.size > 1 else np.float32(0)
    if not deviation:
        alike: Scores = np.where(scores == mean, scores.max(), scores.min())
        return alike
    raw: Scores = (scores - mean) / deviation
    normalized: Scores = np.where(scores == mean, scores.max(), np.where(raw <= 0, LOWEST, raw))
    return normalized


def fuse_min_max(
    runs: Sequence[Run], weights: Sequence[float], bounds: Sequence[LowerBound | None] | None = None
) -> list[ScoredDoc]:
    """Compute the weighted mean of min-max normalized scores; a document absent from a run gets 0.

    ``weights`` holds one non-negative number per run, not all 0; ``bounds`` one lower bound per run, if any.
    Equal scores are ordered by ``doc_id``.
    """
    each = bounds or [None] * len(runs)
    normalized = [min_max(_raw(run), bound) for run, bound in zip(runs, each, strict=True)]
    return _weighted_mean(runs, normalized, weights)


def fuse_l2(runs: Sequence[Run], weights: Sequence[float]) -> list[ScoredDoc]:
    """Compute the weighted mean of the runs' l2-normalized scores; otherwise like `fuse_min_max`."""
    return _weighted_mean(runs, [l2(_raw(run)) for run in runs], weights)


def fuse_z_score(runs: Sequence[Run], weights: Sequence[float]) -> list[ScoredDoc]:
    """Compute the weighted mean of the runs' z scores; otherwise like `fuse_min_max`."""
    return _weighted_mean(runs, [z_score(_raw(run)) for run in runs], weights)


def fuse_rrf(
    runs: Sequence[Run], rrf_k: int = RRF_K, weights: Sequence[float] | None = None
) -> list[ScoredDoc]:
    """Compute reciprocal rank fusion: the sum over runs of ``1 / (rrf_k + rank)``, ranks from 1.

    ``weights``: a factor for each run, ``None``: 1. Equal scores are ordered by ``doc_id``. Source: Cormack,
    Clarke, Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods",
    SIGIR 2009.
    """
    # OpenSearch divides with ten decimals before it goes to float32.
    reciprocal = [np.round(1 / (rrf_k + 1 + np.arange(len(run))), 10).astype(np.float32) for run in runs]
    factors = [1.0] * len(runs) if weights is None else weights
    weighted = [points * np.float32(factor) for points, factor in zip(reciprocal, factors, strict=True)]
    return _ranked(runs, weighted, np.float32(1))


def _raw(run: Run) -> Scores:
    return np.array([document.score for document in run], dtype=np.float32)


def _weighted_mean(
    runs: Sequence[Run], normalized: Sequence[Scores], weights: Sequence[float]
) -> list[ScoredDoc]:
    weighted = [scores * np.float32(weight) for scores, weight in zip(normalized, weights, strict=True)]
    return _ranked(runs, weighted, np.sum(np.array(weights, dtype=np.float32)))


def _ranked(runs: Sequence[Run], points: Sequence[Scores], divisor: np.float32) -> list[ScoredDoc]:
    """Add each document's ``points`` over the runs, divide, and sort: best first, then by ``doc_id``."""
    totals: dict[str, np.float32] = {}
    for run, run_points in zip(runs, points, strict=True):
        for document, point in zip(run, run_points, strict=True):
            totals[document.doc_id] = totals.get(document.doc_id, np.float32(0)) + point
    # Through `str`, so that the number reads as in an answer of OpenSearch: 0.7, not 0.699999988079071.
    fused = [ScoredDoc(doc_id, float(str(total / divisor))) for doc_id, total in totals.items()]
    return sorted(fused, key=lambda document: (-document.score, document.doc_id))
