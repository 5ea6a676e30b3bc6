"""The settings of a distillation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ce2de_os.config import MOST_THREADS
from ce2de_os.distill.data.languages import MIXINGS, Languages, Mixing
from ce2de_os.distill.data.prefixes import Prefixes
from ce2de_os.distill.tables import (
    DEFAULT_TEACHER,
    LanguagesTable,
    RankingsTable,
    StudentTable,
    TextsTable,
    TrainingTable,
)
from ce2de_os.errors import ConfigError

TEXT_LOSSES, RANKING_LOSSES = ("l2", "cosine", "similarity"), ("contrastive", "margin-mse", "kl")

SHAPE = ("init", "layers", "pooled", "readout")
"""The settings that define how a student is cut."""

OPTIONAL = ("teacher_query_prefix", "start_share")
"""The settings that `DistillConfig.plain` leaves out where they change nothing: older recipes lack them."""


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
    if not 0 <= threads <= MOST_THREADS:
        raise ConfigError(f"threads: got {threads}, expected 0 (all cores) or more, at most {MOST_THREADS:,}")
    if not 0 <= seed < 2**32:
        raise ConfigError(f"seed: got {seed}, expected 0 to {2**32 - 1}")


@dataclass(frozen=True)
class DistillConfig(StudentTable, TrainingTable):
    """How a student is made: the settings of two tables of a recipe, and those of others that count here.

    Attributes:
        losses: weight of each loss in the sum that training minimizes, see `training.losses`.
        teacher: a dual encoder, whose embeddings are the targets of the text losses; see `TeacherTable`.
        query_prefix: text that teacher and student expect before a query.
        document_prefix: text before a document.
        teacher_query_prefix: text that only the teacher reads before a query; ``None`` for ``query_prefix``.
        cross_encoder: hub id or folder of a cross-encoder; ``None`` for none.
        unique_tokens: tokens of passages taken from the texts; the teacher reads each once.
        candidates: documents a query is compared with at a time, drawn anew from all of its candidates.
        languages: languages of the queries and documents that selector, cross-encoder and student read.
        mixing: how a batch mixes the languages of the student's documents, see `training.mixing`.
    """

    losses: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({"l2": 1.0}))
    teacher: str = DEFAULT_TEACHER
    query_prefix: str = ""
    document_prefix: str = ""
    teacher_query_prefix: str | None = None
    cross_encoder: str | None = None
    unique_tokens: int = TextsTable.unique_tokens
    candidates: int = RankingsTable.compared_candidates
    languages: Languages = field(default_factory=Languages)
    mixing: Mixing = LanguagesTable.mixing

    def __post_init__(self) -> None:
        for name in (
            "temperature", "unique_tokens", "max_length", "batch_tokens", "batch_texts",
            "batch_queries", "accumulate", "lr",
        ):  # fmt: skip
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected a number above 0")
        for name in ("warmup", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected a share from 0 to 1")
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
        self._check_start_share()
        given = [name for name in SHAPE if getattr(self, name) != getattr(StudentTable, name)]
        if self.start and given:
            raise ConfigError(
                f"{given[0]}: got {getattr(self, given[0])} and start, expected one of them: the student "
                "there keeps its layers and readout"
            )
        if self.init == "ce" and self.cross_encoder is None:
            raise ConfigError(
                "init: 'ce' copies a cross-encoder's layers, and there is none; set cross_encoder"
            )

    def _check_start_share(self) -> None:
        if not 0 <= self.start_share < 1:
            raise ConfigError(f"start_share: got {self.start_share}, expected a share from 0 to below 1")
        changes = self.extend_vocabulary is not None or self.trim_vocabulary is not None
        if self.start_share and (self.start is None or changes):
            raise ConfigError(
                f"start_share: got {self.start_share}, expected 0 without `start` and where the vocabulary "
                "changes: only two students with the same tokens can be averaged"
            )

    def plain(self) -> dict[str, Any]:
        """Return the settings as lists, dicts and numbers, as JSON and checkpoints hold them.

        If the student continues from another one, the settings that the other one decides are left out.
        """
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("query_prefix", "document_prefix", "new_language_texts"):
            del values[name]
        if self.teacher_query_prefix is None:  # recipes that knew of none have no such key
            del values["teacher_query_prefix"]
        if not self.start_share:
            del values["start_share"]
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
