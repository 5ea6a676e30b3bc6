"""``ce2de follow``: keep the vectors of an index up to date."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from ce2de_os.cli.flags import with_flags
from ce2de_os.cli.jobs.language_options import language_options
from ce2de_os.cli.jobs.output import show
from ce2de_os.cli.jobs.vector_options import vector_options
from ce2de_os.cli.options import broker_option, connection_options, json_option
from ce2de_os.config import Settings

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from ce2de_os.index.language_fields import LanguageSpec
    from ce2de_os.reindex.job import Job
    from ce2de_os.reindex.queue import TaskQueue
    from ce2de_os.reindex.request import VectorOptions
    from ce2de_os.reindex.status import JobStatus

LOOK_S = 2.0


@click.command(short_help="Keep the vectors of an index up to date with every write.")
@click.argument("name")
@click.option(
    "--text-fields", help="Fields to embed, separated by commas.  [default: those that the index records]"
)
@click.option(
    "--template", help="Text to embed, instead of --text-fields, with fields in braces: '{title}. {body}'."
)
@click.option(
    "--passages", metavar="LENGTH:STRIDE", help="A vector for each LENGTH tokens, a new one every STRIDE."
)
@click.option(
    "--token-vectors", is_flag=True, help="Also store a vector for each token, for late interaction."
)
@language_options
@vector_options
@click.option(
    "--docs-per-second", "docs_per_s", type=float, help="Most documents per second, all workers together."
)
@click.option(
    "--once", is_flag=True, help="Wait until everything written so far has its vector, then return."
)
@click.option("--detach", is_flag=True, help="Return at once, without progress.")
@broker_option
@connection_options
@json_option
def command(
    name: str,
    text_fields: str | None,
    template: str | None,
    passages: str | None,
    token_vectors: bool,
    languages: LanguageSpec | None,
    vector_field: VectorOptions,
    docs_per_s: float | None,
    once: bool,
    detach: bool,
    broker_url: str | None,
    settings: Settings,
    as_json: bool,
) -> None:
    """Keep the vectors of NAME up to date: embed every write within seconds, until the job is cancelled.

    NAME is an index, an alias, a data stream or a pattern. A reindex starts this job by itself when its
    alias has moved; call it for an index that another tool filled. The index needs this model's vector field,
    or index.knn, so that one can be added. Indices that appear behind NAME join by themselves. The workers do
    the work: Ctrl-C only ends the display.

    \b
        ce2de follow articles --text-fields title,body
        ce2de follow articles --once            # wait until all vectors are up to date
        ce2de reindex pause|resume|throttle|cancel JOB
    """
    from ce2de_os.index.text_spec import follow_spec
    from ce2de_os.recipes.follow import follow
    from ce2de_os.reindex.request import JobRequest

    request = JobRequest(
        source=name,
        text=follow_spec(text_fields, template, passages),
        vector=vector_field,
        languages=languages,
        docs_per_s=docs_per_s,
        token_vectors=token_vectors,
    )
    settings = replace(settings, broker_url=broker_url or settings.broker_url)
    watch = partial(_watch, Watching(name, once, detach, as_json, settings.artifact))
    show(follow(request, settings=settings, watch=watch), as_json)


class Watching(NamedTuple):
    """Options of the command line that the display needs."""

    name: str
    once: bool
    detach: bool
    as_json: bool
    artifact: Path | None


def _watch(asked: Watching, client: OpenSearch, queue: TaskQueue, job: Job) -> JobStatus:
    """Report what has started, and show how far the vectors are behind."""
    from ce2de_os.reindex.status import status

    click.echo(f"Job {job.job_id} follows '{asked.name}': {len(job.parts)} indices", err=True)
    _warn_of_connection(client, asked)
    found = status(client, job.job_id)
    try:
        while not asked.detach and found.job.state == "following" and not (asked.once and found.lag == 0):
            if not asked.as_json:
                click.echo(_line(found))
            time.sleep(LOOK_S)
            found = status(client, job.job_id)
    except KeyboardInterrupt:
        click.echo(f"\nThe workers continue. To see the status: ce2de reindex status {job.job_id}", err=True)
    return found


def _warn_of_connection(client: OpenSearch, asked: Watching) -> None:
    """Warn if OpenSearch itself embeds what is written here, and does it wrong."""
    from ce2de_os.connect.check import check
    from ce2de_os.errors import Ce2deError
    from ce2de_os.index.connection import connections
    from ce2de_os.model.artifact import Artifact

    try:
        if asked.name not in {one.name for one in connections(client).values()}:
            return
        findings = check(client, asked.name, Artifact.load(asked.artifact))
    except Ce2deError:  # following needs fewer rights
        return
    for finding in findings:
        if not finding.right:
            found = f"{finding.what}: {finding.finding}; {with_flags(finding.action)}"
            click.echo(f"Warning: the service: {found}", err=True)


def _line(found: JobStatus) -> str:
    lag = "lag unknown" if found.lag is None else f"{found.lag:,} operations to embed"
    rate = f", {found.docs_per_s:,.0f} docs/s" if found.docs_per_s and found.lag else ""
    age = f", the oldest {found.freshness_s:.0f} s old" if found.freshness_s else ""
    return f"{lag}{age}{rate}; {found.dead_letters:,} rejected"
