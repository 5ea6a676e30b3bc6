"""Scoring the best hits again with a cross-encoder, as far as a deadline allows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

CHUNK = 8
"""Documents scored between two looks at the clock, where there is a deadline."""


class Reranker(Protocol):
    """What a searcher needs of a cross-encoder; `ce2de_os.reranker.OnnxReranker` is one."""

    def score(self, query: str, documents: Sequence[str], /) -> NDArray[np.float32]:
        """The logit of each document, ``(B,)`` float32; higher is better."""


def score_in_time(
    reranker: Reranker, query: str, texts: Sequence[str], deadline_ms: float | None
) -> list[float]:
    """The logits of the first texts: of all of them, or of as many as are scored within ``deadline_ms``.

    Without a deadline all are batched together, sorted by length. With one they are scored in chunks, the
    best of the first stage first, and a chunk is not begun where one like the slowest so far would end too
    late. The very first chunk is scored unless the deadline is 0.
    """
    if deadline_ms is None:
        return [float(logit) for logit in reranker.score(query, texts)] if texts else []
    start, slowest_s, logits = time.monotonic(), 0.0, []
    for position in range(0, len(texts), CHUNK):
        begun = time.monotonic()
        if begun - start + slowest_s >= deadline_ms / 1000:
            break
        logits += [float(logit) for logit in reranker.score(query, texts[position : position + CHUNK])]
        slowest_s = max(slowest_s, time.monotonic() - begun)
    return logits


def reordered(documents: Sequence[T], logits: Sequence[float]) -> list[tuple[T, float | None]]:
    """The documents with their logits: the scored ones by logit, then the rest in the order given.

    ``logits`` are those of the first documents; equal ones keep the order given.
    """
    count = len(logits)
    scored = sorted(zip(documents[:count], logits, strict=True), key=lambda pair: -pair[1])
    return [*scored, *((document, None) for document in documents[count:])]
