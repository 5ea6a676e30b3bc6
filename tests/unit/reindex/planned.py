"""Plans composed without a server, for the tests of planning."""

from __future__ import annotations

from typing import Any

from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.planning.capacity import GB
from ce2de_os.reindex.planning.plan import compose
from ce2de_os.reindex.planning.record import Plan, PlannedModel, PlanRequest
from ce2de_os.reindex.planning.sample import Sample
from ce2de_os.reindex.planning.survey import DEFAULTS, Cluster, DataNode, SourceIndex
from ce2de_os.reindex.request import JobRequest

FAISS = VectorField(384, engine="faiss")
MODEL = PlannedModel("tiny", "a" * 64, dim=384, max_length=256)


def index(name: str = "articles", **changes: Any) -> SourceIndex:
    """100 million documents of 1 kB in 10 shards with one replica, in an index without k-NN."""
    known: dict[str, Any] = {
        "documents": 10**8,
        "store_bytes": 100 * GB,
        "shards": 10,
        "replicas": 1,
        "knn": False,
        "derived_source": None,
        "blocks": (),
        "left_out": (),
        "left_behind": (),
        "fields": {"title": "text", "body": "text"},
    }
    return SourceIndex(name=name, **{**known, **changes})


def node(number: int, **changes: Any) -> DataNode:
    """1 TB of disk, 600 GB free; 132 GB of memory, 32 GB of it heap."""
    known: dict[str, Any] = {
        "disk_bytes": 1000 * GB,
        "disk_free_bytes": 600 * GB,
        "memory_bytes": 132 * GB,
        "heap_bytes": 32 * GB,
        "heap_used_bytes": 16 * GB,
        "parent_breaker_bytes": 30 * GB,
    }
    return DataNode(node_id=f"id-{number}", name=f"node-{number}", **{**known, **changes})


def cluster(*nodes: DataNode, settings: dict[str, str] | None = None, **changes: Any) -> Cluster:
    """Four such nodes with OpenSearch 3.6 and its default settings."""
    holding = nodes or tuple(node(number) for number in range(4))
    known: dict[str, Any] = {
        "version": "3.6.0",
        "open_shards": 20,
        "data_nodes": len(holding),
        "knn_installed": True,
        "unseen": (),
    }
    return Cluster(settings=DEFAULTS | (settings or {}), nodes=holding, **{**known, **changes})


def sample(**changes: Any) -> Sample:
    """Every document has text, of 100 tokens, and 200 are encoded in a second."""
    known: dict[str, Any] = {
        "documents": 500,
        "with_text": 500,
        "seed": 1,
        "mean_tokens": 100.0,
        "p50_tokens": 90,
        "p95_tokens": 200,
        "mean_encoded_tokens": 100.0,
        "cut_share": 0.01,
        "docs_per_s": 200.0,
    }
    return Sample(**{**known, **changes})


def planned(
    *indices: SourceIndex,
    around: Cluster | None = None,
    drawn: Sample | None = None,
    missing: tuple[str, ...] = (),
    field: VectorField | None = None,
    within_s: float | None = None,
    workers: int | None = None,
    **request: Any,
) -> Plan:
    """The plan for these indices, by default one `index` in a `cluster`, with Lucene uncompressed."""
    return compose(
        PlanRequest(
            JobRequest("articles", TextSpec(("title", "body")), **request),
            field or VectorField(384),
            within_s,
            workers,
        ),
        MODEL,
        indices or (index(),),
        missing,
        around or cluster(),
        drawn or sample(),
    )
