"""Convert a request to the settings of the training, and back to a complete request."""

from __future__ import annotations

from dataclasses import replace

from ce2de_os.distill.config import DistillConfig
from ce2de_os.recipes.distill_request import DistillRequest

TEXT_LOSSES = {"l2": 1.0}
RANKING_LOSSES = {"l2": 1.0, "kl": 0.2}


def config_of(request: DistillRequest) -> DistillConfig:
    """Build the settings of the training.

    Raises:
        ConfigError: a value is out of its range, or contradicts another one.
    """
    teacher, training = request.teacher, request.training
    default = RANKING_LOSSES if request.rankings.has_queries else TEXT_LOSSES
    shared = vars(request.student) | vars(training)  # the config has the fields of both tables
    shared["losses"] = default if training.losses is None else training.losses
    return DistillConfig(
        **shared,
        teacher=teacher.model,
        query_prefix=teacher.query_prefix,
        document_prefix=teacher.document_prefix,
        teacher_query_prefix=teacher.teacher_query_prefix,
        cross_encoder=next(iter(request.rankings.cross_encoders), None),
        unique_tokens=request.texts.unique_tokens,
        candidates=request.rankings.compared_candidates,
        languages=request.languages.languages,
        mixing=request.languages.mixing,
    )


def completed(request: DistillRequest, config: DistillConfig) -> DistillRequest:
    """Fill in the values found during the run: the losses, and the prefixes of a teacher's folder."""
    teacher = replace(
        request.teacher,
        query_prefix=config.query_prefix,
        document_prefix=config.document_prefix,
        teacher_query_prefix=config.teacher_query_prefix,
    )
    return replace(request, teacher=teacher, training=replace(request.training, losses=config.losses))
