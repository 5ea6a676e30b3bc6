"""Exact search: every document's score is computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ce2de_os.arrays import Embeddings
from ce2de_os.evaluation.collection import Collection
from ce2de_os.evaluation.metrics import Runs
from ce2de_os.records import ScoredDoc

_CELLS = 2**24  # scores held at once, 64 MiB


def exact_search(
    collection: Collection, documents: Embeddings, queries: Embeddings, top_k: int = 100
) -> Runs:
    """Rank all documents by inner product with each query; equal scores are ordered as in the corpus.

    The embeddings are ``(documents, D)`` and ``(queries, D)``. Queries are taken in blocks of at most
    64 MiB of scores, or one by one.
    """
    runs: dict[str, list[ScoredDoc]] = {}
    doc_ids = np.array(collection.doc_ids, dtype=object)
    block = max(1, _CELLS // max(1, len(documents)))
    for start in range(0, len(queries), block):
        scores = queries[start : start + block] @ documents.T
        for query_id, row in zip(collection.query_ids[start : start + block], scores, strict=True):
            best = best_first(row, top_k)
            runs[query_id] = list(map(ScoredDoc, doc_ids[best].tolist(), row[best].tolist()))
    return runs


def best_first(scores: NDArray[np.float32], top_k: int) -> NDArray[np.intp]:
    """Return the positions of the ``top_k`` highest of ``(N,)`` scores, best first; ties keep their order.

    This equals the beginning of a stable sort, which takes many times longer if ``top_k`` is small.
    """
    falling = -scores
    if top_k >= len(falling):
        return np.argsort(falling, kind="stable")
    last = np.partition(falling, top_k - 1)[top_k - 1]
    # Include all that equal the last score: their order decides which of them belong to the best.
    places = np.flatnonzero(~(falling > last))
    return places[np.argsort(falling[places], kind="stable")[:top_k]]
