"""``ce2de reindex``: start, watch, control, verify and cut over jobs."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ce2de_os.cli.jobs import control as reindex_control
from ce2de_os.cli.jobs import dlq
from ce2de_os.cli.jobs.language_options import language_options
from ce2de_os.cli.jobs.output import show
from ce2de_os.cli.jobs.switch_options import switch_options, way_option
from ce2de_os.cli.jobs.vector_options import vector_options
from ce2de_os.cli.options import broker_option, connection_options, json_option, mode_option
from ce2de_os.config import Settings
from ce2de_os.recipes.watching import task_queue

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from ce2de_os.index.language_fields import LanguageSpec
    from ce2de_os.reindex.job import Job, Mode, Way
    from ce2de_os.reindex.queue import TaskQueue
    from ce2de_os.reindex.request import VectorOptions
    from ce2de_os.reindex.status import JobStatus


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Embed the documents of an existing index, for vector search through an alias or a new field.

    Workers do the work; start some with

    \b
        celery -A ce2de_os.worker.app worker

    \b
    Steps of a job:    start → watch → (verify → cutover) → done; rollback goes back, clean forgets the job.
    While it runs:     pause, resume, throttle, cancel; dlq shows documents that OpenSearch rejected.
    """


@command.command()
@click.argument("source")
@click.option("--text-fields", help="Fields to embed, separated by commas, in this order.")
@click.option(
    "--template", help="Text to embed, instead of --text-fields, with fields in braces: '{title}. {body}'."
)
@click.option(
    "--passages",
    metavar="LENGTH:STRIDE",
    help="Long documents: a vector for each LENGTH tokens, a new one every STRIDE tokens, such as 180:90.",
)
@click.option(
    "--token-vectors",
    is_flag=True,
    help="Also store a vector for each token, for late interaction: about 150 bytes per token of 64 numbers.",
)
@click.option("--alias", help="Alias for applications to search; it moves to the new index at the end.")
@click.option("--target", help="Name of the new index.  [default: SOURCE-ce2de-FINGERPRINT]")
@mode_option(
    "copy: new indices and the alias. in-place: a second vector field in the index, which must have "
    "index.knn already. auto: in-place wherever that is possible and no --target is named."
)
@language_options
@vector_options
@click.option("--pipeline", help="Ingest pipeline for the written documents.  [default: none]")
@click.option(
    "--docs-per-second", "docs_per_s", type=float, help="Most documents per second, all workers together."
)
@click.option(
    "--hold", is_flag=True, help="Do not move the alias at the end; wait for 'ce2de reindex cutover'."
)
@click.option("--accept-rejected", is_flag=True, help="Move the alias even if documents were rejected.")
@click.option(
    "--accept-excluded-fields",
    is_flag=True,
    help="Copy even if the source's _source excludes fields; the copy will lack them.",
)
@way_option
@switch_options
@click.option(
    "--no-follow", is_flag=True, help="Do not start a standing job that keeps the vectors up to date."
)
@click.option(
    "--detach", is_flag=True, help="Return at once, without progress; see 'ce2de reindex watch JOB'."
)
@broker_option
@connection_options
@json_option
def start(
    source: str,
    text_fields: str | None,
    template: str | None,
    passages: str | None,
    token_vectors: bool,
    alias: str | None,
    target: str | None,
    mode: Mode | Literal["auto"],
    languages: LanguageSpec | None,
    vector_field: VectorOptions,
    pipeline: str | None,
    docs_per_s: float | None,
    hold: bool,
    accept_rejected: bool,
    accept_excluded_fields: bool,
    way: Way | Literal["auto"],
    no_block: bool,
    max_block_s: float | None,
    accept_unreplicated: bool,
    no_follow: bool,
    detach: bool,
    broker_url: str | None,
    settings: Settings,
    as_json: bool,
) -> None:
    """Start embedding SOURCE, or resume the same job where it stopped.

    SOURCE is an index, an alias, a data stream or a pattern; each of its indices gets its own target, and the
    alias points to all of them. The source is never written to, except in place. Ctrl-C detaches; the
    workers continue. When the alias has moved, a standing job keeps the vectors up to date with every write
    (see 'ce2de follow'); to start a finished job again changes nothing.

    \b
        ce2de reindex start articles --text-fields title,body --alias articles-search
        ce2de reindex start 'logs-*' --template '{service}: {message}' --alias logs-search --hold
        ce2de reindex start articles --text-fields title,body --alias articles-search --languages en,it,de
    """
    from ce2de_os.index.text_spec import text_spec
    from ce2de_os.recipes.reindex import reindex
    from ce2de_os.reindex.job import MAX_BLOCK_S
    from ce2de_os.reindex.request import JobRequest

    request = JobRequest(
        source=source,
        text=text_spec(text_fields, template, passages),
        alias=alias,
        target=target,
        mode=mode,
        vector=vector_field,
        languages=languages,
        hold=hold,
        pipeline=pipeline,
        docs_per_s=docs_per_s,
        accept_rejected=accept_rejected,
        token_vectors=token_vectors,
        accept_excluded_fields=accept_excluded_fields,
        way=way,
        block=not no_block,
        max_block_s=max_block_s or MAX_BLOCK_S,
        follow=not no_follow,
        accept_unreplicated=accept_unreplicated,
    )
    settings = replace(settings, broker_url=broker_url or settings.broker_url)
    if languages is not None:
        _warn(settings.artifact, languages)
    show(reindex(request, settings=settings, watch=partial(_watch, detach)), as_json)


