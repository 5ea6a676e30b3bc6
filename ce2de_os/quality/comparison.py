"""Settings and results of an evaluation of several ways to search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ce2de_os.evaluation.figures import SIGNIFICANT, Figure
from ce2de_os.quality.systems import FUSIONS, Weighting
from ce2de_os.search.question import CANDIDATES, RERANK_DEPTH, Fusion, QuestionOptions


@dataclass(frozen=True)
class ComparisonSettings:
    """Settings of a comparison.

    Attributes:
        fusions: the hybrids to compare.
        top_k: hits ranked for every query, at least 100: recall is counted there.
        candidates: documents that each leg takes from each shard.
        rerank_depth: hits that the reranker scores again, if there is one.
        rerank_weight: its share of their order; ``None``: its own default, see `Question`.
        tune: whether to choose a fusion and a weight on one half of the queries, and to report on the other.
        latency_queries: queries timed one by one in every system; 0: none.
        seed: seed of the halves, and of the choice of timed queries.
        fields: the text fields for BM25; ``None``: those that were embedded.
        vector_field: the vector field; ``None``: the newest that fits the encoder.
    """

    fusions: tuple[Fusion, ...] = FUSIONS
    top_k: int = 100
    candidates: int = CANDIDATES
    rerank_depth: int = RERANK_DEPTH
    tune: bool = False
    latency_queries: int = 100
    seed: int = 0
    fields: tuple[str, ...] | None = None
    vector_field: str | None = None
    rerank_weight: float | None = None


@dataclass(frozen=True)
class Latency:
    """Percentiles of single searches, in milliseconds, as the caller sees them."""

    p50: float
    p90: float
    p99: float
    searches: int

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> Latency:
        """Compute the percentiles of ``times_ms``, at least one value; percentiles are interpolated."""
        p50, p90, p99 = (float(value) for value in np.percentile(times_ms, [50, 90, 99]))
        return cls(p50, p90, p99, len(times_ms))


@dataclass(frozen=True)
class SystemResult:
    """The results of one system.

    Attributes:
        name: its name in tables.
        reference: the system that it is compared with.
        options: the options of the search.
        strategy: where its legs were fused; ``None``: there was one leg.
        figures: by metric.
        partial: queries that some shard did not answer, or not in time.
        latency_ms: ``None`` if it was not measured.
    """

    name: str
    reference: str | None
    options: QuestionOptions
    strategy: str | None
    figures: dict[str, Figure]
    partial: int
    latency_ms: Latency | None


@dataclass(frozen=True)
class Tuning:
    """The choice of the weighting.

    Attributes:
        chosen: the best on the dev half.
        dev_queries: number of queries in that half.
        scores: each weighting's nDCG@10 on them, best first.
    """

    chosen: Weighting
    dev_queries: int
    scores: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """The whole result.

    Attributes:
        index: the index that was searched.
        queries: queries that the figures are over: with tuning, the test half.
        missing: relevant documents that the index does not have; they count as not found.
        relevant: relevant documents of all judged queries.
        tuning: ``None`` if there was none.
        systems: in the order of the table.
        settings: how it was compared.
        without_text: judged queries that the file of queries lacks; they are left out.
    """

    index: str
    queries: int
    missing: int
    relevant: int
    tuning: Tuning | None
    systems: list[SystemResult]
    settings: ComparisonSettings
    without_text: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)


def warnings(found: Comparison) -> Iterator[str]:
    """Yield warnings about the figures."""
    if found.missing:
        yield (
            f"{found.missing:,} of {found.relevant:,} relevant documents are not in {found.index}; "
            "they count as not found"
        )
    if found.without_text:
        yield f"{found.without_text:,} judged queries have no text in the file of queries; they are left out"
    for one in found.systems:
        if one.partial:
            yield f"{one.name}: {one.partial:,} answers are incomplete (a shard failed or timed out)"


def mark(figure: Figure, reference: Figure) -> str:
    """Return the sign of a significant difference from the reference, after a space, else ``""``."""
    if figure.p_holm is None or figure.p_holm >= SIGNIFICANT:
        return ""
    return " ▲" if figure.mean > reference.mean else " ▼"
