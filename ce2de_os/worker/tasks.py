"""The tasks; the work itself is in ``ce2de_os.reindex``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import ArtifactMismatchError, BackendUnavailableError, Ce2deError
from ce2de_os.reindex import queue, watchdog
from ce2de_os.reindex.cutover.finish import finish
from ce2de_os.reindex.failures import is_failure
from ce2de_os.reindex.following.follow import follow
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.slices.embedding import check_fingerprint
from ce2de_os.reindex.slices.pipeline import run_slices
from ce2de_os.worker import connection, resources
from ce2de_os.worker.app import app
from ce2de_os.worker.queue import CeleryQueue

BUDGET_S = 20.0
"""Seconds that a task works before it passes the rest on, so that no message is held for long."""

SHORT_BUDGET_S = 5.0
"""The same while standing jobs wait for this worker: new documents need their vectors soon."""

_OPTIONS: dict[str, Any] = {
    "autoretry_for": (BackendUnavailableError,),
    "max_retries": None,  # OpenSearch may be down for a night
    "retry_backoff": 2,
    "retry_backoff_max": 60,
    "throws": (Ce2deError,),  # one line in the log, no traceback
}


@app.task(name="ce2de.embed_slice", **_OPTIONS)
def embed_slice(job_id: str, number: int, fingerprint: str) -> None:
    """Embed a slice, and others of the job, for a while; then pass the rest on."""
    client = resources.client()
    ledger, messages = Ledger(client), CeleryQueue(fingerprint=fingerprint)
    try:
        check_fingerprint(job_id, fingerprint, resources.encoder())
        with watchdog.watched():
            budget_s = SHORT_BUDGET_S if messages.following() else BUDGET_S
            left = run_slices(
                client, resources.encoder(), job_id, number, resources.owner(), budget_s, resources.is_gone
            )
    except BackendUnavailableError:
        raise
    except ArtifactMismatchError as error:
        told = str(error)
        queue.pass_on(lambda: queue.give_back(ledger, messages, job_id, number, told), job_id)
        raise
    except Ce2deError as error:
        told = str(error)
        queue.pass_on(lambda: queue.after_error(ledger, messages, job_id, number, told), job_id)
        raise
    except BaseException as error:
        if is_failure(error):
            failure = error
            queue.pass_on(lambda: queue.after_failure(ledger, messages, job_id, number, failure), job_id)
        raise
    queue.pass_on(lambda: queue.after_slices(ledger, messages, job_id, left), job_id)


@app.task(name="ce2de.finish_job", **_OPTIONS)
def finish_job(job_id: str, fingerprint: str) -> None:
    """Verify the target and move the alias."""
    with _whole_job(job_id, fingerprint) as (client, ledger, messages):
        finish(client, resources.encoder(), job_id, resources.owner(), resources.is_gone)
    queue.pass_on(lambda: queue.after_finish(ledger, messages, job_id), job_id)


@app.task(name="ce2de.follow_job", **_OPTIONS)
def follow_job(job_id: str, fingerprint: str) -> None:
    """Embed new documents for a while, then pass the job on."""
    with _whole_job(job_id, fingerprint) as (client, ledger, messages):
        goes_on = follow(
            client, resources.encoder(), messages, job_id, resources.owner(), BUDGET_S, resources.is_gone,
            connection.fault,
        )  # fmt: skip
    if goes_on:
        queue.pass_on(lambda: queue.after_follow(ledger, messages, job_id), job_id)


@contextmanager
def _whole_job(job_id: str, fingerprint: str) -> Iterator[tuple[OpenSearch, Ledger, CeleryQueue]]:
    """Open what a task on a whole job needs; pass it on if the model is another, end it on a failure."""
    client, messages = resources.client(), CeleryQueue(fingerprint=fingerprint)
    ledger = Ledger(client)
    try:
        check_fingerprint(job_id, fingerprint, resources.encoder())
        yield client, ledger, messages
    except ArtifactMismatchError as error:
        told = str(error)
        queue.pass_on(lambda: queue.give_back(ledger, messages, job_id, None, told), job_id)
        raise
    except Ce2deError:
        raise
    except BaseException as error:
        if is_failure(error):
            queue.finish_failed(ledger, job_id, error)
        raise
