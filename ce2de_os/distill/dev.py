"""The dev metric: what tells during the training whether rankings become better.

A falling loss does not prove it.
"""

from __future__ import annotations

import numpy as np

from ce2de_os.arrays import Embeddings, l2_normalize
from ce2de_os.distill.batches import TrainingSet
from ce2de_os.distill.models import best_device
from ce2de_os.distill.teacher import embed_ids
from ce2de_os.distill.trainer import Measure
from ce2de_os.evaluation import Collection, exact_search, mean, measure
from ce2de_os.student import Ids, StudentModel

NEIGHBOURS = 10


def held_out_overlap(data: TrainingSet, precision: str) -> Measure:
    """The share of nearest neighbours that student and teacher have in common among the held-out texts."""
    targets = l2_normalize(data.targets[data.trained :].astype(np.float32))

    def overlap(student: StudentModel) -> float | None:
        if data.held_out <= NEIGHBOURS:
            return None  # too few texts to have neighbours
        embeddings = embed_ids(student, data.ids[data.trained :], precision, device=best_device())
        return neighbour_overlap(embeddings, targets)

    return overlap


def collection_ndcg(collection: Collection, documents: Ids, queries: Ids, precision: str) -> Measure:
    """nDCG@10 on a judged collection, given its token ids."""

    def ndcg(student: StudentModel) -> float:
        embedded = [embed_ids(student, ids, precision, device=best_device()) for ids in (documents, queries)]
        runs = exact_search(collection, embedded[0], embedded[1], top_k=10)
        return mean(measure(collection.qrels, runs))

    return ndcg


def neighbour_overlap(student: Embeddings, teacher: Embeddings, k: int = NEIGHBOURS) -> float:
    """Share of each text's ``k`` nearest texts by the teacher that are also its ``k`` nearest by the student.

    A ranking measure that needs no judgements. Both are ``(N, D)``, rows of length 1.
    """
    near_student, near_teacher = _nearest(student, k), _nearest(teacher, k)
    common = [len(set(a) & set(b)) for a, b in zip(near_student, near_teacher, strict=True)]
    return float(np.mean(common)) / k


def _nearest(embeddings: Embeddings, k: int) -> list[list[int]]:
    similarities = embeddings @ embeddings.T
    np.fill_diagonal(similarities, -np.inf)
    nearest: list[list[int]] = np.argpartition(-similarities, k, axis=1)[:, :k].tolist()
    return nearest
