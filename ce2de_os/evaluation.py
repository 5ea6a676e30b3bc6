"""Retrieval quality: exact search, trec_eval's metrics, confidence intervals and paired tests.

Runs are rankings by query id; judgements are read from the BEIR layout (see `ce2de_os.records`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytrec_eval
from numpy.typing import NDArray
from scipy import stats

from ce2de_os.arrays import Embeddings
from ce2de_os.errors import DataError
from ce2de_os.records import ScoredDoc, read_documents, read_qrels, read_queries

Runs = Mapping[str, Sequence[ScoredDoc]]
"""Query id to ranked documents, best first."""

Qrels = Mapping[str, Mapping[str, int]]
"""Query id to document id to relevance; above 0 is relevant."""

Scores = dict[str, float]
"""Query id to the metric's value."""

# name here: trec_eval's measure to ask for, and its name in the answer
_TREC = {
    "nDCG@10": ("ndcg_cut.10", "ndcg_cut_10"),
    "nDCG@20": ("ndcg_cut.20", "ndcg_cut_20"),
    "Hits@10": ("success.10", "success_10"),
    "MAP": ("map", "map"),
    "Recall@100": ("recall.100", "recall_100"),
    "Recall@1000": ("recall.1000", "recall_1000"),
}
METRICS = ("MRR@10", *_TREC)
_RESAMPLES = 2000


@dataclass(frozen=True)
class Collection:
    """A judged collection: documents, the queries that have a relevant document, and the judgements.

    A document's text is its title and its text, joined by ``". "``.
    """

    name: str
    doc_ids: list[str]
    documents: list[str]
    query_ids: list[str]
    queries: list[str]
    qrels: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Judged:
    """The queries that have a relevant document: their texts and their judgements, by query id."""

    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]

    @property
    def relevant(self) -> set[str]:
        """The documents that are relevant to some query."""
        return {doc for judged in self.qrels.values() for doc, grade in judged.items() if grade > 0}

    def only(self, query_ids: Set[str]) -> Judged:
        """The same with these queries alone."""
        return Judged(
            {query_id: text for query_id, text in self.queries.items() if query_id in query_ids},
            {query_id: judged for query_id, judged in self.qrels.items() if query_id in query_ids},
        )


def judged_files(folder: Path) -> tuple[Path, Path]:
    """The queries and the judgements of a folder in the BEIR layout.

    ``queries.jsonl`` with ``qrels.tsv`` or BEIR's own ``qrels/test.tsv``; where they are absent,
    ``queries.dev.jsonl`` with ``qrels.dev.tsv``.

    Raises:
        DataError: one of them is missing.
    """
    return (
        _one_of(folder, "queries.jsonl", "queries.dev.jsonl"),
        _one_of(folder, "qrels.tsv", "qrels/test.tsv", "qrels.dev.tsv"),
    )


def load_judged(queries: Path, qrels_file: Path) -> Judged:
    """Read the queries that have a relevant document, in the order of ``queries``.

    Raises:
        DataError: a file is missing or damaged, no query is judged, or a judged one is blank or comes twice.
    """
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    for qrel in read_qrels(qrels_file):
        qrels[qrel.query_id][qrel.doc_id] = qrel.relevance
    judged: dict[str, str] = {}
    for query in read_queries(queries):
        if not any(grade > 0 for grade in qrels.get(query.query_id, {}).values()):
            continue
        if query.query_id in judged:
            raise DataError(f"{queries}: query '{query.query_id}' comes twice; expected each id once")
        if not query.text.strip():
            raise DataError(
                f"{queries}: query '{query.query_id}' is empty; write it or remove its judgements"
            )
        judged[query.query_id] = query.text
    if not judged:
        raise DataError(f"{qrels_file}: no query of {queries.name} has a relevant document in it")
    return Judged(judged, {query_id: qrels[query_id] for query_id in judged})


