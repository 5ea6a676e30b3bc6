"""The request for a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from ce2de_os.errors import ArtifactError
from ce2de_os.index.language_fields import LanguageSpec
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.job import MAX_BLOCK_S, Job, Mode, Way

VECTOR_FIELD = "ce2de_vector"
VectorOptions = Callable[..., VectorField]
"""Makes the vector field when its name, ``dim``, ``passages`` and ``token_dim`` are known."""


class Model(Protocol):
    """The part of a model that a job needs; an `Artifact` is one, an encoder too."""

    @property
    def fingerprint(self) -> str:
        """Names the model, 64 hexadecimal digits."""

    @property
    def space(self) -> str:
        """Names the vector space."""

    @property
    def dim(self) -> int:
        """Length of one vector."""

    @property
    def token_dim(self) -> int | None:
        """Length of one token vector; ``None``: the model gives none."""

    @property
    def name(self) -> str:
        """Name of the model, for people."""


@dataclass(frozen=True)
class JobRequest:
    """What to reindex.

    Attributes:
        source: an index, an alias, a data stream or a pattern.
        text: the text to embed.
        alias: will point to the targets; applications search this name. ``None``: only possible in place.
        target: the new index; ``None`` means ``<source>-ce2de-<fingerprint>``.
        mode: ``copy``, ``in_place``, or ``auto``: in place where every index has ``index.knn`` already.
        vector: makes the vector field.
        languages: the languages whose documents' text gets the analyzer of its language; ``None``: none.
        hold: wait for ``ce2de reindex cutover`` before the alias moves.
        pipeline: ingest pipeline for the written documents; ``None``: none.
        docs_per_s: most documents per second; ``None``: no limit.
        accept_rejected: move the alias even if documents were rejected.
        token_vectors: store every token's vector too, for late interaction.
        accept_excluded_fields: copy even if ``_source`` excludes fields; the copy will lack them.
        way: ``mirror`` or ``handover``; ``auto``: a handover if the alias points to the source already.
        block: block writes for the last step of a handover; ``max_block_s``: for how long at most.
        follow: let a standing job keep the vectors up to date afterwards.
        accept_unreplicated: move the alias even if the target's replicas are not ready.
    """

    source: str
    text: TextSpec
    alias: str | None = None
    target: str | None = None
    mode: Mode | Literal["auto"] = "auto"
    vector: VectorOptions = VectorField
    languages: LanguageSpec | None = None
    hold: bool = False
    pipeline: str | None = None
    docs_per_s: float | None = None
    accept_rejected: bool = False
    token_vectors: bool = False
    accept_excluded_fields: bool = False
    way: Way | Literal["auto"] = "auto"
    block: bool = True
    max_block_s: float = MAX_BLOCK_S
    follow: bool = True
    accept_unreplicated: bool = False


def token_dim_of(model: Model) -> int:
    """Return the length of the model's token vectors.

    Raises:
        ArtifactError: the model gives none.
    """
    if model.token_dim is None:
        raise ArtifactError(
            f"model {model.name} gives no token vectors; export the student again with `token_vectors`, and "
            "pass it in `artifact` or CE2DE_ARTIFACT"
        )
    return model.token_dim


@dataclass(frozen=True)
class JobModel:
    """A job's model, as its record describes it."""

    fingerprint: str
    space: str
    dim: int
    token_dim: int | None
    name: str


def model_of(job: Job) -> JobModel:
    """Return what a job's record contains about its model."""
    return JobModel(job.fingerprint, job.space, job.vector.dim, job.vector.token_dim, job.model)
