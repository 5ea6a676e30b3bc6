"""The ways to search that an evaluation compares, and the reference of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from ce2de_os.search.question import DENSE_WEIGHT, Fusion, QuestionOptions

FUSIONS: tuple[Fusion, ...] = get_args(Fusion)
BM25, DENSE, TUNED = "BM25", "dense", "hybrid, tuned"
CE, MAX_SIM = "CE", "MaxSim"  # suffixes of a system's name: its reranker

GRID = tuple(round(0.1 * step, 1) for step in range(1, 10))
"""The dense weights that tuning tries: 0.1 to 0.9; 0 and 1 are the two legs themselves."""


@dataclass(frozen=True)
class System:
    """A way to search.

    Attributes:
        name: its name in tables.
        options: options for `HybridSearcher.search`.
        reference: the system that it is compared with; ``None``: it is the baseline.
    """

    name: str
    options: QuestionOptions
    reference: str | None


@dataclass(frozen=True)
class Weighting:
    """A fusion and the dense leg's share; ``None``: the fusion's own default."""

    fusion: Fusion
    dense_weight: float | None = None

    def __str__(self) -> str:
        if self.dense_weight is None and self.fusion == "rrf":
            return "rrf, unweighted"
        return f"{self.fusion} {DENSE_WEIGHT if self.dense_weight is None else self.dense_weight:g}"

    @property
    def options(self) -> QuestionOptions:
        """Options for `HybridSearcher.search`."""
        return {"mode": "hybrid", "fusion": self.fusion, "dense_weight": self.dense_weight}


def systems(
    fusions: Sequence[Fusion], tuned: Weighting | None, reranker: str | None, reranking: QuestionOptions
) -> list[System]:
    """Return all systems that are compared, in the order of the table.

    Args:
        fusions: the hybrids, with their default weights.
        tuned: one more hybrid.
        reranker: name of the reranker of one more system each; ``None``: none.
        reranking: its options, ``rerank_depth`` and ``rerank_weight``.
    """
    first = [
        System(BM25, {"mode": "bm25"}, None),
        System(DENSE, {"mode": "dense"}, BM25),
        *(System(f"hybrid {fusion}", Weighting(fusion).options, BM25) for fusion in fusions),
    ]
    if tuned is not None:
        first.append(System(TUNED, tuned.options, BM25))
    return [*_plain(first), *(_reranked(first, reranker, reranking) if reranker else ())]


def grid(fusions: Sequence[Fusion]) -> list[Weighting]:
    """Return the weightings to try: every fusion with its default weight and with those of `GRID`.

    The first of equally good ones is taken: the default, then the one nearest to equal weights.
    """
    weights = sorted(GRID, key=lambda weight: (abs(weight - DENSE_WEIGHT), weight))
    return [
        Weighting(fusion, weight)
        for weight in (None, *weights)
        for fusion in fusions
        # Only RRF without weights differs from RRF with equal ones.
        if not (weight == DENSE_WEIGHT and fusion != "rrf")
    ]


def _plain(first: Sequence[System]) -> Iterator[System]:
    for system in first:
        yield System(system.name, {**system.options, "rerank_depth": 0}, system.reference)


def _reranked(first: Sequence[System], reranker: str, reranking: QuestionOptions) -> Iterator[System]:
    for system in first:
        yield System(f"{system.name} + {reranker}", {**system.options, **reranking}, system.name)
