"""Translate with a Hugging Face sequence-to-sequence model: Marian, NLLB, M2M100."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM

from ce2de_os.distill.models.hub import best_device, load_weights, weights_digest
from ce2de_os.distill.precision import autocast, resolve
from ce2de_os.errors import ConfigError
from ce2de_os.translate.base import reckoned_part
from ce2de_os.translate.model import ModelTranslator
from ce2de_os.translate.tokens import pair_tokenizer


@dataclass(frozen=True)
class Seq2SeqTranslator(ModelTranslator):
    """A loaded Hugging Face model.

    Attributes:
        precision: number format of its products, see `ce2de_os.distill.precision`.
    """

    precision: str

    @property
    def device(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        return str(self.model.device.type)

    def write(self, ids: Sequence[list[int]], most: int) -> list[list[int]]:
        """Generate token ids for each row of token ids: up to ``most``, and the end token."""
        tokenizer, first = self.words.tokenizer, self.words.first_token
        inputs = tokenizer.pad({"input_ids": list(ids)}, return_tensors="pt").to(self.model.device)
        with torch.inference_mode(), autocast(self.precision, self.device):
            written = self.model.generate(
                **inputs, num_beams=self.beams, do_sample=False, max_new_tokens=most, max_length=None,
                forced_bos_token_id=None if first is None else tokenizer.convert_tokens_to_ids(first),
            )  # fmt: skip
        rows: list[list[int]] = written.tolist()
        return [row[1:] for row in rows]  # each begins with the token that starts the decoder


def load_seq2seq(
    name: str, source: str, target: str, beams: int = 1, precision: str = "auto"
) -> Seq2SeqTranslator:
    """Load a hub id or a folder with a translation model, on the GPU if there is one.

    Raises:
        MissingExtraError: a library that its tokenizer needs is not installed.
        ConfigError: there is no such model, it is not a translation model, or it does not know the languages.
    """
    model = _load(name)
    words = pair_tokenizer(name, source, target, getattr(model.config, "max_position_embeddings", None))
    device = best_device()
    number_format = resolve(precision, device.type)
    settings = [weights_digest(model), source, words.prefix, words.first_token, beams, number_format]
    identity = hashlib.sha256(repr(settings).encode()).hexdigest()
    part = reckoned_part(model.num_parameters(), beams, device.type)
    return Seq2SeqTranslator(name, identity, part, model.eval().to(device), words, beams, number_format)


def _load(name: str) -> Any:  # noqa: ANN401 - transformers has no types
    expected = "a hub id or a folder with a translation model (Marian, NLLB, M2M100)"
    model, missing = load_weights(AutoModelForSeq2SeqLM, f"translator '{name}'", name, expected)
    if missing:
        raise ConfigError(
            f"translator '{name}': is not a trained translation model ({missing[0]} is missing)"
        )
    return model
