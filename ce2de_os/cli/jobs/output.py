"""What the commands of ``ce2de reindex`` share: the queue, and a job's status on the terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ce2de_os.reindex.status import JobStatus
    from ce2de_os.worker.queue import CeleryQueue


def task_queue(broker_url: str, fingerprint: str | None = None) -> CeleryQueue:
    """Create the queue to the workers of a model, and check that Redis answers.

    Raises:
        BrokerUnavailableError: Redis does not answer.
        MissingExtraError: Celery is not installed.
    """
    from ce2de_os.errors import MissingExtraError

    try:
        from ce2de_os.worker.queue import CeleryQueue
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra("worker", error.name) from error
    queue = CeleryQueue(broker_url, fingerprint)
    queue.check()
    return queue


def show(found: JobStatus, as_json: bool) -> None:
    """Print the status of a job that the command worked on or asked for; a failed one ends it with 1."""
    print_status(found, as_json)
    if found.job.state == "failed":
        raise SystemExit(1)


def print_status(found: JobStatus, as_json: bool) -> None:
    """Print a status."""
    from ce2de_os.cli.jobs.progress import status_lines

    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        click.echo("\n".join(status_lines(found)))
