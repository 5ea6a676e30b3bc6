"""The student as a PyTorch module: a few BERT layers and a linear head over the pooled depths.

The head reads the last layer, or every depth (embedding output and each layer): the early depths keep the
meaning of words, the late ones that of the sentence. A linear head commutes with the mean, so it costs one
product per text, not one per token. A teacher at full depth may read its first token instead of the mean.

The last layers may run **pooled**: one query per text instead of one per token. The first of them queries
with the mean of the states below it, each further one with the output of the one before, and all read
the same states, those of the last layer that runs on tokens. With ``q_h`` the query of head ``h`` and ``x_j``
the states, ``score_j = x_j · (W_K,h q_h)`` and ``output_h = W_V,h Σ_j a_j x_j``, so that keys and values are
never formed for a token, and the feed-forward part runs once a text: such a layer costs next to nothing.
Funnel-Transformer (arXiv 2006.03236) pools queries in the same way; Perceiver (arXiv 2103.03206) also queries
the same states repeatedly.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertConfig, BertModel

from ce2de_os.arrays import pad_ids, token_batches
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.reading import check_plain, read_object

Readout = Literal["all", "last"]
Pooling = Literal["mean", "cls"]
Ids = Sequence[Sequence[int]]
"""Token ids of texts, special tokens included, not padded."""

LENGTH_STEP = 8
"""Lengths are padded to a multiple of this: PyTorch builds its CPU kernels anew for every shape."""

WEIGHTS_FILE, STUDENT_FILE, TOKENIZER_FILE = "model.safetensors", "student.json", "tokenizer.json"
HEAD_FOLDER = "2_Dense"  # where sentence-transformers looks for a linear layer after the pooling


class StudentModel(torch.nn.Module):
    """Token ids to L2-normalized embeddings.

    Args:
        body: a BERT without pooler; all its layers are used.
        dim: length ``D`` of one embedding.
        readout: the depths that the head reads, ``"all"`` or ``"last"``.
        pooled: number of last layers that run with one query per text.
        pooling: what a text's states become: their ``"mean"``, or ``"cls"``, that of the first token.
    """

    def __init__(
        self, body: BertModel, dim: int, readout: Readout = "all", *, pooled: int = 0,
        pooling: Pooling = "mean",
    ) -> None:  # fmt: skip
        super().__init__()
        self.body = body
        self.dim = dim
        self.readout: Readout = readout
        self.pooled = pooled
        self.pooling: Pooling = pooling
        depths = body.config.num_hidden_layers + 1 if readout == "all" else 1
        self.head = torch.nn.Linear(depths * body.config.hidden_size, dim)
        for layer in self._layers()[
            1
        ]:  # unused, see `pooled_layer`: several processes would wait for its gradient
            layer.attention.self.key.bias.requires_grad_(False)

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the weights."""
        return self.head.weight.dtype

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Compute the pooled depths that the head reads, concatenated: ``(B, depths * H)`` float32."""
        states = self._states(input_ids, attention_mask)
        pooled = [self._pool(state.float(), attention_mask) for state in states]
        for layer in self._layers()[1]:
            pooled.append(pooled_layer(layer, states[-1], pooled[-1], attention_mask).float())
        return torch.cat(pooled if self.readout == "all" else pooled[-1:], dim=1)

    def _pool(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        return states[:, 0] if self.pooling == "cls" else mean_pool(states, attention_mask)

    def token_vectors(
        self, input_ids: Tensor, attention_mask: Tensor, head: torch.nn.Linear | None = None
    ) -> Tensor:
        """Apply a head to every token instead of their mean: ``(B, L, D)``, not normalized.

        ``head`` ``None`` means the student's own. It is linear, so the mean of a text's token vectors is its
        embedding before normalization.

        Raises:
            ConfigError: the last layers are pooled, so that they have no states of single tokens; or the
                embedding is that of the first token, not a mean.
        """
        if self.pooling != "mean":
            raise ConfigError(
                "this student embeds a text by its first token, so its other tokens have no vectors; export "
                "it without `token_vectors`"
            )
        if self.pooled:
            raise ConfigError(
                "this student's last layers are pooled, so they have no vectors of single tokens; "
                "export it without `token_vectors`, or distill a student with student.pooled = 0"
            )
        states = self._states(input_ids, attention_mask)
        read = torch.cat(states if self.readout == "all" else states[-1:], dim=2)
        vectors: Tensor = (head or self.head)(read)
        return vectors.float()

    def _states(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        """Compute the depths that have states of single tokens, ``(B, L, H)`` each."""
        states = [self.body.embeddings(input_ids=input_ids)]
        masked = attention_mask[:, None, None, :] == 0
        hidden = masked.to(self.dtype) * torch.finfo(self.dtype).min
        for layer in self._layers()[0]:
            found = layer(states[-1], attention_mask=hidden)
            states.append(found if isinstance(found, Tensor) else found[0])  # transformers 4 gives a tuple
        return states

    def _layers(self) -> tuple[list[Any], list[Any]]:
        """Split the layers into those that run on tokens and those that run once per text."""
        layers = list(self.body.encoder.layer)
        on_tokens = len(layers) - self.pooled
        return layers[:on_tokens], layers[on_tokens:]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embed ``(B, L)`` int64 ids and mask (1 token, 0 padding) to ``(B, D)``, rows of length 1."""
        embeddings = self.head(self.features(input_ids, attention_mask))
        return torch.nn.functional.normalize(embeddings.float(), dim=1)

    def save(self, folder: Path) -> None:
        """Write the body as a plain Hugging Face model, the head, and ``student.json`` into ``folder``."""
        (folder / HEAD_FOLDER).mkdir(parents=True, exist_ok=True)
        self.body.save_pretrained(folder)
        weights = {f"linear.{name}": tensor for name, tensor in self.head.state_dict().items()}
        save_file(weights, folder / HEAD_FOLDER / WEIGHTS_FILE)
        settings = {
            "dim": self.dim, "readout": self.readout, "pooled": self.pooled, "pooling": self.pooling
        }  # fmt: skip
        (folder / STUDENT_FILE).write_text(json.dumps(settings) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> StudentModel:
        """Read a folder written by `save`.

        Raises:
            DataError: the folder does not hold a complete student.
        """
        try:
            settings = read_object(folder / STUDENT_FILE)
            # Training goes on from here too, and the eager attention's backward pass is the fast one on CPUs.
            config = BertConfig.from_pretrained(folder, attn_implementation="eager")
            body = BertModel(config, add_pooling_layer=False)
            for name in (Path(WEIGHTS_FILE), Path(HEAD_FOLDER, WEIGHTS_FILE)):
                check_plain(folder / name)
            body.load_state_dict(load_file(folder / WEIGHTS_FILE))
            student = cls(
                body, settings["dim"], settings["readout"], pooled=int(settings["pooled"]),
                pooling=settings.get("pooling", "mean"),
            )  # fmt: skip
            head = load_file(folder / HEAD_FOLDER / WEIGHTS_FILE)
            student.head.load_state_dict(
                {name.removeprefix("linear."): tensor for name, tensor in head.items()}
            )
        except (DataError, OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{folder}: not a student ({reason}); pass a folder that 'ce2de distill' has finished"
            ) from error
        return student.eval()


def mean_pool(states: Tensor, attention_mask: Tensor) -> Tensor:
    """Average ``(B, L, H)`` over the tokens whose mask is 1, to ``(B, H)``."""
    weights = attention_mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def pooled_layer(
    layer: Any,  # noqa: ANN401 - transformers has no types
    states: Tensor,
    query: Tensor,
    attention_mask: Tensor,
) -> Tensor:
    """Run a BERT layer with one query per text: ``(B, L, H)`` states and ``(B, H)`` queries to ``(B, H)``.

    The query is the residual too. The bias of the keys adds the same to all scores of a text and cancels in
    the softmax; that of the values is added once, because the attention sums to 1 (with dropout, on average).
    """
    own, width = layer.attention.self, states.shape[-1]
    heads, size = own.num_attention_heads, own.attention_head_size
    asked = (own.query(query) / size**0.5).view(-1, heads, 1, size)
    asked = (asked @ own.key.weight.view(heads, size, width)).squeeze(2)
    scores = asked @ states.transpose(1, 2)
    scores = scores.masked_fill(attention_mask[:, None, :] == 0, torch.finfo(scores.dtype).min)
    seen = own.dropout(torch.softmax(scores.float(), dim=-1).to(states.dtype)) @ states
    values = seen.unsqueeze(2) @ own.value.weight.view(heads, size, width).transpose(1, 2)
    context = values.reshape(-1, width) + own.value.bias
    attended = layer.attention.output(context, query)
    result: Tensor = layer.output(layer.intermediate(attended), attended)
    return result


def padded_length(tokens: int) -> int:
    """Round ``tokens`` up to a multiple of `LENGTH_STEP`."""
    return -(-tokens // LENGTH_STEP) * LENGTH_STEP


def pad(ids: Ids) -> tuple[Tensor, Tensor]:
    """Right-pad to ``(B, L)`` int64 ids and mask, ``L`` a multiple of `LENGTH_STEP`."""
    input_ids, attention_mask = pad_ids(ids, LENGTH_STEP)
    return torch.from_numpy(input_ids), torch.from_numpy(attention_mask)


def embed_sorted(
    embed: Callable[[Tensor, Tensor], Tensor], ids: Ids, batch_tokens: int, device: torch.device | None = None
) -> NDArray[np.float32]:
    """Apply ``embed`` to the texts in length-sorted batches; return ``(len(ids), D)`` in the given order.

    ``device`` ``None`` means the CPU.
    """
    return np.stack(rows_sorted(embed, ids, batch_tokens, device))


def rows_sorted(
    embed: Callable[[Tensor, Tensor], Tensor], ids: Ids, batch_tokens: int, device: torch.device | None = None
) -> list[NDArray[np.float32]]:
    """Run like `embed_sorted`, for rows of several shapes; rows per token include padding."""
    rows: dict[int, NDArray[np.float32]] = {}
    with torch.inference_mode():
        for batch in token_batches([padded_length(len(row)) for row in ids], batch_tokens):
            inputs = [tensor.to(device) for tensor in pad([ids[position] for position in batch])]
            rows.update(zip(batch, embed(*inputs).cpu().numpy(), strict=True))
    return [rows[position] for position in range(len(ids))]
