"""Fusion: pure functions that join ranked lists into one.

They repeat OpenSearch's ``normalization-processor`` (min_max, arithmetic_mean) and ``score-ranker-processor``
(rrf) step by step in float32, so that fusing on the client gives the scores of the cluster's pipeline.
A run is a ranked list, best first, without a document twice; an empty run is allowed everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ce2de_os.records import ScoredDoc

Run = Sequence[ScoredDoc]
Scores = NDArray[np.float32]

LOWEST = np.float32(0.001)
"""What OpenSearch gives the worst document of a run instead of 0, so that it differs from an absent one."""

RRF_K = 60
"""The rank constant of the RRF paper, and OpenSearch's default."""


def min_max(scores: Scores) -> Scores:
    """Map raw scores ``(N,)`` linearly to 0..1: ``(s - min) / (max - min)``.

    Where all scores are equal there is nothing to tell apart, and each becomes 1. The lowest becomes 0.001.
    """
    if not scores.size or scores.min() == scores.max():
        return np.ones_like(scores)
    normalized = (scores - scores.min()) / (scores.max() - scores.min())
    return np.where(normalized == 0, LOWEST, normalized)


def fuse_min_max(runs: Sequence[Run], weights: Sequence[float]) -> list[ScoredDoc]:
    """Weighted mean of the runs' min-max normalised scores; a document absent from a run gets 0 there.

    ``weights`` holds one non-negative number per run, not all 0. Equal scores are ordered by ``doc_id``.
    """
    weighted = []
    for run, weight in zip(runs, weights, strict=True):
        raw = np.array([document.score for document in run], dtype=np.float32)
        weighted.append(min_max(raw) * np.float32(weight))
    return _ranked(runs, weighted, np.sum(np.array(weights, dtype=np.float32)))


def fuse_rrf(runs: Sequence[Run], rrf_k: int = RRF_K) -> list[ScoredDoc]:
    """Reciprocal rank fusion: the sum over runs of ``1 / (rrf_k + rank)``, ranks counted from 1.

    Equal scores are ordered by ``doc_id``. Source: Cormack, Clarke, Büttcher, "Reciprocal Rank Fusion
    outperforms Condorcet and individual Rank Learning Methods", SIGIR 2009.
    """
    # OpenSearch divides with ten decimals before it goes to float32.
    reciprocal = [np.round(1 / (rrf_k + 1 + np.arange(len(run))), 10).astype(np.float32) for run in runs]
    return _ranked(runs, reciprocal, np.float32(1))


def _ranked(runs: Sequence[Run], points: Sequence[Scores], divisor: np.float32) -> list[ScoredDoc]:
    """Add each document's ``points`` over the runs, divide, and sort: best first, then by ``doc_id``."""
    totals: dict[str, np.float32] = {}
    for run, run_points in zip(runs, points, strict=True):
        for document, point in zip(run, run_points, strict=True):
            totals[document.doc_id] = totals.get(document.doc_id, np.float32(0)) + point
    # Through `str`, so that the number reads as in an answer of OpenSearch: 0.7, not 0.699999988079071.
    fused = [ScoredDoc(doc_id, float(str(total / divisor))) for doc_id, total in totals.items()]
    return sorted(fused, key=lambda document: (-document.score, document.doc_id))
