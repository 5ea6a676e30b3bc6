"""Embed the documents of an existing index, for vector search through an alias or a new field."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from ce2de_os.config import Settings
from ce2de_os.recipes.watching import Watch, return_at_once, task_queue, wait_until_done
from ce2de_os.reindex.request import JobRequest

if TYPE_CHECKING:
    from ce2de_os.reindex.status import JobStatus

__all__ = ["JobRequest", "reindex", "return_at_once", "wait_until_done"]


def reindex(
    request: JobRequest, *, settings: Settings | None = None, watch: Watch = wait_until_done
) -> JobStatus:
    """Start a job, or resume the same one where it stopped; the workers do the work.

    Args:
        request: what to embed, and where to write.
        settings: connection, broker and model; ``None``: from the environment.
        watch: waits for the job; `return_at_once` does not wait.

    Raises:
        ConfigError: the request does not fit the cluster.
        JobError: another job has the target, or the same job cannot continue.
        BrokerUnavailableError: Redis does not answer.
        BackendError: OpenSearch does not answer, or rejects a request.
        MissingExtraError: Celery is not installed.
    """
    from ce2de_os.index.client import connect
    from ce2de_os.model.artifact import Artifact
    from ce2de_os.reindex.setup.start import start

    settings = settings or Settings.from_env()
    artifact = Artifact.load(settings.artifact)
    queue = task_queue(settings.broker_url, artifact.fingerprint)
    with closing(connect(settings.opensearch)) as client:
        return watch(client, queue, start(client, request, artifact, queue))
