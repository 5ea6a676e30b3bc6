"""Show what a reindex takes, and whether it fits, before it starts."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from ce2de_os.config import Settings
from ce2de_os.reindex.request import JobRequest, token_dim_of

if TYPE_CHECKING:
    from ce2de_os.reindex.planning.record import Plan

__all__ = ["JobRequest", "plan"]


def plan(
    request: JobRequest,
    *,
    within_s: float | None = None,
    workers: int | None = None,
    sample: int = 500,
    query_artifact: Path | None = None,
    settings: Settings | None = None,
) -> Plan:
    """Read facts about the cluster and embed a sample; nothing is written.

    Args:
        request: the job, as `ce2de_os.reindex` takes it.
        within_s: time limit of the job in seconds, to compute the number of workers; ``None``: no limit.
        workers: number of workers, one core each; ``None``: the number that ``within_s`` needs, else one.
        sample: number of documents to draw at random for tokens and speed.
        query_artifact: model folder for the queries, of the same vector space, to compare with; ``None``:
            one model embeds documents and queries.
        settings: connection and model; ``None``: from the environment.

    Raises:
        ConfigError: the vector field does not fit the cluster, or the two models share no vector space.
        DataError: the source holds no documents.
        ArtifactError: token vectors are wanted, and the model gives none.
        BackendError: OpenSearch does not answer, or rejects a request.
    """
    from ce2de_os.index.client import connect
    from ce2de_os.model.encoder import OnnxEncoder
    from ce2de_os.reindex.planning.plan import plan as plan_job
    from ce2de_os.reindex.planning.query_model import check_space
    from ce2de_os.reindex.planning.record import PlanRequest

    settings = settings or Settings.from_env()
    encoder = OnnxEncoder(settings.artifact, threads=1)  # the rate is that of one worker with one core
    queries = None if query_artifact is None else OnnxEncoder(query_artifact, threads=1)
    if queries is not None:
        check_space(encoder, queries)
    token_dim = token_dim_of(encoder.artifact) if request.token_vectors else None
    field = request.vector(dim=encoder.dim, token_dim=token_dim)
    wanted = PlanRequest(request, field, within_s, workers, sample)
    with closing(connect(settings.opensearch)) as client:
        return plan_job(client, wanted, encoder, queries)
