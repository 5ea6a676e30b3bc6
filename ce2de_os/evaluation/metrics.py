"""trec_eval's metrics, query by query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytrec_eval

from ce2de_os.errors import DataError
from ce2de_os.records import ScoredDoc

Runs = Mapping[str, Sequence[ScoredDoc]]
"""Query id to ranked documents, best first."""

Qrels = Mapping[str, Mapping[str, int]]
"""Query id to document id to relevance; above 0 is relevant."""

Scores = dict[str, float]
"""Query id to the metric's value."""

# name here: trec_eval's measure in the request, and its name in the answer
_TREC = {
    "nDCG@10": ("ndcg_cut.10", "ndcg_cut_10"),
    "nDCG@20": ("ndcg_cut.20", "ndcg_cut_20"),
    "Hits@10": ("success.10", "success_10"),
    "MAP": ("map", "map"),
    "MAP@100": ("map_cut.100", "map_cut_100"),
    "Recall@100": ("recall.100", "recall_100"),
    "Recall@1000": ("recall.1000", "recall_1000"),
}
METRICS = ("MRR@10", *_TREC)


def measure(qrels: Qrels, runs: Runs, metric: str = "nDCG@10") -> Scores:
    """Compute one metric for every judged query; a query without results counts 0.

    trec_eval's definitions: nDCG takes the judgment itself as gain; Hits@10 is 1 if a relevant document is
    among the first ten; MRR@10 is 1 / rank of the first relevant one among the first ten.

    Raises:
        DataError: the metric is not in `METRICS`.
    """
    if metric not in METRICS:
        raise DataError(f"metric '{metric}': expected one of {', '.join(METRICS)}")
    if metric == "MRR@10":
        return {
            query_id: _reciprocal_rank(judged, runs.get(query_id, ())) for query_id, judged in qrels.items()
        }
    asked, answered = _TREC[metric]
    evaluator = pytrec_eval.RelevanceEvaluator({q: dict(judged) for q, judged in qrels.items()}, {asked})
    # trec_eval sorts by score and breaks ties by id; strictly falling scores keep the order of the run.
    given = {
        query_id: {document.doc_id: float(-rank) for rank, document in enumerate(run)}
        for query_id, run in runs.items() if query_id in qrels and run
    }  # fmt: skip
    found = evaluator.evaluate(given)
    return {query_id: float(found.get(query_id, {}).get(answered, 0.0)) for query_id in qrels}


def _reciprocal_rank(judged: Mapping[str, int], run: Sequence[ScoredDoc]) -> float:
    ranks: Any = (rank for rank, doc in enumerate(run[:10], start=1) if judged.get(doc.doc_id, 0) > 0)
    return next((1.0 / rank for rank in ranks), 0.0)
