"""Compute the last layer of a cross-encoder for its first token alone: the only one that the head reads.

Two of the layer's products, keys and values, still run on every token, and ten of twelve do not.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert")


def read_first_token(model: Any) -> None:  # noqa: ANN401 - transformers has no types
    """Let ``model``, a sequence classifier, compute no other states in its last layer; its weights stay.

    Logits and gradients are the same. Models of other families than BERT's stay as they are.
    """
    positions = getattr(model.config, "position_embedding_type", "absolute")
    if model.config.model_type in FAMILIES and positions == "absolute":
        last = model.base_model.encoder.layer[-1]
        last.forward = partial(_first_state, last)


def _first_state(
    layer: Any, states: Tensor, attention_mask: Tensor | None = None, *_: object, **__: object  # noqa: ANN401
) -> tuple[Tensor]:  # fmt: skip
    """Return ``(B, 1, H)`` of the states ``(B, L, H)``; the mask is added to the attention's logits."""
    own = layer.attention.self
    size = own.attention_head_size

    def by_head(rows: Tensor) -> Tensor:
        return rows.view(len(rows), -1, own.num_attention_heads, size).transpose(1, 2)

    first = states[:, :1]
    scores = by_head(own.query(first)) @ by_head(own.key(states)).transpose(2, 3) / math.sqrt(size)
    if attention_mask is not None:
        scores = scores + attention_mask[:, :, :1]
    shares = own.dropout(torch.softmax(scores, dim=-1))
    context = (shares @ by_head(own.value(states))).transpose(1, 2).reshape(first.shape)
    attended = layer.attention.output(context, first)
    return (layer.output(layer.intermediate(attended), attended),)
