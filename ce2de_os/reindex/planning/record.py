"""A plan as data: the request, the findings, the cost of the job, and the reasons against it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.planning import survey
from ce2de_os.reindex.planning.capacity import MemoryRow, ShardLoad
from ce2de_os.reindex.planning.query_model import QueryModel
from ce2de_os.reindex.planning.sample import Sample
from ce2de_os.reindex.planning.survey import Cluster, SourceIndex
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.finding import Finding

COPY, IN_PLACE = "copy", "in_place"


@dataclass(frozen=True)
class PlanRequest:
    """A request for a plan.

    Attributes:
        job: what `start` would be asked for.
        field: the field that takes the vectors, of the model's dimensions.
        within_s: time in which the job is wanted; ``None``: no wish.
        workers: how many workers there will be; ``None``: as many as ``within_s`` needs, else one.
        sample: how many documents to draw.
    """

    job: JobRequest
    field: VectorField
    within_s: float | None = None
    workers: int | None = None
    sample: int = 500

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON values."""
        job, asked = self.job, asdict(self)
        return {
            "source": job.source,
            "text_fields": list(job.text.fields),
            **{name: asked["job"][name] for name in ("mode", "languages", "alias", "target", "pipeline")},
            **{name: asked[name] for name in ("field", "within_s", "workers", "sample")},
        }


@dataclass(frozen=True)
class PlannedModel:
    """The model that would embed: its name, its fingerprint, dimensions, and tokens read of a text."""

    name: str
    fingerprint: str
    dim: int
    max_length: int


@dataclass(frozen=True)
class Disk:
    """Disk that the job adds on all nodes, replicas included: documents, vectors, and headroom for merges.

    ``texts_bytes`` is what the fields for the languages take: the embedded text's share of the documents once
    more. That is on the safe side: Debian's package descriptions took less than half of it, for the same text
    twice in one document compresses well.

    ``rooms`` says how much each data node can still take before it reaches ``watermark``, which is ``None``
    where none is enforced; ``unplaced`` is the number of shard copies that find no room, ``None`` if
    the nodes could not be seen.
    """

    documents_bytes: float
    vectors_bytes: float
    texts_bytes: float
    headroom_bytes: float
    needed_bytes: float
    watermark: str | None
    rooms: dict[str, float]
    unplaced: int | None


@dataclass(frozen=True)
class Memory:
    """Memory for the chosen engine and ``option``, a compression level or ``byte``.

    ``rooms`` says how much each data node can still take: for faiss below the k-NN breaker's ``limit``, for
    Lucene, which has no such limit (``None``), in the system's file cache. ``unplaced`` is the number of
    shard copies whose vectors find no room, ``None`` if the nodes could not be seen.
    """

    option: str
    needed_bytes: float
    limit: str | None
    rooms: dict[str, float]
    unplaced: int | None


@dataclass(frozen=True)
class Shards:
    """Primary shards of all indices together, at the end of the job, and the advised number."""

    shards: int
    primaries_bytes: float
    largest_shard_bytes: float
    most_documents: int
    fewest: int
    most: int
    slices: int


@dataclass(frozen=True)
class Time:
    """Time for encoding; writing is not measured. ``seconds`` is ``None`` without a measured rate."""

    workers: int
    seconds: float | None
    within_s: float | None
    docs_per_s: float | None


@dataclass(frozen=True)
class Plan:
    """The whole output of ``ce2de plan``; ``meaning`` says what the job changes for applications.

    ``query_model`` is ``None`` if one model embeds documents and queries, or no document has text.
    """

    request: PlanRequest
    mode: str
    mode_reason: str
    model: PlannedModel
    indices: tuple[SourceIndex, ...]
    missing_fields: tuple[str, ...]
    documents: int
    vectors: float
    tokens: float
    sample: Sample
    memory_table: tuple[MemoryRow, ...]
    memory: Memory
    disk: Disk
    shards: Shards
    time: Time
    loads: tuple[ShardLoad, ...]
    cluster: Cluster
    meaning: str | None = None
    query_model: QueryModel | None = None
    refusals: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()

    @property
    def fits(self) -> bool:
        """Return whether nothing prevents starting the job."""
        return not self.refusals

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values; the indices without their fields."""
        plan = {**asdict(self), "request": self.request.to_json()}
        for index in plan["indices"]:
            del index["fields"]
        settings = self.cluster.settings
        plan["cluster"]["settings"] = {key: settings[key] for key in survey.DEFAULTS if key in settings}
        return {"fits": self.fits, **plan}