def load_collection(folder: Path) -> Collection:
    """Read ``corpus.jsonl[.gz]``, and queries and judgements like `load_judged`, from ``folder``.

    ``corpus.en.jsonl.gz`` is taken where the plain name is absent.

    Raises:
        DataError: a file is missing or damaged, no query is judged, or a judgement names an unknown document.
    """
    corpus = _one_of(folder, "corpus.jsonl", "corpus.jsonl.gz", "corpus.en.jsonl.gz")
    queries, qrels_file = judged_files(folder)
    judged = load_judged(queries, qrels_file)
    documents = {doc.doc_id: doc.whole for doc in read_documents(corpus)}
    unknown = next((doc for one in judged.qrels.values() for doc in one if doc not in documents), None)
    if unknown is not None:
        raise DataError(f"{qrels_file}: judges document '{unknown}', which is not in {corpus.name}")
    return Collection(
        folder.name, list(documents), list(documents.values()),
        list(judged.queries), list(judged.queries.values()), judged.qrels,
    )  # fmt: skip


def exact_search(
    collection: Collection, documents: Embeddings, queries: Embeddings, top_k: int = 100
) -> Runs:
    """Rank all documents by inner product with each query; equal scores are ordered as in the corpus."""
    runs: dict[str, list[ScoredDoc]] = {}
    for start in range(0, len(queries), 256):
        scores = queries[start : start + 256] @ documents.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        for offset, rows in enumerate(best):
            query_id = collection.query_ids[start + offset]
            runs[query_id] = [ScoredDoc(collection.doc_ids[row], float(scores[offset, row])) for row in rows]
    return runs


def measure(qrels: Qrels, runs: Runs, metric: str = "nDCG@10") -> Scores:
    """One metric for every judged query; a query without results counts 0.

    trec_eval's definitions: nDCG takes the judgement itself as gain; Hits@10 is 1 if a relevant document is
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


def mean(scores: Scores) -> float:
    """The mean over queries."""
    return float(np.mean(list(scores.values())))


def confidence_interval(scores: Scores, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over queries (2,000 resamples)."""
    values = np.array(list(scores.values()))
    if len(values) < 2 or np.ptp(values) == 0:
        return float(values.mean()), float(values.mean())
    rng = np.random.default_rng(seed)
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=_RESAMPLES, confidence_level=confidence, method="percentile", rng=rng
    ).confidence_interval
    return float(found.low), float(found.high)


def paired_t_test(left: Scores, right: Scores) -> float:
    """Two-sided p-value of Student's paired t-test over the common queries.

    1.0 where nothing differs or there is one query only; 0.0 where all queries differ by the same amount.

    Raises:
        DataError: the two have other queries.
    """
    a, b = _paired(left, right)
    difference = a - b
    if len(a) < 2 or np.allclose(difference, 0, rtol=0, atol=1e-12):
        return 1.0
    # Without variance the statistic is infinite, or made of rounding errors.
    if np.allclose(difference, difference[0], rtol=0, atol=1e-12):
        return 0.0
    return float(stats.ttest_rel(a, b).pvalue)


def ratio_interval(
    left: Scores, right: Scores, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of ``mean(left) / mean(right)``: both keep the same resampled queries.

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
    """Holm's step-down correction of several tests' p-values, in the order given.

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


def _paired(left: Scores, right: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if left.keys() != right.keys():
        raise DataError("a paired test needs both systems' scores of the same queries")
    order = sorted(left)
    return np.array([left[q] for q in order]), np.array([right[q] for q in order])


def _reciprocal_rank(judged: Mapping[str, int], run: Sequence[ScoredDoc]) -> float:
    ranks: Any = (rank for rank, doc in enumerate(run[:10], start=1) if judged.get(doc.doc_id, 0) > 0)
    return next((1.0 / rank for rank in ranks), 0.0)


def _one_of(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder}: has no {names[0]}; expected corpus.jsonl, queries.jsonl and qrels.tsv")
