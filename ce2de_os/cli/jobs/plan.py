"""``ce2de plan``: estimate what a reindex takes, and say whether it fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ce2de_os.cli.durations import duration_s
from ce2de_os.cli.jobs.language_options import language_options
from ce2de_os.cli.jobs.vector_options import FieldFactory, vector_options
from ce2de_os.cli.options import connection_options, json_option, mode_option
from ce2de_os.config import Settings

if TYPE_CHECKING:
    from ce2de_os.index.language_fields import LanguageSpec
    from ce2de_os.reindex.job import Mode


@click.command(short_help="Show what a reindex takes, and whether it fits.")
@click.argument("source")
@click.option("--text-fields", required=True, help="Fields to embed, separated by commas, in this order.")
@mode_option(
    "copy: a new index and the alias. in-place: a second vector field in the same index. auto: in-place "
    "where that is possible."
)
@click.option("--alias", help="The alias that will move; shows whether the job is a mirror or a handover.")
@click.option("--target", help="Name of the new index; checks whether it can be used.")
@click.option("--pipeline", help="Ingest pipeline; checks whether it exists.")
@language_options
@click.option("--token-vectors", is_flag=True, help="Plan a vector for each token too, for late interaction.")
@vector_options
@click.option(
    "--within",
    metavar="TIME",
    callback=duration_s,
    help="Show how many workers finish the job within this time, such as 4h.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Show how long this number of workers takes, with one core each.",
)
@click.option(
    "--sample",
    type=click.IntRange(1, 10_000),
    default=500,
    help="Documents in the random sample that measures tokens and speed.",
)
@click.option(
    "--query-artifact",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Model folder for the queries, if --artifact embeds the documents only: shows what the larger model "
    "costs. Both must share a vector space.",
)
@connection_options
@json_option
def command(
    source: str,
    text_fields: str,
    mode: Mode | Literal["auto"],
    alias: str | None,
    target: str | None,
    pipeline: str | None,
    languages: LanguageSpec | None,
    token_vectors: bool,
    vector_field: FieldFactory,
    within: float | None,
    workers: int | None,
    sample: int,
    query_artifact: Path | None,
    settings: Settings,
    as_json: bool,
) -> None:
    """Show what embedding SOURCE takes: documents, tokens, memory, disk, shards, time.

    SOURCE is an index, an alias, a data stream or a pattern. Nothing is written to the cluster. Exit code 1
    means that it does not fit; each reason comes with what to do. Sizes are decimal gigabytes.

    \b
    How many workers?    ce2de plan articles --text-fields title,body --within 4h
    How long?            ce2de plan articles --text-fields title,body --workers 8
    Less memory:         ce2de plan articles --text-fields title,body --engine faiss --compression-level 16x
    Which languages?     ce2de plan articles --text-fields title,body --languages en,it,de
    Two models:          ce2de plan articles --text-fields title,body --artifact large --query-artifact small
    For a program:       ce2de plan articles --text-fields title,body --json
    """
    from ce2de_os.index.text_spec import text_spec
    from ce2de_os.recipes.plan import plan
    from ce2de_os.reindex.request import JobRequest

    request = JobRequest(
        source=source,
        text=text_spec(text_fields),
        alias=alias,
        target=target,
        mode=mode,
        vector=vector_field,
        languages=languages,
        pipeline=pipeline,
        token_vectors=token_vectors,
    )
    found = plan(
        request, within_s=within, workers=workers, sample=sample, query_artifact=query_artifact,
        settings=settings,
    )  # fmt: skip
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
    else:
        from ce2de_os.cli.jobs.plan_tables import show

        show(found)
        if found.meaning:
            click.echo(found.meaning)
    if not found.fits:
        raise SystemExit(1)
