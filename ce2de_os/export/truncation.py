"""Shorten the embeddings of a finished student: principal axes instead of the first coordinates."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ce2de_os.arrays import Embeddings
from ce2de_os.errors import ConfigError
from ce2de_os.student import StudentModel


def truncate(student: StudentModel, embeddings: Embeddings, dim: int) -> None:
    """Change ``student`` in place to give embeddings of length ``dim``.

    Its head is rotated onto the principal axes of ``embeddings`` ``(N, D)``, its own of sample texts, and the
    first ``dim`` axes are kept. Of all linear maps to ``dim`` numbers this one keeps inner products best
    (Eckart and Young, 1936), without training for it as Matryoshka embeddings are (arXiv 2205.13147). The
    rotation is part of the head, so it costs nothing.

    Raises:
        ConfigError: ``dim`` is not between 1 and ``D``, or there are fewer texts than ``dim``.
    """
    if not 1 <= dim <= student.dim:
        raise ConfigError(
            f"dim: got {dim}, expected 1 to {student.dim}, the length of the student's embeddings"
        )
    if len(embeddings) < dim:
        raise ConfigError(
            f"dim: {dim} axes cannot be measured on {len(embeddings)} sample texts; distill with more texts"
        )
    student.head, student.dim = rotated(student.head, embeddings, dim), dim


def rotated(head: torch.nn.Linear, vectors: NDArray[np.float32], dim: int) -> torch.nn.Linear:
    """Rotate ``head`` onto the first ``dim`` principal axes of its own ``vectors`` ``(N, D)``."""
    # Not centered: the inner product must survive, not the variance.
    axes = torch.from_numpy(np.linalg.svd(vectors, full_matrices=False)[2][:dim])
    short = torch.nn.Linear(head.in_features, dim)
    with torch.no_grad():
        short.weight.copy_(axes @ head.weight)
        short.bias.copy_(axes @ head.bias)
    return short
