"""Initialize a student: layers copied from an encoder, and a head solved in closed form."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BertModel

from ce2de_os.distill.models.teacher import embed_ids
from ce2de_os.errors import ConfigError
from ce2de_os.progress import Phase
from ce2de_os.student import Ids, Pooling, Readout, StudentModel

RIDGE = 1e-3
"""Ridge penalty as a share of the features' mean variance."""

Layers = Sequence[int | None]
"""The source's layer for each layer of the student, from the first to the last; ``None`` is random."""


def cut_student(
    source: BertModel,
    layers: Layers,
    *,
    dim: int,
    readout: Readout = "last",
    pooled: int = 0,
    pooling: Pooling = "mean",
    copy_embeddings: bool = True,
) -> StudentModel:
    """Create a student with the source's embeddings and the given layers; its head is the identity.

    With a cross-encoder as source and layers ``(0, None)`` this is DE-2 CE (arXiv 2502.03552). First and
    last layer of a dual encoder keep more than any two neighbors (arXiv 2306.11550). Random weights come
    from PyTorch's generator. If ``dim`` is not the source's width, the head is random.

    Raises:
        ConfigError: the source has no such layer.
    """
    count = source.config.num_hidden_layers
    wrong = [layer for layer in layers if layer is not None and not 0 <= layer < count]
    if wrong:
        raise ConfigError(
            f"layers: got {','.join(map(str, wrong))}, expected numbers from 0 to {count - 1} or 'new': "
            f"the source has {count} layers"
        )
    config = copy.deepcopy(source.config)
    config.num_hidden_layers = len(layers)
    config._attn_implementation = "eager"  # a copy loses it
    student = StudentModel(
        BertModel(config, add_pooling_layer=False), dim, readout, pooled=pooled, pooling=pooling
    )
    if copy_embeddings:
        student.body.embeddings.load_state_dict(source.embeddings.state_dict())
    for own, layer in zip(student.body.encoder.layer, layers, strict=True):
        if layer is not None:
            own.load_state_dict(source.encoder.layer[layer].state_dict())
    width = config.hidden_size
    if dim == width:
        with torch.no_grad():
            student.head.weight.zero_()
            student.head.weight[:, -width:] = torch.eye(width)
            student.head.bias.zero_()
    return student


def solve_head(
    student: StudentModel,
    ids: Ids,
    targets: NDArray[np.float32],
    precision: str,
    phase: Phase = lambda name, done, total: None,
) -> None:
    """Set the head to the ridge solution that maps the frozen body's features to the teacher's embeddings.

    ``phase`` receives the progress over the texts.
    """
    done = 0

    def features(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        nonlocal done
        phase("head", done, len(ids))
        done += len(input_ids)
        return student.features(input_ids, attention_mask)

    student.eval()
    weight, bias = ridge(embed_ids(features, ids, precision), targets)
    phase("head", len(ids), len(ids))
    with torch.no_grad():
        student.head.weight.copy_(torch.from_numpy(weight))
        student.head.bias.copy_(torch.from_numpy(bias))


def ridge(
    features: NDArray[np.float32], targets: NDArray[np.float32], penalty: float = RIDGE
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute weight ``(D, F)`` and bias ``(D,)`` that minimize ``|W x + b - y|² + λ|W|²``.

    ``x`` runs over the rows of ``features`` ``(N, F)``, ``y`` over those of ``targets`` ``(N, D)``; ``λ`` is
    ``penalty`` times ``N`` times the mean variance of a feature. The bias is not penalized.
    """
    x, y = features.astype(np.float64), targets.astype(np.float64)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    x, y = x - x_mean, y - y_mean
    gram = x.T @ x
    gram[np.diag_indices_from(gram)] += penalty * np.trace(gram) / len(gram)
    weight = np.linalg.solve(gram, x.T @ y).T
    return weight.astype(np.float32), (y_mean - weight @ x_mean).astype(np.float32)


def average(student: StudentModel, start: StudentModel, share: float) -> None:
    """Replace the student's weights by ``share`` parts of ``start``'s and ``1 - share`` of its own."""
    known = start.state_dict()
    with torch.no_grad():
        for name, trained in student.state_dict().items():
            if trained.is_floating_point():
                trained.lerp_(known[name].to(trained), share)
