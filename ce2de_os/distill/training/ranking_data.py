"""Tokenized queries and candidates with their logits, and batches of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ce2de_os.student import Ids


@dataclass(frozen=True)
class RankingSet:
    """Tokenized queries and documents, and each query's scored candidates.

    Attributes:
        queries: token ids of each query.
        documents: by language, token ids of each document that is a candidate of some query; empty where
            there is no translation.
        candidates: for each query, positions in ``documents``, the positive first.
        logits: for each query, the teacher's logits of its candidates, ``(N,)`` float32.
    """

    queries: Ids
    documents: Mapping[str, Ids]
    candidates: Sequence[NDArray[np.int64]]
    logits: Sequence[NDArray[np.float32]]

    @cached_property
    def translated(self) -> NDArray[np.bool_]:
        """``(L, N)``: whether each document has a text in each language."""
        return np.array([[bool(row) for row in documents] for documents in self.documents.values()])

    def counts(self) -> dict[str, int]:
        """Count the candidates of queries that have a text, by language."""
        there = [self.translated[:, candidates].sum(axis=1) for candidates in self.candidates]
        return dict(zip(self.documents, np.sum(there, axis=0).tolist(), strict=True))

    def split(self, held_out: int) -> tuple[RankingSet, RankingSet]:
        """Split off ``held_out`` queries, evenly spread; both parts share the documents."""
        size = len(self.queries)
        spread = np.linspace(0, size, held_out, endpoint=False, dtype=np.int64)
        rest = np.setdiff1d(np.arange(size), spread)
        return self.only(rest.tolist()), self.only(spread.tolist())

    def only(self, rows: Sequence[int]) -> RankingSet:
        """Return these queries, with all documents."""
        return replace(
            self,
            queries=[self.queries[row] for row in rows],
            candidates=[self.candidates[row] for row in rows],
            logits=[self.logits[row] for row in rows],
        )

    def texts(self, batch: RankingBatch) -> Ids:
        """Return the token ids of the batch's queries, then of its documents, row by row."""
        versions = list(self.documents.values())
        pairs = zip(batch.languages.ravel().tolist(), batch.documents.ravel().tolist(), strict=True)
        return [
            *(self.queries[row] for row in batch.queries),
            *(versions[language][row] for language, row in pairs),
        ]


class RankingBatch(NamedTuple):
    """``queries`` ``(B,)`` and ``documents`` ``(B, N)``, rows of a `RankingSet`, with their ``logits``.

    ``languages`` ``(B, N)`` are positions among the set's languages.
    """

    queries: list[int]
    documents: NDArray[np.int64]
    logits: NDArray[np.float32]
    languages: NDArray[np.int64]
