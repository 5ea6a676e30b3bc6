"""Compute a BERT cross-encoder in a form that exports to a fast ONNX graph.

Only the first token of the last layer reaches the logit. So that layer has one query a pair, as the pooled
layers of a student do, and costs next to nothing; the layers below are computed as a student's.
"""

from __future__ import annotations

from typing import Any

import torch
from optimum.exporters.onnx.model_configs import BertOnnxConfig
from torch import Tensor

from ce2de_os.export.graph import MASKED, PooledLayer, TokenLayer

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class PairGraph(torch.nn.Module):
    """A `BertForSequenceClassification` of one output: ids, mask and token types ``(B, L)`` to ``(B, 1)``."""

    def __init__(self, model: Any, max_length: int) -> None:  # noqa: ANN401 - transformers has no types
        super().__init__()
        body, self.config = model.bert, model.config
        self.words = body.embeddings.word_embeddings
        self.types = body.embeddings.token_type_embeddings
        self.positions = torch.nn.Parameter(body.embeddings.position_embeddings.weight[:max_length])
        self.norm = body.embeddings.LayerNorm
        *below, last = body.encoder.layer
        self.layers = torch.nn.ModuleList(TokenLayer(layer, self.config) for layer in below)
        self.last = PooledLayer(last)
        self.pooler, self.classifier = body.pooler.dense, model.classifier

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Compute the logits."""
        positions = self.positions[: input_ids.shape[1]]
        states = self.norm(self.words(input_ids) + self.types(token_type_ids) + positions)
        hidden = (1.0 - attention_mask.to(states.dtype))[:, None, None, :] * MASKED
        for layer in self.layers:
            states = layer(states, hidden)
        first = self.last(states, states[:, 0], hidden[:, 0])
        logits: Tensor = self.classifier(torch.tanh(self.pooler(first)))
        return logits


class PairOnnxConfig(BertOnnxConfig):  # type: ignore[misc]
    """Inputs and output of the exported graph."""

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        """Ids, mask and token types, all ``(B, L)``."""
        return {name: {0: "batch", 1: "length"} for name in INPUTS}

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        """Logits ``(B, 1)``."""
        return {"logits": {0: "batch"}}
