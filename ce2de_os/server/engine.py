"""Engine: one thread that computes for all callers, the most urgent lane first."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np

from ce2de_os.arrays import Embeddings
from ce2de_os.model.encoder import BATCH_TOKENS, OnnxEncoder
from ce2de_os.model.reranker import OnnxReranker
from ce2de_os.server.answers import busy
from ce2de_os.server.lanes import EmbeddingLane, Lane, LaneCall, PairLane, Piece, Values

QUERIES, RERANKS, DOCUMENTS = "queries", "reranks", "documents"


class Engine:
    """Runs the models, off the event loop; without a ``reranker``, re-ranking embeds its texts."""

    def __init__(self, encoder: OnnxEncoder, reranker: OnnxReranker | None, queue_texts: int) -> None:
        self.encoder = encoder
        self.reranker = reranker
        self._queue_texts = queue_texts
        between = PairLane(reranker) if reranker else EmbeddingLane(encoder, BATCH_TOKENS)
        self._lanes: dict[str, Lane] = {
            QUERIES: EmbeddingLane(encoder, BATCH_TOKENS),
            RERANKS: between,
            DOCUMENTS: EmbeddingLane(encoder, BATCH_TOKENS),
        }
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="engine", daemon=True).start()

    @property
    def waiting(self) -> Mapping[str, int]:
        """Texts without a result, by lane."""
        with self._changed:
            return {name: lane.waiting for name, lane in self._lanes.items()}

    def embed(self, lane: str, texts: Sequence[str], *, as_query: bool) -> LaneCall:
        """Queue texts; the call's future gets a vector for each, ``(B, D)``.

        Raises:
            HttpError: 429 where too many wait already.
        """
        values = np.empty((len(texts), self.encoder.dim), dtype=np.float32)
        return self._add(lane, LaneCall(texts, values, as_query))

    def score(self, query: str, documents: Sequence[str]) -> LaneCall:
        """Queue pairs for the reranker; the call's future gets a logit for each, ``(B, 1)``.

        Raises:
            HttpError: 429 where too many wait already.
        """
        pairs = [(query, document) for document in documents]
        return self._add(RERANKS, LaneCall(pairs, np.empty((len(pairs), 1), dtype=np.float32)))

    def _add(self, name: str, call: LaneCall) -> LaneCall:
        lane = self._lanes[name]
        with self._changed:
            waiting = lane.waiting
            if waiting and waiting + len(call.texts) > self._queue_texts:
                raise busy(f"{waiting:,} texts wait already")
            lane.add(call)
            self._changed.notify()
        return call

    def _run(self) -> None:
        while True:
            with self._changed:
                while (piece := self._next()) is None:
                    self._changed.wait()
            piece()

    def _next(self) -> Piece | None:
        for lane in self._lanes.values():
            piece = lane.take()
            if piece is not None:
                return piece
        return None


class SharedEncoder:
    """The engine's model as a searcher wants it: questions wait in the lane of queries."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.space = engine.encoder.space
        self.fingerprint = engine.encoder.fingerprint

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        """Encode questions to ``(B, D)`` float32; waits for them."""
        return self._engine.embed(QUERIES, texts, as_query=True).future.result().values


class SharedReranker:
    """The engine's reranker as a searcher wants it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def score(self, query: str, documents: Sequence[str]) -> Values:
        """Return the logit of each document, ``(B,)`` float32; waits for them."""
        return self._engine.score(query, documents).future.result().values[:, 0]
