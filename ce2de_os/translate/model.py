"""The common part of translators that are models: a tokenizer, and batches of similar length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ce2de_os.arrays import token_batches
from ce2de_os.translate.base import Translation, most_tokens_out
from ce2de_os.translate.tokens import PairTokenizer

_BATCH_TOKENS = {"cpu": 1024, "cuda": 16_384}  # tokens read in one batch, times the beams


@dataclass(frozen=True)
class ModelTranslator(ABC):
    """A loaded translation model; see `ce2de_os.translate.base.Translator`.

    Attributes:
        name: hub id or folder.
        identity: of weights, languages, beams and number format.
        part_chars: characters to translate between two savings.
        model: the model, on its device.
        words: its tokenizer, set to the languages.
        beams: hypotheses that are kept; 1 takes the likeliest token every time.
    """

    name: str
    identity: str
    part_chars: int
    model: Any
    words: PairTokenizer
    beams: int

    @property
    def max_tokens(self) -> int:
        """Longest piece that it reads, in tokens."""
        return self.words.max_tokens

    @property
    @abstractmethod
    def device(self) -> str:
        """``"cpu"`` or ``"cuda"``."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count the tokens of each text, special ones included."""
        return [len(row) for row in self.words.encode(texts)]

    def translate(self, pieces: Sequence[str]) -> list[Translation]:
        """Translate each piece, in the given order."""
        ids = self.words.encode(pieces)
        found: dict[int, Translation] = {}
        most = max(_BATCH_TOKENS[self.device] // self.beams, 1)
        for batch in token_batches([len(row) for row in ids], most):
            limits = [most_tokens_out(len(ids[row]), self.words.rows) for row in batch]
            written = self.write([ids[row] for row in batch], max(limits))
            for row, tokens, limit in zip(batch, written, limits, strict=True):
                found[row] = self._translation(tokens[:limit])
        return [found[row] for row in range(len(ids))]

    @abstractmethod
    def write(self, ids: Sequence[list[int]], most: int) -> list[list[int]]:
        """Generate token ids for each row of token ids: up to ``most``, and the end token."""

    def _translation(self, tokens: Sequence[int]) -> Translation:
        text = self.words.decode(tokens)
        return Translation(text, bool(text) and self.words.tokenizer.eos_token_id in tokens)
