"""Losses between student and teacher embeddings: pure functions on ``(B, D)`` tensors of length-1 rows."""

from __future__ import annotations

import torch
from torch import Tensor

from ce2de_os.distill.config import Loss

KL_WEIGHT = 0.1
TEMPERATURE = 0.1


def l2(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean Euclidean distance ``|s - t|``, not squared, so that hard texts do not outweigh the rest.

    The objective of LEAF (arXiv 2509.12539).
    """
    distances: Tensor = torch.linalg.vector_norm(student - teacher, dim=1)
    return distances.mean()


def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean ``1 - s·t``, which is half the squared distance of unit vectors (NanoVDR, arXiv 2603.12824)."""
    return (1.0 - (student * teacher).sum(dim=1)).mean()


def similarity_kl(student: Tensor, teacher: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """KL divergence of each text's distribution of similarities to the other texts of the batch.

    ``p_ij = softmax_j(t_i·t_j / temperature)`` without ``j = i``, ``q`` the same of the student, and
    ``mean_i sum_j p_ij log(p_ij / q_ij)``, as in EmbedDistill (arXiv 2301.12005); 0 for fewer than
    three texts.
    """
    if len(student) < 3:
        return student.sum() * 0.0
    log_p = torch.log_softmax(_similarities(teacher) / temperature, dim=1)
    log_q = torch.log_softmax(_similarities(student) / temperature, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


def by_name(name: Loss, student: Tensor, teacher: Tensor) -> Tensor:
    """The loss that the configuration names."""
    if name == "cosine":
        return cosine(student, teacher)
    if name == "l2+kl":
        return l2(student, teacher) + KL_WEIGHT * similarity_kl(student, teacher)
    return l2(student, teacher)


def _similarities(embeddings: Tensor) -> Tensor:
    """``(B, B - 1)``: the similarity matrix without its diagonal."""
    size = len(embeddings)
    matrix = embeddings @ embeddings.T
    others = ~torch.eye(size, dtype=torch.bool)
    return matrix[others].view(size, size - 1)
