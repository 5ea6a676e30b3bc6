"""Array types, the shape letters used in every docstring, and the few array functions shared by all verbs.

``B`` batch, ``L`` tokens, ``H`` hidden, ``D`` dim, ``T`` dim of a token vector, ``N`` candidates per query,
``K`` results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ce2de_os.writing import saving

Embeddings = NDArray[np.float32]
"""``(B, D)`` float32, one L2-normalized embedding per row."""

TokenVectors = NDArray[np.float32]
"""``(L, T)`` float32, one L2-normalized vector per token of a text, special tokens left out."""

TokenIds = NDArray[np.int64]
"""``(B, L)`` int64, padded on the right."""


def l2_normalize(vectors: NDArray[np.float32]) -> Embeddings:
    """Divide each row of ``(B, D)`` by its Euclidean length; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)


def cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the row-wise cosine of two ``(B, D)`` arrays, shape ``(B,)``."""
    return np.asarray(np.sum(l2_normalize(left) * l2_normalize(right), axis=1), dtype=np.float32)


def read_array(path: Path) -> NDArray[Any] | None:
    """Read the array in a ``.npy`` file; ``None``: it is absent, or damaged, as a full disk leaves it."""
    if not path.is_file():
        return None
    try:
        # Mapped first: a header that promises more numbers than the file has would allocate them all.
        return np.array(np.lib.format.open_memmap(path, mode="r"))
    except (OSError, ValueError, EOFError):
        return None


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write a ``.npy`` file, whole or not at all; its folder is made where it is absent.

    Raises:
        DataError: it cannot be written.
    """
    partial = path.with_suffix(".partial.npy")
    with saving(path, partial):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(partial, array)
        partial.replace(path)


def pad_ids(ids: Sequence[Sequence[int]], step: int = 1) -> tuple[TokenIds, TokenIds]:
    """Right-pad token ids with 0 to ``(B, L)``, ``L`` a multiple of ``step``; return them and their mask.

    The mask is 1 for a token and 0 for padding.
    """
    longest = max(len(row) for row in ids)
    shape = (len(ids), -(-longest // step) * step)
    input_ids, attention_mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for index, row in enumerate(ids):
        input_ids[index, : len(row)] = row
        attention_mask[index, : len(row)] = 1
    return input_ids, attention_mask


def token_batches(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Group texts of similar length so that padding is rare and memory is bounded.

    Yield lists of positions into ``lengths``, longest texts first. A batch holds at most ``max_tokens``
    tokens counted with padding (its size times its longest text), but always at least one text.
    """
    order = sorted(range(len(lengths)), key=lambda position: lengths[position], reverse=True)
    batch: list[int] = []
    for position in order:
        if batch and (len(batch) + 1) * lengths[batch[0]] > max_tokens:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch
