"""Compute the student in a form that exports to a fast ONNX graph.

The same function as `StudentModel.forward`, with everything precomputed that does not depend on the text: the
token type into the position table, the attention's scale into the query projection, and query, key and value
into one product. Pooling, head and normalization are in the graph: it returns ``(B, D)``, not ``(B, L, H)``,
and, if requested, the token vectors.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ce2de_os.student import StudentModel

MASKED = -1e4  # added to the attention logits of padding; far below any real logit, and safe in any format


class StudentGraph(torch.nn.Module):
    """A student in the form that is exported: ``(B, L)`` int64 ids and mask to ``(B, D)`` embeddings.

    With ``token_head``, a linear layer of ``T`` outputs that reads what the student's own head reads, it
    also gives token vectors ``(B, L, T)``, each of length 1.
    """

    def __init__(
        self, student: StudentModel, max_length: int, token_head: torch.nn.Linear | None = None
    ) -> None:
        super().__init__()
        self.config = student.body.config
        embeddings = student.body.embeddings
        positions = embeddings.position_embeddings.weight[:max_length]
        self.words = embeddings.word_embeddings
        self.positions = torch.nn.Parameter(positions + embeddings.token_type_embeddings.weight[0])
        self.norm = embeddings.LayerNorm
        layers = list(student.body.encoder.layer)
        on_tokens = len(layers) - student.pooled
        self.layers = torch.nn.ModuleList(TokenLayer(layer, self.config) for layer in layers[:on_tokens])
        self.pooled = torch.nn.ModuleList(PooledLayer(layer) for layer in layers[on_tokens:])
        self.readout = student.readout
        self.pooling = student.pooling
        self.head = student.head
        self.token_head = None if token_head is None else _TokenHead(token_head, self.config.hidden_size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Compute embeddings of length 1; with a token head, also the token vectors."""
        states = [self.norm(self.words(input_ids) + self.positions[: input_ids.shape[1]])]
        mask = attention_mask.to(states[0].dtype)
        hidden = (1.0 - mask)[:, None, None, :] * MASKED
        for layer in self.layers:
            states.append(layer(states[-1], hidden))
        depths = self._depths(states, mask)
        for layer in self.pooled:
            depths.append(layer(states[-1], depths[-1], hidden[:, 0]))
        pooled = torch.cat(depths, dim=1) if self.readout == "all" else depths[-1]
        embeddings = _unit(self.head(pooled))
        if self.token_head is None:
            return embeddings
        return embeddings, _unit(self.token_head(states if self.readout == "all" else states[-1:]))

    def _depths(self, states: list[Tensor], mask: Tensor) -> list[Tensor]:
        """Pool each depth, ``(B, L, H)`` to ``(B, H)``."""
        if self.pooling == "cls":
            return [state[:, 0] for state in states]
        shares = (mask / mask.sum(dim=1, keepdim=True).clamp(min=1.0))[:, None, :]
        return [(shares @ state).squeeze(1) for state in states]


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.square().sum(dim=-1, keepdim=True).sqrt().clamp(min=1e-12)


class _TokenHead(torch.nn.Module):
    """A linear layer over concatenated depths, as a sum of one product each.

    So each depth is quantized with a scale of its own, and not once more than the layer above it needs.
    """

    def __init__(self, head: torch.nn.Linear, width: int) -> None:
        super().__init__()
        weights = torch.split(head.weight.data, width, dim=1)
        self.depths = torch.nn.ModuleList(
            torch.nn.Linear(width, head.out_features, bias=place == 0) for place in range(len(weights))
        )
        for layer, weight in zip(self.depths, weights, strict=True):
            layer.weight.data = weight.contiguous()
        self.depths[0].bias.data = head.bias.data

    def forward(self, states: list[Tensor]) -> Tensor:
        first, *others = (layer(state) for layer, state in zip(self.depths, states, strict=True))
        total: Tensor = sum(others, first)
        return total


class TokenLayer(torch.nn.Module):
    """One BERT layer with query, key and value in one product."""

    def __init__(self, layer: Any, config: Any) -> None:  # noqa: ANN401 - transformers has no types
        super().__init__()
        self.heads = config.num_attention_heads
        self.size = config.hidden_size // self.heads
        scale = 1.0 / math.sqrt(self.size)
        own = layer.attention.self
        self.qkv = torch.nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.qkv.weight.data = torch.cat([own.query.weight * scale, own.key.weight, own.value.weight])
        self.qkv.bias.data = torch.cat([own.query.bias * scale, own.key.bias, own.value.bias])
        self.attention_output = layer.attention.output.dense
        self.attention_norm = layer.attention.output.LayerNorm
        self.intermediate = layer.intermediate.dense
        self.output = layer.output.dense
        self.output_norm = layer.output.LayerNorm

    def forward(self, states: Tensor, hidden: Tensor) -> Tensor:
        """Compute ``(B, L, H)`` states from those below; ``hidden`` is added to the attention's logits."""
        batch, length, width = states.shape
        parts = self.qkv(states).view(batch, length, 3, self.heads, self.size).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        weights = torch.softmax(query @ key.transpose(2, 3) + hidden, dim=-1)
        context = (weights @ value).permute(0, 2, 1, 3).reshape(batch, length, width)
        states = self.attention_norm(states + self.attention_output(context))
        inner = torch.nn.functional.gelu(self.intermediate(states))
        result: Tensor = self.output_norm(states + self.output(inner))
        return result


class PooledLayer(torch.nn.Module):
    """A BERT layer with one query a text, see `ce2de_os.student.pooled_layer`."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401 - transformers has no types
        super().__init__()
        own = layer.attention.self
        heads, size = own.num_attention_heads, own.attention_head_size
        self.heads, self.size = heads, size
        self.query = torch.nn.Linear(heads * size, heads * size)
        self.query.weight.data = own.query.weight.data / math.sqrt(size)
        self.query.bias.data = own.query.bias.data / math.sqrt(size)
        self.keys = torch.nn.Parameter(own.key.weight.data.view(heads, size, heads * size))
        self.values = torch.nn.Parameter(
            own.value.weight.data.view(heads, size, heads * size).transpose(1, 2).contiguous()
        )
        self.value_bias = torch.nn.Parameter(own.value.bias.data)
        self.attention_output = layer.attention.output.dense
        self.attention_norm = layer.attention.output.LayerNorm
        self.intermediate = layer.intermediate.dense
        self.output = layer.output.dense
        self.output_norm = layer.output.LayerNorm

    def forward(self, states: Tensor, query: Tensor, hidden: Tensor) -> Tensor:
        """Compute ``(B, H)`` from the states ``(B, L, H)`` below and each text's query state ``(B, H)``."""
        width = self.heads * self.size
        asked = (self.query(query).view(-1, self.heads, 1, self.size) @ self.keys).view(-1, self.heads, width)
        seen = torch.softmax(asked @ states.transpose(1, 2) + hidden, dim=-1) @ states
        context = (seen.unsqueeze(2) @ self.values).reshape(-1, width) + self.value_bias
        attended = self.attention_norm(query + self.attention_output(context))
        inner = torch.nn.functional.gelu(self.intermediate(attended))
        result: Tensor = self.output_norm(attended + self.output(inner))
        return result
