"""Keep the vectors of an index up to date with every write."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from ce2de_os.config import Settings
from ce2de_os.recipes.watching import Watch, return_at_once, task_queue, wait_until_fresh
from ce2de_os.reindex.request import JobRequest

if TYPE_CHECKING:
    from ce2de_os.reindex.status import JobStatus

__all__ = ["JobRequest", "follow", "return_at_once", "wait_until_fresh"]


def follow(
    request: JobRequest, *, settings: Settings | None = None, watch: Watch = wait_until_fresh
) -> JobStatus:
    """Start the standing job of an index, or find the one that is there; the workers do the work.

    Args:
        request: the index, and the text to embed; without fields, those that the index records. Vectors
            stay in the index: ``mode`` is ignored.
        settings: connection, broker and model; ``None``: from the environment.
        watch: waits for the job; `return_at_once` does not wait.

    Raises:
        ConfigError: the index has neither the model's field nor ``index.knn``, or the text to embed is
            unknown.
        JobError: another standing job covers the index.
        BrokerUnavailableError: Redis does not answer.
        BackendError: OpenSearch does not answer, or rejects a request.
        MissingExtraError: Celery is not installed.
    """
    from ce2de_os.index.client import connect
    from ce2de_os.model.artifact import Artifact
    from ce2de_os.reindex.following.adopt import adopt

    settings = settings or Settings.from_env()
    artifact = Artifact.load(settings.artifact)
    queue = task_queue(settings.broker_url, artifact.fingerprint)
    with closing(connect(settings.opensearch)) as client:
        job = adopt(client, replace(request, mode="in_place"), artifact, queue)
        return watch(client, queue, job)
