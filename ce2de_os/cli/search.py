"""``ce2de search``: ask an index from the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ce2de_os.cli.options import connection_options, json_option
from ce2de_os.config import Settings

if TYPE_CHECKING:
    from ce2de_os.records import Hit
    from ce2de_os.search.searcher import Fusion, HybridSearcher, Mode

MODES: tuple[Mode, ...] = ("bm25", "dense", "hybrid")


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
    if not isinstance(parsed, dict):
        raise click.BadParameter(f'expected an object such as {{"term": {{"lang": "en"}}}}, got {value}')
    return parsed


@click.command(short_help="Ask an index by BM25, vectors, or both.")
@click.argument("index")
@click.argument("question", nargs=-1, required=True)
@click.option(
    "--mode",
    type=click.Choice([*MODES, "all"]),
    default="hybrid",
    show_default=True,
    help="How to search; 'all' shows the three side by side.",
)
@click.option(
    "--top-k", type=click.IntRange(1), default=10, show_default=True, help="How many documents to show."
)
@click.option(
    "--filter",
    "filters",
    metavar="JSON",
    multiple=True,
    callback=_json_objects,
    help="An OpenSearch query that every hit must match; may be given several times.",
)
@click.option(
    "--fusion",
    type=click.Choice(["min_max", "rrf"]),
    default="min_max",
    show_default=True,
    help="How hybrid joins the two lists: by normalised scores, or by ranks.",
)
@click.option("--explain", is_flag=True, help="Show the raw scores of BM25 and vectors too.")
@json_option
@connection_options
def command(
    settings: Settings,
    index: str,
    question: tuple[str, ...],
    mode: str,
    top_k: int,
    filters: list[dict[str, Any]],
    fusion: Fusion,
    explain: bool,
    as_json: bool,
) -> None:
    """Ask INDEX, an index or an alias, a QUESTION in plain words.

    \b
    Both ways together:   ce2de search articles-search how do I copy a folder
    The three compared:   ce2de search articles-search "copy a folder" --mode all --top-k 5
    Only in English:      ce2de search articles-search folder --filter '{"term": {"lang": "en"}}'
    For a program:        ce2de search articles-search folder --json

    The mode bm25 works on any index; dense and hybrid need one that 'ce2de reindex' has filled with the same
    model. Each row shows the document's rank in the two lists that hybrid joins.
    """
    searcher = _searcher(settings, index, fusion, with_encoder=mode != "bm25")
    text = " ".join(question)
    modes = MODES if mode == "all" else tuple(known for known in MODES if known == mode)
    answers = {known: searcher.search(text, top_k, known, filters) for known in modes}
    if as_json:
        click.echo(json.dumps(_as_json(text, answers), ensure_ascii=False, indent=2))
    elif not any(answers.values()):
        click.echo(f"No document in {index} matches.", err=True)
    else:
        _show(text, answers, explain)


def _searcher(settings: Settings, index: str, fusion: Fusion, with_encoder: bool) -> HybridSearcher:
    from ce2de_os.encoder import OnnxEncoder
    from ce2de_os.index.client import connect
    from ce2de_os.search.searcher import HybridSearcher

    encoder = OnnxEncoder(settings.artifact, threads=settings.threads) if with_encoder else None
    return HybridSearcher(connect(settings.opensearch), index, encoder, fusion=fusion)


def _show(text: str, answers: Mapping[Mode, Sequence[Hit]], explain: bool) -> None:
    from rich.console import Console

    from ce2de_os.cli.tables import compare_table, results_table

    if len(answers) > 1:
        Console().print(compare_table(text, {str(mode): hits for mode, hits in answers.items()}))
        return
    (hits,) = answers.values()
    Console().print(results_table(hits, explain))


def _as_json(text: str, answers: Mapping[Mode, Sequence[Hit]]) -> dict[str, Any]:
    """One mode: ``{"query", "mode", "hits"}``; several: ``{"query", "modes": {mode: hits}}``."""
    rows = {mode: [hit.to_json() for hit in hits] for mode, hits in answers.items()}
    if len(rows) > 1:
        return {"query": text, "modes": rows}
    ((mode, hits),) = rows.items()
    return {"query": text, "mode": mode, "hits": hits}
