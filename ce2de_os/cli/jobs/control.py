"""``ce2de reindex pause, resume, throttle, cancel, verify, cutover, rollback, clean``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ce2de_os.cli.durations import duration_s
from ce2de_os.cli.flags import with_flags
from ce2de_os.cli.jobs.output import print_status, show
from ce2de_os.cli.jobs.switch_options import switch_options
from ce2de_os.cli.options import broker_option, connection_options, encoding_options, json_option
from ce2de_os.config import Settings
from ce2de_os.recipes.watching import task_queue

if TYPE_CHECKING:
    from ce2de_os.reindex.job import Job
    from ce2de_os.reindex.verify import VerifyReport

_YES = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
_JOB = click.argument("job_id", metavar="JOB")


def add_to(group: click.Group) -> None:
    """Put these commands into ``ce2de reindex``."""
    for each in (pause, resume, throttle, cancel, verify, cutover, rollback, clean):
        group.add_command(each)


@click.command(short_help="Stop the work on JOB; nothing is lost.")
@_JOB
@connection_options
@json_option
def pause(job_id: str, settings: Settings, as_json: bool) -> None:
    """Pause JOB: its workers stop after their current pages; nothing is lost.

    \b
        ce2de reindex pause articles-1a2b3c4d
    """
    from ce2de_os.index.client import connect
    from ce2de_os.reindex import operate
    from ce2de_os.reindex.status import status

    client = connect(settings.opensearch)
    operate.pause(client, job_id)
    click.echo(f"Paused; to continue: ce2de reindex resume {job_id}", err=True)
    print_status(status(client, job_id), as_json)


@click.command(short_help="Continue a paused JOB, or send its lost messages again.")
@_JOB
@broker_option
@connection_options
@json_option
def resume(job_id: str, broker_url: str | None, settings: Settings, as_json: bool) -> None:
    """Continue a paused JOB, or one whose messages were lost with Redis.

    \b
        ce2de reindex resume articles-1a2b3c4d
    """
    from ce2de_os.index.client import connect
    from ce2de_os.reindex import operate
    from ce2de_os.reindex.status import status

    client = connect(settings.opensearch)
    operate.resume(client, task_queue(broker_url or settings.broker_url), job_id)
    show(status(client, job_id), as_json)


@click.command(short_help="Limit the documents per second of JOB.")
@_JOB
@click.option(
    "--docs-per-second", "docs_per_s", type=float, help="Most documents per second, all workers together."
)
@click.option("--no-limit", is_flag=True, help="Remove the limit.")
@connection_options
@json_option
def throttle(
    job_id: str, docs_per_s: float | None, no_limit: bool, settings: Settings, as_json: bool
) -> None:
    """Limit the rate of JOB, or remove the limit; workers follow within seconds.

    \b
        ce2de reindex throttle articles-1a2b3c4d --docs-per-second 50
        ce2de reindex throttle articles-1a2b3c4d --no-limit
    """
    from ce2de_os.index.client import connect
    from ce2de_os.reindex import operate
    from ce2de_os.reindex.job import ACTIVE
    from ce2de_os.reindex.status import status

    if no_limit == (docs_per_s is not None):
        raise click.UsageError("give one of --docs-per-second and --no-limit")
    client = connect(settings.opensearch)
    job = operate.throttle(client, job_id, docs_per_s)
    limit = "No limit" if docs_per_s is None else f"At most {docs_per_s:g} documents a second"
    when = "from now on" if job.state in ACTIVE else f"once the job, which is {job.state}, continues"
    click.echo(f"{limit}, {when}.", err=True)
    print_status(status(client, job_id), as_json)


@click.command(short_help="Cancel JOB without moving the alias.")
@_JOB
@_YES
@connection_options
@json_option
def cancel(job_id: str, yes: bool, settings: Settings, as_json: bool) -> None:
    """Cancel JOB without moving the alias; 'start' can resume it, 'clean' removes what it made.

    \b
        ce2de reindex cancel articles-1a2b3c4d --yes
    """
    from ce2de_os.index.client import connect
    from ce2de_os.reindex import operate
    from ce2de_os.reindex.status import status

    client = connect(settings.opensearch)
    if not yes:
        click.confirm(f"Cancel job {job_id}?", abort=True, err=True)
    operate.cancel(client, job_id)
    print_status(status(client, job_id), as_json)


@click.command(short_help="Compare source and target of JOB.")
@_JOB
@encoding_options
@json_option
def verify(job_id: str, settings: Settings, as_json: bool) -> None:
    """Compare source and target of JOB: counts, vectors computed again, BM25 results, latency.

    Exits with 1 if a problem forbids moving the alias.

    \b
        ce2de reindex verify articles-1a2b3c4d --json
    """
    from ce2de_os.index.client import connect
    from ce2de_os.model.encoder import OnnxEncoder
    from ce2de_os.reindex import operate

    client = connect(settings.opensearch)
    report = operate.verify_job(client, OnnxEncoder(settings.artifact, threads=settings.threads), job_id)
    click.echo(json.dumps(report.to_source(), indent=2) if as_json else _lines(report))
    if report.problems:
        raise SystemExit(1)


@click.command(short_help="Catch up, verify, and move JOB's alias.")
@_JOB
@click.option("--accept-rejected", is_flag=True, help="Move the alias even if documents were rejected.")
@switch_options
@broker_option
@encoding_options
@json_option
def cutover(
    job_id: str,
    accept_rejected: bool,
    no_block: bool,
    max_block_s: float | None,
    accept_unreplicated: bool,
    broker_url: str | None,
    settings: Settings,
    as_json: bool,
) -> None:
    """Catch JOB up with the latest writes, verify it once more, and move the alias in one request.

    For jobs that were started with --hold, that failed a verification, or that were rolled back. A handover
    that lost its worker is completed or undone.

    \b
        ce2de reindex cutover articles-1a2b3c4d
    """
    from ce2de_os.index.client import connect
    from ce2de_os.model.encoder import OnnxEncoder
    from ce2de_os.reindex import operate
    from ce2de_os.reindex.ledger import Ledger
    from ce2de_os.reindex.queue import after_finish
    from ce2de_os.reindex.setup.way import meaning
    from ce2de_os.reindex.status import status

    client = connect(settings.opensearch)
    queue = task_queue(broker_url or settings.broker_url)
    encoder = OnnxEncoder(settings.artifact, threads=settings.threads)
    options = {"block": False if no_block else None, "max_block_s": max_block_s}
    chosen = {name: value for name, value in options.items() if value is not None}
    if accept_unreplicated:
        chosen["accept_unreplicated"] = True
    job = operate.cutover(client, encoder, job_id, operate.this_process(), accept_rejected, **chosen)
    after_finish(Ledger(client), queue, job_id)
    where = f"'{job.alias}' points to {', '.join(job.targets)}" if job.alias else f"{job.target} answers"
    click.echo(f"{where}; to go back: ce2de reindex rollback {job_id}", err=True)
    click.echo(meaning(job), err=True)
    show(status(client, job_id), as_json)


@click.command(short_help="Move JOB's alias back, with the writes since.")
@_JOB
@_YES
@click.option(
    "--discard-writes",
    is_flag=True,
    help="Do not copy back what applications wrote after the alias moved; it stays in the new index only.",
)
@connection_options
@json_option
def rollback(job_id: str, yes: bool, discard_writes: bool, settings: Settings, as_json: bool) -> None:
    """Move JOB's alias back; first copy back what applications wrote since.

    Shows the number of documents and asks first. Writes are rejected in the meantime, as at the handover. The
    new index stays, read-only; 'cutover' moves the alias there again.

    \b
        ce2de reindex rollback articles-1a2b3c4d --yes
    """
    from ce2de_os.index.client import connect
    from ce2de_os.reindex.cutover import rollback as moving
    from ce2de_os.reindex.ledger import Ledger
    from ce2de_os.reindex.status import status

    client = connect(settings.opensearch)
    planned = moving.plan_rollback(client, Ledger(client).job(job_id).job)
    click.echo(planned.sentence(discard=discard_writes), err=True)
    if not yes:
        click.confirm(f"Roll job {job_id} back?", abort=True, err=True)
    job = moving.rollback(client, job_id, discard_writes=discard_writes)
    for line in moving.outcome(client, job):
        click.echo(line, err=True)
    print_status(status(client, job_id), as_json)


@click.command(short_help="Delete the records of an ended JOB, or its indices too.")
@click.argument("job_id", metavar="[JOB]", required=False)
@click.option(
    "--ended-before",
    metavar="TIME",
    callback=duration_s,
    help="Clean all jobs that ended longer ago than this, such as 30d, instead of JOB.",
)
@click.option(
    "--target", is_flag=True, help="Delete the indices that it filled too, unless an alias points there."
)
@click.option(
    "--source",
    is_flag=True,
    help="Delete the indices that it replaced too; no rollback is possible after that.",
)
@_YES
@connection_options
@json_option
def clean(
    job_id: str | None,
    ended_before: float | None,
    target: bool,
    source: bool,
    yes: bool,
    settings: Settings,
    as_json: bool,
) -> None:
    """Delete the records and dead letters of an ended JOB, and on request its indices.

    \b
        ce2de reindex clean articles-1a2b3c4d --source --yes
        ce2de reindex clean --ended-before 30d --yes
    """
    from ce2de_os.errors import JobError
    from ce2de_os.index.client import connect
    from ce2de_os.reindex import operate
    from ce2de_os.reindex.ledger import Ledger

    if (job_id is None) == (ended_before is None):
        raise click.UsageError("give one of JOB and --ended-before")
    if ended_before is not None and (target or source):
        raise click.UsageError("indices are deleted job by job: give a JOB instead of --ended-before")
    client = connect(settings.opensearch)
    ledger = Ledger(client)
    jobs = ledger.ended_before(ended_before) if ended_before else [ledger.job(str(job_id)).job]
    names = [name for job in jobs for name in _doomed(job, target, source)]
    if jobs and not yes:
        what = f" and delete {', '.join(names)}" if names else ""
        click.confirm(f"Forget {', '.join(job.job_id for job in jobs)}{what}?", abort=True, err=True)
    kept = []
    for job in jobs:
        try:
            deleted = operate.clean(client, job.job_id, targets=target, sources=source)
        except JobError as error:
            if ended_before is None:
                raise
            kept.append(f"Kept {job.job_id}: {with_flags(str(error))}")
            continue
        told = f"Forgot job {job.job_id}."
        click.echo(json.dumps({"job_id": job.job_id, "deleted": deleted}) if as_json else told)
    for line in kept if jobs else ["No job ended that long ago."]:
        click.echo(line, err=True)


def _doomed(job: Job, target: bool, source: bool) -> list[str]:
    return [*(job.targets if target else ()), *((part.source for part in job.parts) if source else ())]


def _lines(report: VerifyReport) -> str:
    cosine = "none" if report.min_cosine is None else f"{report.min_cosine:.4f}"
    lines = [
        f"documents: {report.source_documents:,} in the source, {report.target_documents:,} in the target, "
        f"{report.moving:,} operations on their way, {report.refused:,} rejected; "
        f"{report.lost:,} lost, {report.surplus:,} surplus, {report.stale:,} stale",
        f"vectors: {report.sampled} computed again, least cosine {cosine}; "
        f"{report.without_vector:,} documents without text",
    ]
    if report.languages:
        each = ", ".join(f"{name} {number:,}" for name, number in report.languages.items())
        lines.append(f"languages: {each}")
    if report.agreement is not None:
        lines.append(
            f"BM25: {report.agreement:.0%} of the best hits agree; "
            f"median {report.source_p50_ms:.0f} ms in the source, {report.target_p50_ms:.0f} ms in the target"
        )
    return "\n".join([*lines, *(f"problem: {with_flags(each)}" for each in report.problems or ["none"])])