def _watch(detach: bool, client: OpenSearch, queue: TaskQueue, job: Job) -> JobStatus:
    """Report what has started, and show its progress."""
    from ce2de_os.cli.jobs.progress import follow
    from ce2de_os.recipes.reindex import return_at_once
    from ce2de_os.reindex.setup.way import meaning

    where = "in place" if job.mode == "in_place" else f"→ {', '.join(job.targets)}"
    click.echo(f"Job {job.job_id}: {job.source} {where}, {job.documents} documents", err=True)
    click.echo(meaning(job), err=True)
    return return_at_once(client, queue, job) if detach else follow(client, queue, job.job_id)


def _warn(folder: Path | None, languages: LanguageSpec) -> None:
    """Warn about languages that the model was not made for; BM25 still finds those documents."""
    from ce2de_os.model.artifact import Artifact

    artifact = Artifact.load(folder)
    foreign = [code for code in languages.codes if code not in artifact.languages]
    if foreign:
        click.echo(
            f"The model {artifact.name} was made for {', '.join(artifact.languages)}, not for "
            f"{', '.join(foreign)}: BM25 will find such documents, its vectors perhaps not.",
            err=True,
        )


@command.command()
@click.argument("job_id", metavar="JOB")
@broker_option
@connection_options
@json_option
def watch(job_id: str, broker_url: str | None, settings: Settings, as_json: bool) -> None:
    """Follow JOB until it ends; Ctrl-C stops watching, not the job.

    \b
        ce2de reindex watch articles-1a2b3c4d
    """
    from ce2de_os.cli.jobs.progress import follow
    from ce2de_os.index.client import connect

    queue = task_queue(broker_url or settings.broker_url)
    show(follow(connect(settings.opensearch), queue, job_id), as_json)


@command.command(short_help="Show state, rate, time left and errors of JOB.")
@click.argument("job_id", metavar="JOB")
@connection_options
@json_option
def status(job_id: str, settings: Settings, as_json: bool) -> None:
    """Show the state of JOB: rate, time left, the slowest slice, lag behind live writes, last errors.

    \b
        ce2de reindex status articles-1a2b3c4d --json
    """
    from ce2de_os.index.client import connect
    from ce2de_os.reindex.status import status as read_status

    show(read_status(connect(settings.opensearch), job_id), as_json)


@command.command("list")
@connection_options
@json_option
def list_jobs(settings: Settings, as_json: bool) -> None:
    """List all jobs, the newest first.

    \b
        ce2de reindex list
    """
    from ce2de_os.index.client import connect
    from ce2de_os.reindex.ledger import Ledger

    jobs = Ledger(connect(settings.opensearch)).jobs()
    if as_json:
        keys = (
            "job_id",
            "state",
            "truth",
            "way",
            "standing",
            "source",
            "alias",
            "targets",
            "mode",
            "documents",
            "created_at_s",
        )
        click.echo(json.dumps([{key: getattr(job, key) for key in keys} for job in jobs]))
    elif not jobs:
        click.echo("No jobs yet; begin with: ce2de reindex start --help", err=True)
    for job in [] if as_json else jobs:
        click.echo(
            f"{job.job_id}  {job.state}  {job.source} → {', '.join(job.targets)} ({job.alias or 'no alias'})"
            f"{_way(job)}"
        )


def _way(job: Job) -> str:
    if job.standing:
        return "  follows"
    return f"  {job.way}, applications write to the {job.truth}" if job.way else ""


reindex_control.add_to(command)
command.add_command(dlq.command, "dlq")
