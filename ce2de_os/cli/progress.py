"""Following a reindex job on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ce2de_os.errors import BackendUnavailableError, BrokerUnavailableError
from ce2de_os.reindex import service
from ce2de_os.reindex.job import DONE, FAILED

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from ce2de_os.reindex.service import JobStatus, TaskQueue

POLL_S = 0.5
NUDGE_S = 30.0  # without progress for so long, messages may have been lost: send them again
HINT_S = 10.0
LINE_S = 5.0  # between lines where there is no terminal


def follow(client: OpenSearch, queue: TaskQueue, job_id: str) -> JobStatus:
    """Show a job's progress until it ends; Ctrl-C detaches and leaves it running."""
    found = service.status(client, job_id)
    try:
        with _progress() as progress:
            bar = progress.add_task("embedding", total=found.job.documents, rate="")
            for found in _poll(client, queue, job_id):
                rate = f"{found.docs_per_s:,.0f} docs/s" if found.docs_per_s else "waiting for a worker"
                progress.update(bar, completed=_completed(found), description=found.job.state, rate=rate)
    except KeyboardInterrupt:
        click.echo(
            f"\nDetached; the workers go on. Look again: ce2de reindex status {job_id}; "
            "to follow again, start the same job.",
            err=True,
        )
    return found


def status_lines(found: JobStatus) -> Iterator[str]:
    """A job's status in a few lines for people."""
    job, counts = found.job, found.counts
    rate = f", {found.docs_per_s:,.0f} docs/s" if found.docs_per_s else ""
    yield f"{job.job_id}: {job.state}; {counts.documents:,} of {job.documents:,} documents{rate}"
    yield f"  {job.source} → {job.target}, alias {job.alias}, model {job.fingerprint[:12]}"
    yield f"  {counts.embedded:,} embedded, {counts.without_text:,} without text, {counts.refused:,} refused"
    slices = ", ".join(f"{number} {state}" for state, number in sorted(found.slices.items()))
    yield f"  slices: {slices}; workers busy: {found.workers}"
    if job.report is not None and job.report.get("min_cosine") is not None:
        yield (
            f"  verified: {job.report['target_documents']:,} documents in the target, "
            f"cosine ≥ {job.report['min_cosine']:.4f} for {job.report['sampled']} vectors encoded again"
        )
    if job.error:
        yield f"  failed: {job.error}"
    for error in found.errors:
        yield f"  {error}"


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _completed(found: JobStatus) -> int:
    # A document that was changed meanwhile counts twice; the bar must not run over.
    return (
        found.job.documents if found.job.state == DONE else min(found.counts.documents, found.job.documents)
    )


def _poll(client: OpenSearch, queue: TaskQueue, job_id: str) -> Iterator[JobStatus]:
    moved_at = hinted_at = said_at = time.monotonic()
    told: set[str] = set()
    last: tuple[int, str] | None = None
    while True:
        now = time.monotonic()
        found = _try_status(client, job_id)
        if found is None:
            time.sleep(POLL_S)
            continue
        yield found
        if found.job.state in (DONE, FAILED):
            return
        for error in set(found.errors) - told:
            click.echo(error, err=True)
        told.update(found.errors)
        state = (found.counts.documents, found.job.state)
        if state != last:
            last, moved_at, hinted_at = state, now, now
        if now - hinted_at > HINT_S and not found.workers:
            click.echo("No worker has taken this up; start one: celery -A workers.app worker", err=True)
            hinted_at = now + 5 * HINT_S
        if now - moved_at > NUDGE_S:
            _try_nudge(client, queue, job_id)
            moved_at = now
        if not sys.stderr.isatty() and now - said_at > LINE_S:
            click.echo(next(iter(status_lines(found))), err=True)
            said_at = now
        time.sleep(POLL_S)


def _try_status(client: OpenSearch, job_id: str) -> JobStatus | None:
    try:
        return service.status(client, job_id)
    except BackendUnavailableError as error:
        click.echo(f"{error}; waiting", err=True)
        return None


def _try_nudge(client: OpenSearch, queue: TaskQueue, job_id: str) -> None:
    try:
        service.nudge(client, queue, job_id)
    except (BackendUnavailableError, BrokerUnavailableError) as error:
        click.echo(f"{error}; waiting", err=True)
