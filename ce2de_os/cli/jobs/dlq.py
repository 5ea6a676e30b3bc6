"""``ce2de reindex dlq``: list, retry and export the dead letters of a job."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ce2de_os.cli.options import connection_options, encoding_options, json_option
from ce2de_os.config import Settings

_JOB = click.argument("job_id", metavar="JOB")


@click.group(
    short_help="List, retry or export the documents that were set aside.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def command() -> None:
    """List, retry or export dead letters: documents that OpenSearch rejected, or that crashed workers.

    The other documents of the page were written. Fix the cause, then retry: it writes the documents as they
    are now.

    \b
        ce2de reindex dlq list articles-1a2b3c4d
        ce2de reindex dlq retry articles-1a2b3c4d
    """


@command.command("list")
@_JOB
@click.option("--limit", type=click.IntRange(1), default=20, help="Largest number of documents to show.")
@connection_options
@json_option
def list_letters(job_id: str, limit: int, settings: Settings, as_json: bool) -> None:
    """Count the dead letters of JOB by reason, and show the first ones.

    \b
        ce2de reindex dlq list articles-1a2b3c4d --limit 5
    """
    from itertools import islice

    from ce2de_os.index.client import connect
    from ce2de_os.reindex import dead_letters
    from ce2de_os.reindex.ledger import Ledger

    client = connect(settings.opensearch)
    Ledger(client).job(job_id)
    kinds = dead_letters.by_kind(client, job_id)
    first = list(islice(dead_letters.letters(client, job_id), limit))
    if as_json:
        click.echo(json.dumps({"kinds": kinds, "documents": [asdict(letter) for letter in first]}, indent=2))
        return
    for kind, number in kinds.items():
        click.echo(f"{number:>8,}  {kind}")
    for letter in first:
        click.echo(f"{letter.source}/{letter.doc_id}  ({letter.tries}x)  {letter.reason}")
    if not kinds:
        click.echo("No dead letters.", err=True)


@command.command(short_help="Embed and write JOB's dead letters again.")
@_JOB
@encoding_options
@json_option
def retry(job_id: str, settings: Settings, as_json: bool) -> None:
    """Embed and write the dead letters of JOB again, as the documents are in the source now.

    \b
        ce2de reindex dlq retry articles-1a2b3c4d
    """
    from ce2de_os.index.client import connect
    from ce2de_os.model.encoder import OnnxEncoder
    from ce2de_os.reindex.syncing.retry import retry as retry_letters

    client = connect(settings.opensearch)
    report = retry_letters(client, OnnxEncoder(settings.artifact, threads=settings.threads), job_id)
    if as_json:
        click.echo(json.dumps(asdict(report)))
    else:
        click.echo(
            f"{report.written} written, {report.gone} gone from the source, {report.refused} rejected again"
        )
    if report.refused:
        raise SystemExit(1)


@command.command(short_help="Write JOB's dead letters to stdout, as JSON lines.")
@_JOB
@connection_options
def export(job_id: str, settings: Settings) -> None:
    """Write JOB's dead letters to stdout, one JSON object a line: id, source, routing, reason.

    \b
        ce2de reindex dlq export articles-1a2b3c4d > rejected.jsonl
    """
    from ce2de_os.index.client import connect
    from ce2de_os.reindex import dead_letters
    from ce2de_os.reindex.ledger import Ledger

    client = connect(settings.opensearch)
    Ledger(client).job(job_id)
    for letter in dead_letters.letters(client, job_id):
        click.echo(json.dumps(asdict(letter), ensure_ascii=False))
