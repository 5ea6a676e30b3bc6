"""The dev metric: measure during the training whether rankings become better.

A falling loss does not prove it. What is measured must be what the losses teach: a student that learns from
pairs of query and document leaves its teacher's space a little, so that agreement with the teacher would keep
the weights that have learned least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ce2de_os.arrays import Embeddings, l2_normalize
from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.models.hub import best_device
from ce2de_os.distill.models.teacher import embed_ids
from ce2de_os.distill.training.batches import TrainingSet
from ce2de_os.distill.training.ranking_data import RankingSet
from ce2de_os.distill.training.trainer import Measure
from ce2de_os.evaluation import Collection, exact_search, mean, measure
from ce2de_os.student import Ids, StudentModel

NEIGHBORS = 10
HELD_OUT_QUERIES = 200
HELD_OUT_SHARE = 0.05
FEWEST_QUERIES = 20
"""Fewer held-out queries say nothing: then all are trained on, and the last weights are kept."""
CANDIDATES = 8  # of each held-out query, the best by score: more would take time and change little


class DevMetric(NamedTuple):
    """A dev metric with its name, and the training set without the queries that it holds out."""

    name: str
    measure: Measure
    data: TrainingSet
    held_out: int = 0


def dev_metric(
    dev: Sequence[Collection],
    data: TrainingSet,
    tokens: Callable[[Sequence[str]], Ids],
    config: DistillConfig,
    precision: str,
) -> DevMetric:
    """Choose what is measured: nDCG@10 on ``dev`` if given, else what the losses teach.

    With ranking losses that is MRR@10 of queries held out, else the neighbors in common with the teacher.
    ``tokens`` are the student's.
    """
    if dev:
        before = config.prefixes
        read = [
            (one, tokens(before.documents(one.documents)), tokens(before.queries(one.queries))) for one in dev
        ]
        names = ", ".join(collection.name for collection in dev)
        return DevMetric(f"nDCG@10 on {names}", collections_ndcg(read, precision), data)
    if data.ranking is None or not config.ranks:
        name = "nearest neighbors in common with the teacher"
        return DevMetric(name, held_out_overlap(data, precision), data)
    share = int(HELD_OUT_SHARE * len(data.ranking.queries))
    held_out = min(HELD_OUT_QUERIES, share) if share >= FEWEST_QUERIES else 0
    trained, asked = data.ranking.split(held_out)
    measure = held_out_mrr(asked, precision)
    return DevMetric("MRR@10 of held-out queries", measure, replace(data, ranking=trained), held_out)


def held_out_mrr(asked: RankingSet, precision: str) -> Measure:
    """Return a measure of MRR@10: each query's first candidate among the candidates of all these queries.

    A document is read in one of its languages, the next document in the next one. ``None`` without queries.
    """
    runs = [candidates[:CANDIDATES] for candidates in asked.candidates]
    rows = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *runs]))
    documents = [_in_turn(asked, row, place) for place, row in enumerate(rows)]
    positives = np.searchsorted(rows, [run[0] for run in runs])

    def mrr(student: StudentModel) -> float | None:
        if not runs:
            return None
        queries, found = (
            embed_ids(student, ids, precision, device=best_device()) for ids in (asked.queries, documents)
        )
        return mean_reciprocal_rank(queries @ found.T, positives)

    return mrr


def mean_reciprocal_rank(similarities: Embeddings, positives: NDArray[np.int64], k: int = 10) -> float:
    """Compute the mean `reciprocal_rank` of each query's positive; ``(Q, N)`` and ``(Q,)``."""
    rows = zip(similarities, positives, strict=True)
    return float(np.mean([reciprocal_rank(np.roll(row, -place), k) for row, place in rows]))


def reciprocal_rank(scores: NDArray[np.float32], k: int = 10) -> float:
    """Compute ``1 / rank`` of the first of ``(1 + N,)`` scores, 0 beyond ``k``; ties count against it."""
    rank = 1 + int((scores[1:] >= scores[0]).sum())
    return 1 / rank if rank <= k else 0.0


def held_out_overlap(data: TrainingSet, precision: str) -> Measure:
    """Return a measure of the neighbors that student and teacher share among the held-out texts."""
    targets = l2_normalize(data.targets[data.trained :].astype(np.float32))

    def overlap(student: StudentModel) -> float | None:
        if data.held_out <= NEIGHBORS:
            return None  # too few texts to have neighbors
        embeddings = embed_ids(student, data.ids[data.trained :], precision, device=best_device())
        return neighbor_overlap(embeddings, targets)

    return overlap


def collections_ndcg(collections: Sequence[tuple[Collection, Ids, Ids]], precision: str) -> Measure:
    """Return a measure of nDCG@10, averaged over judged collections, given as token ids."""

    def ndcg(student: StudentModel) -> float:
        values = []
        for collection, *ids in collections:
            documents, queries = (embed_ids(student, one, precision, device=best_device()) for one in ids)
            runs = exact_search(collection, documents, queries, top_k=10)
            values.append(mean(measure(collection.qrels, runs)))
        return float(np.mean(values))

    return ndcg


def neighbor_overlap(student: Embeddings, teacher: Embeddings, k: int = NEIGHBORS) -> float:
    """Compute the share of each text's ``k`` nearest texts that teacher and student have in common.

    A ranking measure that needs no judgments. Both are ``(N, D)``, rows of length 1.
    """
    near_student, near_teacher = _nearest(student, k), _nearest(teacher, k)
    common = [len(set(a) & set(b)) for a, b in zip(near_student, near_teacher, strict=True)]
    return float(np.mean(common)) / k


def _nearest(embeddings: Embeddings, k: int) -> list[list[int]]:
    similarities = embeddings @ embeddings.T
    np.fill_diagonal(similarities, -np.inf)
    nearest: list[list[int]] = np.argpartition(-similarities, k, axis=1)[:, :k].tolist()
    return nearest


def _in_turn(asked: RankingSet, row: int, place: int) -> Sequence[int]:
    versions = [texts[row] for texts in asked.documents.values() if texts[row]]
    return versions[place % len(versions)]
