"""The student before its first step: layers copied from the teacher, and a head solved in closed form."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ce2de_os.distill.teacher import Teacher, embed_ids
from ce2de_os.errors import ConfigError
from ce2de_os.student import Ids, Readout, StudentModel

RIDGE = 1e-3
"""Ridge penalty as a share of the features' mean variance."""


def copy_layers(teacher: Teacher, layers: Sequence[int], readout: Readout) -> StudentModel:
    """A student with the teacher's embeddings and the given layers, in that order; its head is random.

    First and last layer together keep more than any two neighbours (arXiv 2306.11550).

    Raises:
        ConfigError: the teacher has no such layer.
    """
    count = teacher.model.config.num_hidden_layers
    wrong = [layer for layer in layers if not 0 <= layer < count]
    if wrong:
        raise ConfigError(
            f"layers: got {','.join(map(str, layers))}, expected numbers from 0 to {count - 1}: "
            f"'{teacher.name}' has {count} layers"
        )
    body = copy.deepcopy(teacher.model)
    body.encoder.layer = torch.nn.ModuleList(copy.deepcopy(body.encoder.layer[layer]) for layer in layers)
    body.config.num_hidden_layers = len(layers)
    # The teacher's embeddings are deterministic, so noise in the student could only be wrong.
    body.config.hidden_dropout_prob = body.config.attention_probs_dropout_prob = 0.0
    body.config._attn_implementation = "eager"  # its backward pass is 1.7 times as fast as SDPA's on CPUs
    student = StudentModel(type(body)(body.config, add_pooling_layer=False), teacher.dim, readout)
    student.body.load_state_dict(body.state_dict())
    return student


def solve_head(student: StudentModel, ids: Ids, targets: NDArray[np.float32], precision: str) -> None:
    """Set the head to the ridge solution that maps the frozen body's features to the teacher's embeddings."""
    student.eval()
    features = embed_ids(student.features, ids, precision)
    weight, bias = ridge(features, targets)
    with torch.no_grad():
        student.head.weight.copy_(torch.from_numpy(weight))
        student.head.bias.copy_(torch.from_numpy(bias))


def ridge(
    features: NDArray[np.float32], targets: NDArray[np.float32], penalty: float = RIDGE
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight ``(D, F)`` and bias ``(D,)`` that minimise ``|W x + b - y|² + λ|W|²``.

    ``x`` runs over the rows of ``features`` ``(N, F)``, ``y`` over those of ``targets`` ``(N, D)``; ``λ`` is
    ``penalty`` times ``N`` times the mean variance of a feature. The bias is not penalised.
    """
    x, y = features.astype(np.float64), targets.astype(np.float64)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    x, y = x - x_mean, y - y_mean
    gram = x.T @ x
    gram[np.diag_indices_from(gram)] += penalty * np.trace(gram) / len(gram)
    weight = np.linalg.solve(gram, x.T @ y).T
    return weight.astype(np.float32), (y_mean - weight @ x_mean).astype(np.float32)
