"""Group a teacher's training pairs: one positive and several negatives, in padded batches."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ce2de_os.distill.data.pairs import TrainingPair, draw_negatives
from ce2de_os.distill.models.cross_encoder import CrossEncoder, Pair
from ce2de_os.distill.training.teacher_config import TeacherConfig
from ce2de_os.student import LENGTH_STEP

_SORT_PASSES = 32  # passes whose queries are sorted by length together
_CHARS_PER_TOKEN = 5


class QueryGroups(Dataset[list[Pair]]):
    """An endless reading of the training pairs as groups of one positive and ``N`` negative pairs.

    Item ``i`` depends on seed and data only, so that a run can resume in the middle. Each pass over the data
    has its own order, with queries of similar length together, and its own negatives.
    """

    def __init__(
        self, pairs: Sequence[TrainingPair], config: TeacherConfig, per_pass: int, size: int
    ) -> None:
        self._pairs, self._config, self._size = pairs, config, size
        self._per_pass = min(per_pass, len(pairs))
        self._per_epoch = len(pairs) // self._per_pass * self._per_pass
        self._epoch, self._order = -1, np.zeros(0, dtype=np.int64)
        longest = [max((pair.positive, *pair.negatives), key=len) for pair in pairs]
        self._lengths = np.array(
            [len(pair.query) + len(text) for pair, text in zip(pairs, longest, strict=True)]
        )
        np.minimum(self._lengths, config.max_length * _CHARS_PER_TOKEN, out=self._lengths)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, item: int) -> list[Pair]:
        epoch, place = divmod(item, self._per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        pair = self._pairs[self._order[place]]
        rng = random.Random(f"{self._config.seed} {item}")  # noqa: S311
        negatives = draw_negatives(pair, self._pairs, self._config.negatives, rng)
        return [(pair.query, text) for text in (pair.positive, *negatives)]

    def _shuffled(self, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        rng = np.random.default_rng((self._config.seed, epoch))
        order = rng.permutation(len(self._pairs))[: self._per_epoch]
        for start in range(0, len(order), _SORT_PASSES * self._per_pass):
            part = order[start : start + _SORT_PASSES * self._per_pass]
            part[:] = part[np.argsort(self._lengths[part], kind="stable")]
        return rng.permutation(order.reshape(-1, self._per_pass)).ravel()


def collate(encoder: CrossEncoder, chunk: int | None, groups: Sequence[Sequence[Pair]]) -> dict[str, Any]:
    """Pad all pairs' token ids, sorted by length, in chunks of ``chunk`` pairs (``None``: in one).

    ``places`` are the rows in the order of ``groups``: ``concatenation[places]`` undoes the sorting.
    """
    encoded = encoder.encode_pairs([pair for group in groups for pair in group])
    order = sorted(range(len(encoded)), key=lambda row: len(encoded[row]["input_ids"]))
    size = chunk or len(order)
    chunks = [
        dict(
            encoder.tokenizer.pad(
                [encoded[row] for row in order[start : start + size]],
                padding=True, pad_to_multiple_of=LENGTH_STEP, return_tensors="pt",
            )
        )
        for start in range(0, len(order), size)
    ]  # fmt: skip
    return {"chunks": chunks, "places": torch.tensor(np.argsort(order))}
