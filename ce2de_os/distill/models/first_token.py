"""Compute the last layer of a cross-encoder for its first token alone: the only one that the head reads."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ce2de_os.student import pooled_layer

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
    """Return ``(B, 1, H)`` of the states ``(B, L, H)``; the mask, ``(B, 1, 1, L)``, is 0 at tokens."""
    if attention_mask is None:
        tokens = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
    else:
        tokens = attention_mask[:, 0, 0] == 0
    return (pooled_layer(layer, states, states[:, 0], tokens)[:, None],)
