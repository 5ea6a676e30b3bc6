"""Show a reindex job on the terminal while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ce2de_os.cli.flags import with_flags
from ce2de_os.recipes.watching import statuses
from ce2de_os.reindex.job import FAILED, FINISHING, READY, RUNNING
from ce2de_os.reindex.status import JobStatus, status

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from ce2de_os.reindex.queue import TaskQueue
    from ce2de_os.reindex.status import JobStatus

POLL_S = 0.5
HINT_S = 10.0
LINE_S = 5.0  # seconds between two lines of output without a terminal


def follow(client: OpenSearch, queue: TaskQueue, job_id: str) -> JobStatus:
    """Show a job's progress until it ends; Ctrl-C detaches and leaves it running."""
    found = status(client, job_id)
    try:
        with _progress() as progress:
            bar = progress.add_task("embedding", total=found.job.documents, rate="")
            for found in _poll(client, queue, job_id):
                rate = f"{found.docs_per_s:,.0f} docs/s" if found.docs_per_s else "waiting for a worker"
                progress.update(bar, completed=_completed(found), description=found.job.state, rate=rate)
    except KeyboardInterrupt:
        click.echo(
            f"\nDetached; the workers continue. To see the status: ce2de reindex status {job_id}; "
            f"follow again: ce2de reindex watch {job_id}",
            err=True,
        )
    return found


def status_lines(found: JobStatus) -> Iterator[str]:
    """Yield a job's status as a few lines of text."""
    job, counts = found.job, found.counts
    documents = max(job.documents, counts.documents)  # later writes are read too
    yield f"{job.job_id}: {job.state}; {counts.documents:,} of {documents:,} documents{_speed(found)}"
    way = "in place" if job.mode == "in_place" else f"→ {', '.join(job.targets)}"
    yield f"  {job.source} {way}, alias {job.alias or 'none'}, model {job.fingerprint[:12]}"
    yield (
        f"  {counts.embedded:,} embedded, {counts.reused + counts.unchanged:,} known already, "
        f"{counts.without_text:,} without text, {found.dead_letters:,} rejected"
    )
    if job.languages is not None:
        yield f"  {_languages(found)}"
    slices = ", ".join(f"{number} {state}" for state, number in sorted(found.slices.items()))
    slowest = f"; slowest: slice {found.slowest[0]}, {found.slowest[1]:,} to go" if found.slowest else ""
    yield f"  slices: {slices or 'none'}; workers busy: {found.workers}{slowest}"
    yield from (f"  {told}" for told in found.doing)
    if found.lag:
        yield f"  {found.lag:,} operations of live writes to catch up with"
    if job.docs_per_s is not None:
        yield f"  throttled to {job.docs_per_s:g} docs/s"
    if job.report is not None and job.report.get("min_cosine") is not None:
        yield (
            f"  verified: {job.report['target_documents']:,} documents in the target, "
            f"least cosine {job.report['min_cosine']:.4f}"
        )
    if job.state == READY:
        yield f"  ready; move the alias with: ce2de reindex cutover {job.job_id}"
    yield from _problems(found)


def _problems(found: JobStatus) -> Iterator[str]:
    job = found.job
    if found.dead_letters:
        yield f"  see the rejected documents: ce2de reindex dlq list {job.job_id}"
    if job.connection_error:
        state = "are wrong" if job.connection_right is False else "cannot be checked"
        yield f"  the pipelines of 'ce2de connect' {state}: {with_flags(job.connection_error)}"
    if found.reconnect:
        yield f"  {with_flags(found.reconnect)}"
    if job.error:
        yield f"  {'failed' if job.state == FAILED else 'problem'}: {with_flags(job.error)}"
    for error in found.errors:
        yield f"  {with_flags(error)}"


def _languages(found: JobStatus) -> str:
    counts, report = found.counts, found.job.report or {}
    told = f"{counts.other_languages:,} documents in none of the languages"
    if report.get("languages"):
        each = ", ".join(f"{name} {number:,}" for name, number in report["languages"].items())
        told = f"languages: {each}"
    return f"{told}; {counts.unknown_languages:,} with an unknown language"


def _speed(found: JobStatus) -> str:
    rate = f", {found.docs_per_s:,.0f} docs/s" if found.docs_per_s else ""
    return f"{rate}, about {duration(found.eta_s)} left" if found.eta_s else rate


def duration(seconds: float) -> str:
    """Format seconds as ``"2h 5m"``, ``"3m 20s"`` or ``"40s"``."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {left}s" if minutes else f"{left}s"


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
    # A document that changes during the job counts twice; the bar must not pass its end.
    return found.job.documents - found.documents_left


def _poll(client: OpenSearch, queue: TaskQueue, job_id: str) -> Iterator[JobStatus]:
    hinted_at = said_at = time.monotonic()
    told: set[str] = set()
    last: tuple[int, str] | None = None
    for found in statuses(client, queue, job_id, POLL_S, _say_away):
        now = time.monotonic()
        yield found
        if found.job.state not in (RUNNING, FINISHING):
            return
        for error in set(found.errors) - told:
            click.echo(error, err=True)
        told.update(found.errors)
        state = (found.counts.documents, found.job.state)
        if state != last:
            last, hinted_at = state, now
        if now - hinted_at > HINT_S and not found.workers:
            click.echo(
                "No worker has started on this job; start one: celery -A ce2de_os.worker.app worker", err=True
            )
            hinted_at = now + 5 * HINT_S
        if not sys.stderr.isatty() and now - said_at > LINE_S:
            click.echo(next(iter(status_lines(found))), err=True)
            said_at = now


def _say_away(error: Exception) -> None:
    click.echo(f"{with_flags(str(error))}; waiting", err=True)
