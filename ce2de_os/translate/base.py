"""The interface of every translator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

MAX_PIECE_TOKENS = 256
"""Most tokens of one piece, also where a model could read more: they are trained on sentences."""

PART_S = 15.0  # estimated seconds of work between two savings
_FLOPS = {"cpu": 3e10, "cuda": 1e13}  # rough speed of a device
_CHARS_PER_TOKEN = 4
_SMALLEST_PART, _LARGEST_PART = 1_000, 4_000_000  # characters


class Translation(NamedTuple):
    """A piece in the other language.

    ``whole`` is false if the translation is empty, or had no end and was stopped.
    """

    text: str
    whole: bool


class Translator(Protocol):
    """Translates pieces of text from one language into another."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def identity(self) -> str:
        """Identity of everything that the translations depend on, besides the texts."""

    @property
    def max_tokens(self) -> int:
        """Longest piece that it reads, in tokens."""

    @property
    def part_chars(self) -> int:
        """Characters to translate between two savings: about 15 seconds' work."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count the tokens of each text, to compare with ``max_tokens``."""

    def translate(self, pieces: Sequence[str]) -> list[Translation]:
        """Translate each piece, in the given order."""


def reckoned_part(weights: int, beams: int, device: str) -> int:
    """Estimate how many characters a model with ``weights`` parameters translates in `PART_S`.

    It is computed and not measured: batches then hold the same pieces every time, so that a run can be
    repeated exactly.
    """
    tokens_s = _FLOPS.get(device, _FLOPS["cpu"]) / (2 * weights * (1 + beams))
    return min(max(int(PART_S * tokens_s * _CHARS_PER_TOKEN), _SMALLEST_PART), _LARGEST_PART)


def most_tokens_out(tokens_in: int, rows: int) -> int:
    """Return the number of tokens after which a translation of ``tokens_in`` tokens is stopped.

    ``rows`` is the limit of the model. The number depends on the piece alone, so that a piece's translation
    does not depend on its neighbors.
    """
    return min(3 * tokens_in + 32, rows - 1)
