"""``ce2de evaluate``: measure the quality and the speed of each way to search, on judged queries."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ce2de_os.cli.options import encoding_options, json_option
from ce2de_os.cli.progress_bars import progress_bars
from ce2de_os.cli.queries.output import drawing, show_comparison
from ce2de_os.cli.queries.reranking import BOTH_RERANKERS
from ce2de_os.config import Settings
from ce2de_os.errors import extra_needed

if TYPE_CHECKING:
    from ce2de_os.evaluation import Qrels, Runs
    from ce2de_os.search.question import Fusion

FUSIONS: tuple[Fusion, ...] = ("min_max", "l2", "z_score", "rrf")

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Compare BM25, vectors and hybrids on judged queries; tune them.")
@click.argument("index")
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Folder with queries.jsonl and qrels.tsv or qrels/test.tsv.",
)  # fmt: skip
@click.option("--queries", type=_FILE, help="Instead of --data: JSON lines with _id and text.")
@click.option("--qrels", type=_FILE, help="With --queries: query-id, corpus-id, score, by tabs.")
@click.option(
    "--fusion", "fusions", type=click.Choice(FUSIONS), multiple=True,
    help="A hybrid to compare; can be repeated.  [default: all]",
)  # fmt: skip
@click.option(
    "--reranker", type=click.Path(path_type=Path), metavar="DIR",
    help="Folder of an exported cross-encoder: compares every system with the same one re-ranked.",
)  # fmt: skip
@click.option(
    "--late-interaction", is_flag=True,
    help="Re-rank by MaxSim of token vectors instead; needs a model exported with --token-vectors.",
)  # fmt: skip
@click.option("--rerank-depth", type=click.IntRange(1, 10_000), default=50, help="Number of hits to re-rank.")
@click.option(
    "--rerank-weight", type=click.FloatRange(0, 1),
    help="Share of the re-ranking in the order.  [default: 1 for a cross-encoder, 0.25 for late interaction]",
)  # fmt: skip
@click.option(
    "--tune", is_flag=True,
    help="Tune fusion and weight on one half of the queries, and report on the other half only.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, help="Seed of the halves, and of the choice of timed queries.")
@click.option(
    "--top-k", type=click.IntRange(100, 10_000), default=100,
    help="Number of hits for every query.",
)  # fmt: skip
@click.option(
    "--candidates", type=click.IntRange(1, 10_000), default=100,
    help="Number of documents that each leg takes from each shard.",
)  # fmt: skip
@click.option(
    "--field", "fields", metavar="NAME[^BOOST]", multiple=True,
    help="A text field for BM25; can be repeated.  [default: the embedded ones]",
)  # fmt: skip
@click.option("--vector-field", help="The vector field.  [default: the newest that fits the model]")
@click.option(
    "--latency-queries", type=click.IntRange(0), default=100,
    help="Number of queries to time one by one in every system; 0: none.",
)  # fmt: skip
@click.option(
    "--save-runs", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Write each system's rankings to DIR as a TREC run, and their judgments, for 'ce2de compare'.",
)  # fmt: skip
@click.option("--plot", type=_FILE, help="Plot quality against latency into this file, as PNG and as SVG.")
@json_option
@encoding_options
def command(
    settings: Settings, index: str, data: Path | None, queries: Path | None, qrels: Path | None,
    fusions: tuple[Fusion, ...], reranker: Path | None, late_interaction: bool, rerank_depth: int,
    rerank_weight: float | None, tune: bool, seed: int, top_k: int, candidates: int, fields: tuple[str, ...],
    vector_field: str | None, latency_queries: int, save_runs: Path | None, plot: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare ways to search INDEX on queries whose relevant documents are known.

    BM25, vectors, and each hybrid of the two, asked in your cluster: nDCG@10, MRR@10, recall@100 with 95%
    bootstrap intervals, paired tests against BM25, and the latency of single searches. INDEX is an index or
    an alias that 'ce2de reindex' has filled; judgments name its documents by _id.

    \b
    ce2de evaluate articles-search --data my-queries
    ce2de evaluate articles-search --queries queries.jsonl --qrels qrels.tsv --tune
    ce2de evaluate articles-search --data my-queries --reranker my-reranker --plot quality.png
    CE2DE_ARTIFACT=my-token-model ce2de evaluate articles-search --data my-queries --late-interaction

    About fifty judged queries show large differences; small ones take a few hundred.
    """
    with extra_needed("evaluate"):
        from ce2de_os.cli.queries.evaluate_tables import print_tables
        from ce2de_os.quality.comparison import ComparisonSettings, warnings
    from ce2de_os.recipes.evaluate import EvaluateRequest, evaluate

    if plot and not latency_queries:
        raise click.UsageError("--plot shows latency; leave out --latency-queries 0")
    draw = drawing(plot, "ce2de_os.quality.comparison_plot") if plot else None
    comparison = ComparisonSettings(
        fusions=tuple(dict.fromkeys(fusions)) or FUSIONS,
        top_k=top_k,
        candidates=candidates,
        rerank_depth=rerank_depth,
        tune=tune,
        latency_queries=latency_queries,
        seed=seed,
        fields=fields or None,
        vector_field=vector_field,
        rerank_weight=rerank_weight,
    )
    if reranker and late_interaction:
        raise click.UsageError(BOTH_RERANKERS)
    request = EvaluateRequest(index, *_files(data, queries, qrels), reranker, late_interaction, comparison)
    keep = partial(_save, save_runs, request.judged().qrels) if save_runs else lambda *_: None
    with progress_bars() as phase:
        found = evaluate(request, settings=settings, phase=phase, keep=keep)
    show_comparison(found, print_tables, warnings(found), draw, as_json)


def _files(data: Path | None, queries: Path | None, qrels: Path | None) -> tuple[Path, Path | None]:
    """Choose the files of queries and judgments, or their folder; unclear options are a usage error."""
    if data is not None and queries is None and qrels is None:
        return data, None
    if data is not None or queries is None or qrels is None:
        raise click.UsageError("name the judged queries either by --data, or by --queries and --qrels")
    return queries, qrels


def _save(folder: Path, qrels: Qrels, name: str, runs: Runs) -> None:
    """Write one system's rankings, and the judgments of the queries that it answered."""
    from ce2de_os.evaluation import write_qrels, write_run

    tag = "-".join(re.findall(r"\w+", name))
    write_run(folder / f"{tag}.trec.gz", runs, tag)
    write_qrels(folder / "qrels.tsv", {query_id: qrels[query_id] for query_id in runs})
