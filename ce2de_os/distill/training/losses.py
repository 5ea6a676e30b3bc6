"""Losses of the trainings: pure functions on tensors.

The distillation has two kinds. *Text* losses compare the student's and the dual encoder's embeddings of the
same texts, ``(B, D)`` with rows of length 1, and need no labels. *Ranking* losses compare the student's
similarities of queries to candidate documents with a cross-encoder's scores, or a label. A run minimizes a
weighted sum. `softmax_loss` and `bce_loss` train a cross-encoder.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SIMILARITY_TEMPERATURE = 0.1


def l2(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the mean Euclidean distance ``|s - t|``, not squared, so that hard texts weigh less.

    The objective of LEAF (arXiv 2509.12539).
    """
    distances: Tensor = torch.linalg.vector_norm(student - teacher, dim=1)
    return distances.mean()


def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the mean ``1 - s·t``, half the squared distance of unit vectors (NanoVDR, arXiv 2603.12824)."""
    return (1.0 - (student * teacher).sum(dim=1)).mean()


def similarity(student: Tensor, teacher: Tensor, temperature: float = SIMILARITY_TEMPERATURE) -> Tensor:
    """Compute the KL divergence of each text's distribution of similarities to the batch's other texts.

    ``p_ij = softmax_j(t_i·t_j / temperature)`` without ``j = i``, ``q`` the same of the student, and
    ``mean_i sum_j p_ij log(p_ij / q_ij)``, as in EmbedDistill (arXiv 2301.12005); 0 for fewer than
    three texts.
    """
    if len(student) < 3:
        return student.sum() * 0.0
    log_p = torch.log_softmax(_similarities(teacher) / temperature, dim=1)
    log_q = torch.log_softmax(_similarities(student) / temperature, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


def contrastive(queries: Tensor, documents: Tensor, temperature: float, rows: Tensor | None = None) -> Tensor:
    """Compute the cross-entropy of each query's positive among all candidates of the batch.

    ``queries`` ``(B, D)`` and ``documents`` ``(B, N, D)`` have rows of length 1; a query's positive is its
    first candidate. The hard-label objective of DPR (arXiv 2004.04906) with similarities divided by
    ``temperature``. ``rows`` ``(B, N)``: which document each candidate is: the positive itself, in
    another set or another language, is no negative. ``None`` means that all are different ones.
    """
    size, candidates = documents.shape[:2]
    scores = queries @ documents.flatten(0, 1).T / temperature
    positives = torch.arange(size, device=scores.device) * candidates
    if rows is not None:
        again = rows[:, :1] == rows.flatten()
        again[torch.arange(size, device=scores.device), positives] = False
        scores = scores.masked_fill(again, -torch.inf)
    return torch.nn.functional.cross_entropy(scores, positives)


def margin_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the mean squared error of the margins between the first candidate and each other one.

    Both are scores ``(B, N)``: ``mean((s_0 - s_j) - (t_0 - t_j))²``. MarginMSE (arXiv 2010.02666).
    """
    margins = (student[:, :1] - student[:, 1:]) - (teacher[:, :1] - teacher[:, 1:])
    return margins.square().mean()


def kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Compute the KL divergence from the teacher's to the student's distribution over candidates.

    Both are scores ``(B, N)``; ``T² mean_i sum_j p_ij log(p_ij / q_ij)`` with ``p = softmax(teacher / T)``
    and ``q = softmax(student / T)``. The objective of Translate-Distill (arXiv 2401.04810), with the
    temperature of Hinton et al. (arXiv 1503.02531).
    """
    log_p = torch.log_softmax(teacher / temperature, dim=1)
    log_q = torch.log_softmax(student / temperature, dim=1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


TEXT_LOSSES = {"l2": l2, "cosine": cosine, "similarity": similarity}
RANKING_LOSSES = ("contrastive", "margin-mse", "kl")


def text_loss(weights: Mapping[str, float], student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the weighted sum of the text losses in ``weights``; other losses are ignored."""
    terms = [weights[name] * loss(student, teacher) for name, loss in TEXT_LOSSES.items() if name in weights]
    return torch.stack(terms).sum()


def ranking_loss(
    weights: Mapping[str, float],
    queries: Tensor,
    documents: Tensor,
    teacher: Tensor,
    temperature: float,
    rows: Tensor | None = None,
) -> Tensor:
    """Compute the weighted sum of the ranking losses in ``weights``; other losses are ignored.

    ``queries`` ``(B, D)`` and ``documents`` ``(B, N, D)`` have rows of length 1, ``teacher`` ``(B, N)`` holds
    logits. The student's score of a candidate is its cosine divided by ``temperature``, which brings it to
    the range of logits. ``rows`` are for `contrastive`.
    """
    student = torch.einsum("bd,bnd->bn", queries, documents) / temperature
    terms = []
    if "contrastive" in weights:
        terms.append(weights["contrastive"] * contrastive(queries, documents, temperature, rows))
    if "margin-mse" in weights:
        terms.append(weights["margin-mse"] * margin_mse(student, teacher))
    if "kl" in weights:
        terms.append(weights["kl"] * kl(student, teacher))
    return torch.stack(terms).sum()


def softmax_loss(logits: Tensor) -> Tensor:
    """Compute the mean of ``-log softmax(logits)[0]``; ``(B, 1 + N)``, the positive in column 0."""
    return -torch.log_softmax(logits, dim=1)[:, 0].mean()


def bce_loss(logits: Tensor) -> Tensor:
    """Compute the mean binary cross-entropy of pairs; ``(B, 1 + N)``, the positive in column 0."""
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1.0
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)


def _similarities(embeddings: Tensor) -> Tensor:
    """Compute ``(B, B - 1)``: the similarity matrix without its diagonal."""
    size = len(embeddings)
    matrix = embeddings @ embeddings.T
    others = ~torch.eye(size, dtype=torch.bool, device=matrix.device)
    return matrix[others].view(size, size - 1)
