"""The batches of each training step, in an order that depends on seed and step only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ce2de_os.arrays import token_batches
from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.training.ranking import ranking_batches
from ce2de_os.distill.training.ranking_data import RankingBatch, RankingSet
from ce2de_os.student import Ids, padded_length

_SORT_TEXTS = 4096  # texts sorted by length together: few enough that epochs differ, enough to avoid padding


@dataclass(frozen=True)
class TrainingSet:
    """Token ids with the teacher's embeddings ``targets``, ``(N, D)`` float16, and scored candidates.

    The last ``held_out`` texts are for measuring, not for training. ``ranking`` is ``None`` where no loss
    ranks.
    """

    ids: Ids
    targets: NDArray[np.float16]
    held_out: int
    ranking: RankingSet | None = None

    @property
    def trained(self) -> int:
        """Number of texts for training."""
        return len(self.ids) - self.held_out


class TrainingBatch(NamedTuple):
    """Positions of texts in the training set, and a batch of queries; either may be ``None``."""

    texts: list[int] | None
    ranking: RankingBatch | None


def batches(data: TrainingSet, config: DistillConfig, done: int) -> Iterator[TrainingBatch]:
    """Yield endless batches after the first ``done``."""
    texts = islice(_text_batches(data, config), done, None) if config.reads_texts else None
    ranking = None
    if config.ranks and data.ranking is not None:
        drawn = ranking_batches(
            data.ranking, config.batch_queries, config.candidates, config.seed, mixing=config.mixing,
            keep_positive=config.needs_positive,
        )  # fmt: skip
        ranking = islice(drawn, done, None)
    while True:
        yield TrainingBatch(next(texts) if texts else None, next(ranking) if ranking else None)


def epoch_batches(lengths: Sequence[int], config: DistillConfig, epoch: int) -> list[list[int]]:
    """Return the batches of one pass: texts of similar length together, in an order by seed and epoch."""
    rng = np.random.default_rng((config.seed, epoch))
    order = rng.permutation(len(lengths))
    found: list[list[int]] = []
    for start in range(0, len(order), _SORT_TEXTS):
        part = order[start : start + _SORT_TEXTS].tolist()
        for positions in token_batches([lengths[row] for row in part], config.batch_tokens):
            rows = [part[position] for position in positions]
            found += [rows[i : i + config.batch_texts] for i in range(0, len(rows), config.batch_texts)]
    return [found[index] for index in rng.permutation(len(found))]


def _text_batches(data: TrainingSet, config: DistillConfig) -> Iterator[list[int]]:
    lengths = [padded_length(len(row)) for row in data.ids[: data.trained]]
    epoch = 0
    while True:
        yield from epoch_batches(lengths, config, epoch)
        epoch += 1
