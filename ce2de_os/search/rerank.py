"""Re-rank the best hits with a second model, as far as a deadline allows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ce2de_os.fusion import min_max

T = TypeVar("T")

CHUNK = 8
"""Documents scored between two looks at the clock, where there is a deadline."""


class Reranker(Protocol):
    """The reranker that a searcher needs.

    `ce2de_os.model.reranker.OnnxReranker` is one, `ce2de_os.search.late_interaction.LateInteraction` another.
    """

    def score(self, query: str, documents: Sequence[str], /) -> NDArray[np.float32]:
        """Return the logit of each document, ``(B,)`` float32; higher is better."""


def score_in_time(
    reranker: Reranker, query: str, texts: Sequence[str], deadline_ms: float | None
) -> list[float]:
    """Score texts in order; return the logits of all, or of as many as ``deadline_ms`` allows.

    Without a deadline all are batched, sorted by length. With a deadline they are scored in chunks, the
    best of the first stage first; a chunk does not start if one as slow as the slowest so far would end too
    late. The first chunk is always scored unless the deadline is 0.
    """
    logits: list[float] = []
    for part in in_time(len(texts), CHUNK, deadline_ms):
        logits += [float(logit) for logit in reranker.score(query, texts[part])]
    return logits


def in_time(count: int, chunk: int, deadline_ms: float | None) -> Iterator[slice]:
    """Yield the next slice of ``count`` items, until all are done or the next would end too late.

    Between two slices the caller does the work, which is timed. Without a deadline there is one slice.
    """
    if deadline_ms is None:
        chunk, deadline_ms = max(count, 1), float("inf")
    start, slowest_s = time.monotonic(), 0.0
    for position in range(0, count, chunk):
        begun = time.monotonic()
        if begun - start + slowest_s >= deadline_ms / 1000:
            return
        yield slice(position, position + chunk)
        slowest_s = max(slowest_s, time.monotonic() - begun)


def blended(logits: Sequence[float], scores: Sequence[float], weight: float) -> list[float]:
    """Compute the sort keys: ``weight`` parts of the logits, and the rest of the first stage's scores.

    Both ``(N,)`` are mapped to 0..1 by `min_max` over the documents that were scored, as the fusion of two
    legs does. Weight 1 leaves the logits as they are.
    """
    if weight == 1 or not logits:
        return list(logits)
    first, second = (min_max(np.array(values, dtype=np.float32)) for values in (scores, logits))
    mixed: list[float] = (weight * second + (1 - weight) * first).tolist()
    return mixed


def reordered(
    documents: Sequence[T], logits: Sequence[float], keys: Sequence[float]
) -> list[tuple[T, float | None]]:
    """Return documents with their logits: scored ones sorted by their keys, then the rest in given order.

    ``logits`` and ``keys`` are those of the first documents; equal keys keep the order given.
    """
    count = len(logits)
    order = sorted(range(count), key=lambda place: -keys[place])
    scored = [(documents[place], logits[place]) for place in order]
    return [*scored, *((document, None) for document in documents[count:])]
