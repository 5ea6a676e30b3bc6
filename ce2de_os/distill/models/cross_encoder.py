"""The cross-encoder (CE): reads a pair of texts together and gives one logit, the pair's relevance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification

from ce2de_os.arrays import token_batches
from ce2de_os.distill.models.hub import (
    best_device,
    fit_inputs,
    load_tokenizer,
    load_weights,
    longest_input,
    read_tokens,
    refuse_seq2seq,
    weights_digest,
)
from ce2de_os.distill.precision import autocast, resolve
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.student import LENGTH_STEP, padded_length

MAX_LENGTH = 256

Pair = tuple[str, str]
"""Query and document."""


class PairTeacher(Protocol):
    """A model that scores pairs, a `CrossEncoder` or a `SequenceTeacher`, with the same attributes."""

    @property
    def name(self) -> str:
        """Name of the model, as the user gave it."""

    @property
    def tokenizer(self) -> Any:  # noqa: ANN401 - transformers has no types
        """Its fast tokenizer."""

    @property
    def max_length(self) -> int:
        """Most tokens of a pair."""

    @property
    def digest(self) -> str:
        """Hash of the weights, and of everything else in the checkpoint that scores depend on."""

    @property
    def device(self) -> torch.device:
        """Device of the model."""

    @property
    def precision(self) -> str:
        """Its number format."""

    @property
    def active_weights(self) -> int:
        """Number of weights that every token passes; a token costs about two operations for each."""

    def logits(self, pairs: Sequence[Pair], /) -> NDArray[np.float32]:
        """Compute the relevance of each pair, ``(B,)``, higher is better."""


@dataclass(frozen=True)
class CrossEncoder:
    """A loaded cross-encoder.

    Attributes:
        name: as the user gave it.
        model: a sequence-classification model with one output.
        tokenizer: its fast tokenizer.
        max_length: most tokens of a pair; the longer text is cut first.
        digest: hash of the weights.
        device: device of the model.
        precision: number format of its products, see `ce2de_os.distill.precision`.
    """

    name: str
    model: Any
    tokenizer: Any
    max_length: int
    digest: str
    device: torch.device
    precision: str

    @property
    def body(self) -> Any:  # noqa: ANN401 - transformers has no types
        """The encoder below the classification head."""
        return self.model.base_model

    @property
    def active_weights(self) -> int:
        """Weights that every token passes: all but the embeddings."""
        embeddings = self.model.get_input_embeddings().weight.numel()
        return int(sum(weight.numel() for weight in self.model.parameters()) - embeddings)

    def encode_pairs(self, pairs: Sequence[Pair]) -> list[dict[str, list[int]]]:
        """Tokenize each pair, not padded; token types are included if the model has them."""
        if not pairs:
            return []
        encoded = self.tokenizer(
            [pair[0] for pair in pairs], [pair[1] for pair in pairs],
            truncation="longest_first", max_length=self.max_length,
        )  # fmt: skip
        return [{name: encoded[name][row] for name in encoded} for row in range(len(pairs))]

    def logits(self, pairs: Sequence[Pair], batch_tokens: int | None = None) -> NDArray[np.float32]:
        """Compute the relevance of each pair, ``(B,)`` float32 in the given order, unbounded, higher: better.

        ``batch_tokens`` is the size of a forward pass; ``None`` means a size for the device.

        Raises:
            DataError: the model gives numbers that are not finite.
        """
        self.model.eval()
        with torch.inference_mode(), autocast(self.precision, self.device.type):
            return read_in_batches(
                self, self.encode_pairs(pairs), batch_tokens or read_tokens(self.device),
                lambda inputs: self.model(**inputs).logits[:, 0],
            )  # fmt: skip


def read_in_batches(
    teacher: PairTeacher,
    rows: Sequence[dict[str, list[int]]],
    batch_tokens: int,
    score: Callable[[dict[str, torch.Tensor]], torch.Tensor],
) -> NDArray[np.float32]:
    """Score tokenized pairs in length-sorted batches; return ``(len(rows),)`` in the given order.

    Raises:
        DataError: ``score`` returns numbers that are not finite.
    """
    lengths = [padded_length(len(row["input_ids"])) for row in rows]
    logits = np.empty(len(rows), dtype=np.float32)
    for batch in token_batches(lengths, batch_tokens):
        inputs = teacher.tokenizer.pad(
            [rows[row] for row in batch], padding=True, pad_to_multiple_of=LENGTH_STEP, return_tensors="pt"
        ).to(teacher.device)
        logits[batch] = score(inputs).float().cpu().numpy()
    if not np.isfinite(logits).all():
        raise DataError(f"'{teacher.name}': gives logits that are not finite; train it again or use another")
    return logits


def load_cross_encoder(name: str, max_length: int = MAX_LENGTH, precision: str = "auto") -> CrossEncoder:
    """Load a hub id or a folder with a sequence-classification model of one output.

    Raises:
        ConfigError: there is no such model, it is a sequence-to-sequence model, has no classification head or
            one with several outputs, or its tokenizer does not belong to it.
    """
    refuse_seq2seq(f"cross-encoder '{name}'", name)
    model, missing = load_weights(
        AutoModelForSequenceClassification, f"cross-encoder '{name}'", name,
        "a hub id or a folder with a sequence-classification model",
    )  # fmt: skip
    if missing:
        raise ConfigError(
            f"cross-encoder '{name}': has no trained classification head "
            f"({missing[0]} is missing); pass a cross-encoder, or make one with "
            "'ce2de train teacher'"
        )
    if model.config.num_labels != 1:
        raise ConfigError(
            f"cross-encoder '{name}': its head has {model.config.num_labels} outputs, expected 1 (relevance)"
        )
    tokenizer = load_tokenizer(name, model.config.vocab_size)
    fit_inputs(tokenizer, model)
    max_length = min(max_length, longest_input(model.config, tokenizer))
    device = best_device()
    return CrossEncoder(
        name, model.eval().to(device), tokenizer, max_length, weights_digest(model), device,
        resolve(precision, device.type),
    )  # fmt: skip
