"""What the ranking losses learn from: queries, candidate documents, and the cross-encoder's logits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ce2de_os.errors import DataError
from ce2de_os.records import ScoredDoc
from ce2de_os.student import Ids


@dataclass(frozen=True)
class RankingSet:
    """Tokenized queries and documents, and each query's scored candidates.

    Attributes:
        queries: token ids of each query.
        documents: token ids of each document that is a candidate of some query.
        candidates: for each query, positions in ``documents``, the positive first.
        logits: for each query, the teacher's logits of its candidates, ``(N,)`` float32.
    """

    queries: Ids
    documents: Ids
    candidates: Sequence[NDArray[np.int64]]
    logits: Sequence[NDArray[np.float32]]


class RankingBatch(NamedTuple):
    """``queries`` ``(B,)`` and ``documents`` ``(B, N)``, rows of a `RankingSet`, and their ``logits``."""

    queries: list[int]
    documents: NDArray[np.int64]
    logits: NDArray[np.float32]


def ranking_set(
    queries: Mapping[str, Sequence[int]],
    documents: Mapping[str, Sequence[int]],
    scores: Mapping[str, Sequence[ScoredDoc]],
    positives: Mapping[str, str],
    minimum: int,
) -> RankingSet:
    """Join tokenized texts and scores by id.

    A query's positive is the document that ``positives`` names if it is among the candidates, else the one
    with the highest score. Queries with fewer than ``minimum`` candidates are left out.

    Raises:
        DataError: no query has enough candidates, or an id has no text.
    """
    unknown = [query for query in scores if query not in queries]
    unknown += [doc.doc_id for run in scores.values() for doc in run if doc.doc_id not in documents]
    if unknown:
        raise DataError(f"scores name {len(unknown):,} ids without a text, the first is '{unknown[0]}'")
    kept = {query: run for query, run in scores.items() if len(run) >= minimum}
    if not kept:
        raise DataError(
            f"no query has the {minimum} scored candidates that a batch takes of each; "
            "set candidates lower, or retrieve more"
        )
    position = {doc_id: row for row, doc_id in enumerate(documents)}
    ordered = [_positive_first(run, positives.get(query)) for query, run in kept.items()]
    return RankingSet(
        [queries[query] for query in kept],
        list(documents.values()),
        [np.array([position[doc.doc_id] for doc in run]) for run in ordered],
        [np.array([doc.score for doc in run], dtype=np.float32) for run in ordered],
    )


def ranking_batches(data: RankingSet, queries: int, candidates: int, seed: int) -> Iterator[RankingBatch]:
    """Endless batches of ``queries`` queries with ``candidates`` documents each.

    Each query keeps its positive and gets others at random, other ones at every visit, as Translate-Distill
    draws 6 of 50 (arXiv 2401.04810). The sequence depends on the arguments only.
    """
    size, epoch = min(queries, len(data.queries)), 0
    while True:
        rng = np.random.default_rng((seed, epoch))
        order = rng.permutation(len(data.queries))
        for start in range(0, len(order) - size + 1, size):
            rows = order[start : start + size].tolist()
            drawn = [
                np.concatenate(([0], 1 + rng.permutation(len(data.candidates[row]) - 1)[: candidates - 1]))
                for row in rows
            ]
            yield RankingBatch(
                rows,
                np.stack([data.candidates[row][picked] for row, picked in zip(rows, drawn, strict=True)]),
                np.stack([data.logits[row][picked] for row, picked in zip(rows, drawn, strict=True)]),
            )
        epoch += 1


def _positive_first(run: Sequence[ScoredDoc], positive: str | None) -> list[ScoredDoc]:
    return sorted(run, key=lambda doc: (doc.doc_id != positive, -doc.score))
