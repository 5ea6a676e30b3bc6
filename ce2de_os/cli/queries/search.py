"""``ce2de search``: search an index from the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ce2de_os import deep_json
from ce2de_os.cli.options import Utf8, encoding_options, json_option
from ce2de_os.cli.queries.reranking import second_model
from ce2de_os.config import Settings

if TYPE_CHECKING:
    from ce2de_os.search.question import Mode
    from ce2de_os.search.result import SearchResult
    from ce2de_os.search.searcher import HybridSearcher
    from ce2de_os.search.strategy import Strategy

MODES = ("bm25", "dense", "hybrid")
FUSIONS = ("min_max", "l2", "z_score", "rrf")
STRATEGIES = ("pipeline", "client")


def _json_objects(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Parse each value of an option as a JSON object, or end with a usage error."""
    return [_json_object(value) for value in values]


def _json_object(value: str) -> dict[str, Any]:
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"not JSON ({error}): {value}") from error
    except RecursionError as error:
        raise click.BadParameter("the JSON is nested too deeply") from error
    if not isinstance(parsed, dict):
        raise click.BadParameter(f'expected an object such as {{"term": {{"lang": "en"}}}}, got {value}')
    return parsed


def _modes(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Split ``bm25,dense``; ``all`` means every mode."""
    modes = MODES if value == "all" else tuple(dict.fromkeys(value.split(",")))
    unknown = [mode for mode in modes if mode not in MODES]
    if unknown:
        raise click.BadParameter(f"'{unknown[0]}' is not one of {', '.join(MODES)}, or all")
    return modes


@click.command(short_help="Search an index by BM25, vectors, or both.")
@click.argument("index")
@click.argument("question", nargs=-1, required=True, type=Utf8())
@click.option(
    "--mode",
    "modes",
    metavar="MODE[,MODE...]",
    default="hybrid",
    callback=_modes,
    help="bm25, dense or hybrid; several, or 'all', are shown side by side.",
)
@click.option("--top-k", type=click.IntRange(1, 10_000), default=10, help="How many documents to show.")
@click.option(
    "--from",
    "from_",
    type=click.IntRange(0, 9_999),
    default=0,
    help="Number of documents to skip, for later pages.",
)
@click.option(
    "--filter",
    "filters",
    type=Utf8(),
    metavar="JSON",
    multiple=True,
    callback=_json_objects,
    help="An OpenSearch query that every hit must match; can be repeated.",
)
@click.option(
    "--language",
    metavar="CODE",
    help="Only documents in this language, such as it; 'other': in none of the index's.  [default: all]",
)
@click.option(
    "--field",
    "fields",
    type=Utf8(),
    metavar="NAME[^BOOST]",
    multiple=True,
    help="A text field for BM25, such as title^3; can be repeated.  [default: the embedded text, by language "
    "where the index has it so]",
)
@click.option("--vector-field", help="The vector field.  [default: the newest that fits the model]")
@click.option(
    "--fusion",
    type=click.Choice(FUSIONS),
    default="min_max",
    help="How hybrid fuses the two lists: by normalized scores, or by ranks (rrf).",
)
@click.option(
    "--dense-weight", type=click.FloatRange(0, 1), help="Share of the vectors in hybrid.  [default: 0.5]"
)
@click.option(
    "--candidates",
    type=click.IntRange(1, 10_000),
    default=100,
    help="Number of documents that each leg takes from each shard.",
)
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    help="Where to fuse the two lists: in the cluster (pipeline) or here (client).  "
    "[default: in the cluster if it supports it]",
)
@click.option(
    "--reranker",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of an exported cross-encoder that re-ranks the best hits.",
)
@click.option(
    "--late-interaction",
    is_flag=True,
    help="Re-rank the best hits by MaxSim of token vectors, instead of --reranker; needs a model "
    "exported with --token-vectors.",
)
@click.option("--rerank-depth", type=click.IntRange(0), help="Number of hits to re-rank.  [default: 50]")
@click.option(
    "--rerank-weight",
    type=click.FloatRange(0, 1),
    help="Share of the re-ranking in the order.  [default: 1 for a cross-encoder, 0.25 for late interaction]",
)
@click.option(
    "--rerank-deadline-ms", type=click.FloatRange(0), help="Longest time for re-ranking.  [default: no limit]"
)
@click.option(
    "--timeout-ms",
    type=click.IntRange(1),
    help="Longest time for the search in OpenSearch; shows the hits found until then.  [default: no limit]",
)
@click.option(
    "--explain", is_flag=True, help="Show the raw scores of BM25 and vectors, and the time of each step."
)
@json_option
@encoding_options
def command(
    settings: Settings,
    index: str,
    question: tuple[str, ...],
    modes: tuple[Mode, ...],
    strategy: Strategy | None,
    reranker: Path | None,
    late_interaction: bool,
    explain: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - the searcher's own options
) -> None:
    """Search INDEX, an index or an alias, for a QUESTION in plain words.

    \b
    Both ways together:   ce2de search articles-search how do I copy a folder
    Compared:             ce2de search articles-search "copy a folder" --mode bm25,dense,hybrid --top-k 5
    Only recent ones:     ce2de search articles-search folder --filter '{"range": {"year": {"gte": 2020}}}'
    Only in Italian:      ce2de search articles-search passport renewal --language it
    For a program:        ce2de search articles-search folder --json

    The mode bm25 works on any index; dense and hybrid need one that 'ce2de reindex' has filled with the same
    model. Each row shows the document's rank in the two lists that hybrid fuses.
    """
    embeds = set(modes) != {"bm25"}
    searcher, model = _searcher(settings, index, strategy, reranker, late_interaction, embeds)
    text = " ".join(question)
    options |= {"fields": options["fields"] or None, "explain": True}
    answers = {mode: searcher.search(text, mode=mode, **options) for mode in modes}
    if as_json:
        click.echo(deep_json.dumps(_as_json(text, answers), ensure_ascii=False, indent=2))
    elif not any(answers.values()):
        click.echo(f"No document in {index} matches.", err=True)
    else:
        _show(text, answers, explain)
    _tell(answers, model, explain and not as_json)


def _searcher(
    settings: Settings,
    index: str,
    strategy: Strategy | None,
    reranker: Path | None,
    late_interaction: bool,
    embeds: bool,
) -> tuple[HybridSearcher, str | None]:
    """Create the searcher; return it with the fingerprint of the model that embeds questions."""
    from ce2de_os.index.client import connect
    from ce2de_os.model.encoder import OnnxEncoder
    from ce2de_os.search.searcher import HybridSearcher

    encoder = None
    if embeds or late_interaction:
        encoder = OnnxEncoder(settings.artifact, threads=settings.threads)
    second = second_model(settings, reranker, encoder if late_interaction else None)
    client = connect(settings.opensearch)
    searcher = HybridSearcher(client, index, encoder, reranker=second, strategy=strategy)
    return searcher, encoder.fingerprint if encoder else None


def _show(text: str, answers: Mapping[Mode, SearchResult], explain: bool) -> None:
    from rich.console import Console

    from ce2de_os.cli.tables import compare_table, results_table

    if len(answers) > 1:
        Console().print(compare_table(text, {str(mode): hits for mode, hits in answers.items()}))
        return
    (hits,) = answers.values()
    Console().print(results_table(hits, explain))


def _tell(answers: Mapping[Mode, SearchResult], model: str | None, explain: bool) -> None:
    """Print on stderr which results are missing, and with ``explain`` how they were found."""
    used = {result.vector_model for result in answers.values() if result.vector_model}
    for other in sorted(used - {model}):
        click.echo(
            f"the question was embedded by the model {str(model)[:12]}, the documents by {other[:12]}, "
            "another one of the same space; choose with --artifact or CE2DE_ARTIFACT",
            err=True,
        )
    for mode, result in answers.items():
        if result.timed_out:
            click.echo(f"{mode}: not complete, the time was over", err=True)
        for failure in result.failures:
            click.echo(f"{mode}: not complete, {failure}", err=True)
        if result.reranked < result.rerank_wanted:
            told = f"{result.reranked} of {result.rerank_wanted} hits scored again in time"
            click.echo(f"{mode}: {told}", err=True)
        if explain:
            times = ", ".join(f"{name} {value:.1f}" for name, value in result.timings._asdict().items())
            click.echo(f"{mode}: joined by {result.strategy or 'nothing'}; {times}", err=True)


def _as_json(text: str, answers: Mapping[Mode, SearchResult]) -> dict[str, Any]:
    """Convert to JSON; one mode: ``{"query", "mode", "hits", ...}``; several: ``{"query", "modes"}``."""
    rows = {mode: result.to_json() for mode, result in answers.items()}
    if len(rows) > 1:
        return {"query": text, "modes": rows}
    ((mode, result),) = rows.items()
    return {"query": text, "mode": mode, **result}
