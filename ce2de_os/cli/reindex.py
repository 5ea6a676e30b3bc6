"""``ce2de reindex``: start, watch and look up jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ce2de_os.cli.options import broker_option, connection_options, json_option
from ce2de_os.config import Settings

if TYPE_CHECKING:
    from ce2de_os.reindex.service import JobStatus
    from workers.queue import CeleryQueue


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Embed an existing index's documents into a new index and move an alias to it.

    The source index is never written to. Workers do the work; start some with

    \b
        celery -A workers.app worker
    """


@command.command()
@click.argument("source")
@click.option("--text-fields", required=True, help="Fields to embed, separated by commas, in this order.")
@click.option("--alias", required=True, help="Moves to the new index at the end; let applications search it.")
@click.option("--target", help="Name of the new index. (default: SOURCE-ce2de-FINGERPRINT)")
@click.option(
    "--engine",
    type=click.Choice(["lucene", "faiss"]),
    default="lucene",
    show_default=True,
    help="k-NN engine; faiss needs its native library on every data node.",
)
@click.option("--detach", is_flag=True, help="Return at once; follow with 'ce2de reindex status JOB'.")
@broker_option
@connection_options
@json_option
def start(
    source: str,
    text_fields: str,
    alias: str,
    target: str | None,
    engine: str,
    detach: bool,
    broker_url: str | None,
    settings: Settings,
    as_json: bool,
) -> None:
    """Start embedding SOURCE, or resume the same job where it stopped.

    Ctrl-C detaches; the workers go on. A finished job that is started again catches up with documents written
    since.

    \b
        ce2de reindex start articles --text-fields title,body --alias articles-search
    """
    from ce2de_os.artifact import Artifact
    from ce2de_os.cli.progress import follow
    from ce2de_os.index.client import connect
    from ce2de_os.reindex import service

    artifact = Artifact.load(settings.artifact)
    queue = _queue(broker_url or settings.broker_url)
    client = connect(settings.opensearch)
    fields = tuple(field.strip() for field in text_fields.split(",") if field.strip())
    request = service.JobRequest(source, fields, alias, target, engine)
    job = service.start(client, request, artifact, queue)
    click.echo(f"Job {job.job_id}: {job.source} → {job.target}, {job.documents} documents", err=True)
    found = service.status(client, job.job_id) if detach else follow(client, queue, job.job_id)
    _show(found, as_json)


@command.command()
@click.argument("job_id", metavar="[JOB]", required=False)
@connection_options
@json_option
def status(job_id: str | None, settings: Settings, as_json: bool) -> None:
    """Show where JOB stands, or list all jobs.

    \b
        ce2de reindex status
        ce2de reindex status articles-1a2b3c4d --json
    """
    from ce2de_os.index.client import connect
    from ce2de_os.reindex import service
    from ce2de_os.reindex.ledger import Ledger

    client = connect(settings.opensearch)
    if job_id is not None:
        _show(service.status(client, job_id), as_json)
        return
    jobs = Ledger(client).jobs()
    if as_json:
        click.echo(
            json.dumps([{"job_id": job.job_id, "state": job.state, "alias": job.alias} for job in jobs])
        )
    elif not jobs:
        click.echo("No jobs yet; begin with: ce2de reindex start --help", err=True)
    for job in [] if as_json else jobs:
        click.echo(f"{job.job_id}  {job.state}  {job.source} → {job.target} ({job.alias})")


def _queue(broker_url: str) -> CeleryQueue:
    from ce2de_os.errors import MissingExtraError

    try:
        from workers.queue import CeleryQueue
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra("worker", error.name) from error
    queue = CeleryQueue(broker_url)
    queue.check()
    return queue


def _show(found: JobStatus, as_json: bool) -> None:
    from ce2de_os.cli.progress import status_lines

    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        click.echo("\n".join(status_lines(found)))
    if found.job.state == "failed":
        raise SystemExit(1)
