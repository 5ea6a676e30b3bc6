"""The dev metric: measure during the training whether rankings become better.

A falling loss does not prove it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ce2de_os.arrays import Embeddings, l2_normalize
from ce2de_os.distill.models.hub import best_device
from ce2de_os.distill.models.teacher import embed_ids
from ce2de_os.distill.training.batches import TrainingSet
from ce2de_os.distill.training.trainer import Measure
from ce2de_os.evaluation import Collection, exact_search, mean, measure
from ce2de_os.student import Ids, StudentModel

NEIGHBORS = 10


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
