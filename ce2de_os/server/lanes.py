"""Lanes: texts that wait for a model, and the next small piece of work with them.

A piece takes some milliseconds, so that what is more urgent never waits long. There is no pause in which
texts are collected: what arrives while one piece is computed shares the next.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ce2de_os.arrays import token_batches
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.model.reranker import OnnxReranker

WAVE_TEXTS = 64
WAVE_CHARS = 32_768
"""Texts and characters that are tokenized at a time; batches are made of them."""

PAIRS = 8
"""Pairs that a reranker scores at a time."""

Piece = Callable[[], None]
Values = NDArray[np.float32]


class Computed(NamedTuple):
    """The result of one call: a row of values for each text, and the tokens that were read."""

    values: Values
    tokens: int


@dataclass(eq=False)
class LaneCall:
    """The texts of one caller, and the results so far.

    Attributes:
        texts: texts, or pairs of texts.
        values: a row for each text.
        as_query: whether the texts are queries.
        begun: texts that are in a piece of work, or were.
        done: texts with results.
        tokens: tokens read so far; 0 where the model does not count them.
    """

    texts: Sequence[str] | Sequence[tuple[str, str]]
    values: Values
    as_query: bool = False
    begun: int = 0
    done: int = 0
    tokens: int = 0
    future: Future[Computed] = field(default_factory=Future)

    @property
    def left(self) -> int:
        """Texts that still need a result; none once the caller has gone."""
        return 0 if self.future.done() else len(self.texts) - self.done

    def put(self, position: int | slice, values: Values) -> None:
        """Keep the results of one text or several; hand over all with the last."""
        self.values[position] = values
        self.done += len(self.values[position]) if isinstance(position, slice) else 1
        if self.done == len(self.texts) and not self.future.done():
            try:
                self.future.set_result(Computed(self.values, self.tokens))
            except InvalidStateError:  # the caller has gone in this moment
                return

    def fail(self, error: BaseException) -> None:
        """Hand over an error, unless the caller has gone."""
        try:
            self.future.set_exception(error if isinstance(error, Exception) else RuntimeError(str(error)))
        except InvalidStateError:
            return


class Lane(ABC):
    """Work of one urgency; the engine holds its lock around these."""

    def __init__(self) -> None:
        self._calls: list[LaneCall] = []

    @property
    def waiting(self) -> int:
        """Texts, or pairs of texts, without a result."""
        return sum(call.left for call in self._calls)

    def add(self, call: LaneCall) -> None:
        """Take a call; its future gets the result. Cancel the future to take the call back."""
        self._calls.append(call)

    @abstractmethod
    def take(self) -> Piece | None:
        """Return the next piece of work, ``None`` if there is none; it is run without the lock."""


class Row(NamedTuple):
    """One tokenized text of a call."""

    call: LaneCall
    position: int
    ids: list[int]


class EmbeddingLane(Lane):
    """Embeds the texts of all callers in common batches, some of each caller in turn."""

    def __init__(self, encoder: OnnxEncoder, batch_tokens: int) -> None:
        super().__init__()
        self._encoder = encoder
        self._batch_tokens = batch_tokens
        self._batches: list[list[Row]] = []

    def take(self) -> Piece | None:
        """Return a batch to encode, else texts to tokenize; ``None``: nothing waits."""
        while self._batches:
            batch = [row for row in self._batches.pop(0) if row.call.left]
            if batch:
                return partial(self._encode, batch)
        self._calls = [call for call in self._calls if call.left]
        wave = self._wave()
        return partial(self._tokenize, wave) if wave else None

    def _wave(self) -> list[tuple[LaneCall, int]]:
        """Take the next texts, the same number of each call until the wave is full."""
        waiting = [call for call in self._calls if call.begun < len(call.texts)]
        share = max(1, WAVE_TEXTS // max(1, len(waiting)))
        wave: list[tuple[LaneCall, int]] = []
        chars = 0
        for call in waiting:
            for position in range(call.begun, min(call.begun + share, len(call.texts))):
                chars += min(len(call.texts[position]), WAVE_CHARS // 4)
                if wave and (len(wave) >= WAVE_TEXTS or chars > WAVE_CHARS):
                    return wave
                wave.append((call, position))
                call.begun += 1
        return wave

    def _tokenize(self, wave: Sequence[tuple[LaneCall, int]]) -> None:
        """Make batches of the texts; a single batch is encoded at once."""
        try:
            rows = [row for as_query in (True, False) for row in self._rows(wave, as_query=as_query)]
        except BaseException as error:  # a panic of the tokenizer is no Exception
            for call, _ in wave:
                call.fail(error)
            return
        for row in rows:
            row.call.tokens += len(row.ids)
        lengths = [len(row.ids) for row in rows]
        batches = token_batches(lengths, self._batch_tokens)
        self._batches = [[rows[position] for position in batch] for batch in batches]
        if len(self._batches) == 1:
            self._encode(self._batches.pop())

    def _rows(self, wave: Sequence[tuple[LaneCall, int]], *, as_query: bool) -> list[Row]:
        chosen = [each for each in wave if each[0].as_query is as_query]
        if not chosen:
            return []
        texts = [str(call.texts[position]) for call, position in chosen]
        tokenize = self._encoder.query_ids if as_query else self._encoder.document_ids
        return [Row(*each, ids) for each, ids in zip(chosen, tokenize(texts), strict=True)]

    def _encode(self, batch: Sequence[Row]) -> None:
        try:
            vectors = self._encoder.encode_ids([row.ids for row in batch])
        except BaseException as error:  # a panic of the tokenizer is no Exception
            for row in batch:
                row.call.fail(error)
            return
        for row, vector in zip(batch, vectors, strict=True):
            row.call.put(row.position, vector)


class PairLane(Lane):
    """Scores pairs with a cross-encoder, some of each caller in turn."""

    def __init__(self, reranker: OnnxReranker) -> None:
        super().__init__()
        self._reranker = reranker

    def take(self) -> Piece | None:
        """Return some pairs to score; ``None``: nothing waits."""
        self._calls = [call for call in self._calls if call.left]
        if not self._calls:
            return None
        call = self._calls.pop(0)
        self._calls.append(call)
        return partial(self._score, call, slice(call.done, min(call.done + PAIRS, len(call.texts))))

    def _score(self, call: LaneCall, part: slice) -> None:
        try:
            call.put(part, self._reranker.score_pairs(call.texts[part])[:, None])  # type: ignore[arg-type]
        except BaseException as error:  # a panic of the tokenizer is no Exception
            call.fail(error)
