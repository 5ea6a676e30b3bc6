"""Compare ways to search an index on queries whose relevant documents are known."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ce2de_os.config import Settings
from ce2de_os.errors import ConfigError, extra_needed

if TYPE_CHECKING:
    from ce2de_os.evaluation import Judged
    from ce2de_os.model.encoder import OnnxEncoder
    from ce2de_os.progress import Phase
    from ce2de_os.quality.comparison import Comparison, ComparisonSettings
    from ce2de_os.quality.evaluate import Keep
    from ce2de_os.search.rerank import Reranker

__all__ = ["EvaluateRequest", "evaluate"]


@dataclass(frozen=True)
class EvaluateRequest:
    """An index, and judged queries for it.

    Attributes:
        index: an index or an alias that holds vectors of the model.
        queries: JSON lines with ``_id`` and ``text``; or a folder with queries.jsonl and qrels.tsv.
        qrels: judgments: query-id, corpus-id, score, by tabs; ``None``: they are in the folder ``queries``.
        reranker: folder of an exported cross-encoder, which adds each system re-ranked; ``None``: none.
        late_interaction: re-rank by MaxSim of the model's token vectors instead.
        comparison: how to compare; ``None``: the defaults.
    """

    index: str
    queries: Path
    qrels: Path | None = None
    reranker: Path | None = None
    late_interaction: bool = False
    comparison: ComparisonSettings | None = None

    def __post_init__(self) -> None:
        """Raise `ConfigError` for two rerankers."""
        if self.reranker is not None and self.late_interaction:
            raise ConfigError("got reranker and late_interaction, expected one of them; remove one")

    def judged(self) -> Judged:
        """Read the queries and their judgments.

        Raises:
            DataError: a file cannot be used.
        """
        from ce2de_os.evaluation import judged_files, load_judged

        if self.qrels is None:
            return load_judged(*judged_files(self.queries))
        return load_judged(self.queries, self.qrels)


def evaluate(
    request: EvaluateRequest,
    *,
    settings: Settings | None = None,
    phase: Phase = lambda name, done, total: None,
    keep: Keep = lambda name, runs: None,
) -> Comparison:
    """Search every judged query by BM25, by vectors and by each hybrid of the two, and compare.

    Args:
        request: the index and the queries.
        settings: connection and model; ``None``: from the environment.
        phase: receives the progress.
        keep: receives each system's name and rankings, as soon as they are complete.

    Raises:
        DataError: a file cannot be used, or no relevant document is in the index.
        ArtifactMismatchError: the index's vectors are another model's.
        BackendError: OpenSearch does not answer, or rejects a request.
        MissingExtraError: a library for the metrics is not installed.
    """
    with extra_needed("evaluate"):
        from ce2de_os.quality.evaluate import evaluate as compare
    from ce2de_os.index.client import connect
    from ce2de_os.model.encoder import OnnxEncoder

    settings = settings or Settings.from_env()
    judged = request.judged()
    encoder = OnnxEncoder(settings.artifact, threads=settings.threads)
    reranker = _reranker(request, encoder, settings.threads)
    with closing(connect(settings.opensearch)) as client:
        return compare(
            client, request.index, encoder, judged, reranker=reranker, settings=request.comparison,
            phase=phase, keep=keep,
        )  # fmt: skip


def _reranker(request: EvaluateRequest, encoder: OnnxEncoder, threads: int) -> Reranker | None:
    from ce2de_os.model.reranker import OnnxReranker
    from ce2de_os.search.late_interaction import LateInteraction

    if request.late_interaction:
        return LateInteraction(encoder)
    return OnnxReranker(request.reranker, threads=threads) if request.reranker else None
