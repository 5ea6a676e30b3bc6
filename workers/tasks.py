"""The tasks; the work itself is in ``ce2de_os.reindex``."""

from __future__ import annotations

from ce2de_os.errors import ArtifactMismatchError, BackendUnavailableError, Ce2deError
from ce2de_os.reindex.embedding import check_fingerprint
from ce2de_os.reindex.finish import finish
from ce2de_os.reindex.follow import follow
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.pipeline import run_slices
from ce2de_os.reindex.queue import after_error, after_finish, after_slices, give_back
from workers import resources
from workers.app import app
from workers.queue import CeleryQueue

BUDGET_S = 20.0
"""Seconds that a task works before it passes the rest on, so that no message is held for long."""

_OPTIONS = {
    "autoretry_for": (BackendUnavailableError,),
    "max_retries": 20,
    "retry_backoff": 2,
    "retry_backoff_max": 60,
    "throws": (Ce2deError,),  # one line in the log, no traceback
}


@app.task(name="ce2de.embed_slice", **_OPTIONS)
def embed_slice(job_id: str, number: int, fingerprint: str) -> None:
    """Embed a slice, and others of the job, for a while and pass on what is left."""
    client = resources.client()
    try:
        check_fingerprint(job_id, fingerprint, resources.encoder())
        left = run_slices(
            client, resources.encoder(), job_id, number, resources.owner(), BUDGET_S, resources.is_gone
        )
    except BackendUnavailableError:
        raise
    except ArtifactMismatchError as error:
        give_back(Ledger(client), CeleryQueue(), job_id, number, str(error))
        raise
    except Ce2deError as error:
        after_error(Ledger(client), CeleryQueue(), job_id, number, str(error))
        raise
    after_slices(Ledger(client), CeleryQueue(), job_id, left)


@app.task(name="ce2de.finish_job", **_OPTIONS)
def finish_job(job_id: str, fingerprint: str) -> None:
    """Verify the target and move the alias."""
    client = resources.client()
    try:
        check_fingerprint(job_id, fingerprint, resources.encoder())
        finish(client, resources.encoder(), job_id, resources.owner(), resources.is_gone)
    except ArtifactMismatchError as error:
        give_back(Ledger(client), CeleryQueue(), job_id, None, str(error))
        raise
    after_finish(Ledger(client), CeleryQueue(), job_id)


@app.task(name="ce2de.follow_job", **_OPTIONS)
def follow_job(job_id: str, fingerprint: str) -> None:
    """Give new documents their vectors for a while, and pass the job on."""
    client, queue = resources.client(), CeleryQueue()
    try:
        check_fingerprint(job_id, fingerprint, resources.encoder())
        goes_on = follow(
            client, resources.encoder(), queue, job_id, resources.owner(), BUDGET_S, resources.is_gone
        )
    except ArtifactMismatchError as error:
        give_back(Ledger(client), queue, job_id, None, str(error))
        raise
    if goes_on:
        queue.follow_job(Ledger(client).job(job_id).job)
