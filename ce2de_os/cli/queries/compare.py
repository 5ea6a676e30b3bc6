"""``ce2de compare``: compare systems by their rankings in files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ce2de_os.cli.options import json_option
from ce2de_os.cli.queries.output import drawing, show_comparison
from ce2de_os.errors import DataError, extra_needed

if TYPE_CHECKING:
    from ce2de_os.evaluation import Qrels, Runs
    from ce2de_os.evaluation.languages import LanguageOf

_FILE = click.Path(path_type=Path, dir_okay=False)
_METRICS = ("nDCG@20", "MAP", "Recall@1000", "MRR@10")


def _named(_: click.Context, option: click.Option, values: tuple[str, ...]) -> dict[str, Path]:
    """Split ``NAME=FILE`` options; return the files by name."""
    found: dict[str, Path] = {}
    for value in values:
        name, equals, file = value.partition("=")
        if not (name and equals and file):
            raise click.BadParameter(f"got '{value}', expected {option.metavar}")
        if name in found:
            raise click.BadParameter(f"'{name}' comes twice; expected different names")
        found[name] = Path(file)
    return found


@click.command(short_help="Compare rankings in files: which is better, which equivalent.")
@click.option(
    "--qrels", type=_FILE, required=True,
    help="Judgments: query-id, corpus-id, score, by tabs; or TREC's four columns.",
)  # fmt: skip
@click.option(
    "--run", "runs", metavar="NAME=FILE", multiple=True, required=True, callback=_named,
    help="A system's rankings, a TREC run, .gz or not; can be repeated.",
)  # fmt: skip
@click.option("--baseline", metavar="NAME", help="System to test the others against.  [default: no tests]")
@click.option("--queries", type=_FILE, help="Measure these queries only: JSON lines with _id and text.")
@click.option(
    "--documents", metavar="LANG=FILE", multiple=True, callback=_named,
    help="Rankings over several languages: a language's corpus.jsonl, once for each. Runs name its documents "
    "LANG:ID; judgments name ID, and hold for every translation.",
)  # fmt: skip
@click.option(
    "--languages", type=_FILE, help="Instead of --documents: each document's id and language, by a tab."
)
@click.option(
    "--passages", type=_FILE,
    help="Runs rank passages: each one's id and its document's, by a tab. A document scores as its best "
    "passage (MaxP).",
)  # fmt: skip
@click.option(
    "--metric", "metrics", metavar="NAME", multiple=True, default=_METRICS,
    help="Metrics to compute: nDCG@10, nDCG@20, MAP, MAP@100, MRR@10, Recall@100, Recall@1000, Hits@10.",
)  # fmt: skip
@click.option(
    "--margin", type=click.FloatRange(0, min_open=True), default=0.05,
    help="Largest difference from the baseline that counts as equivalent.",
)  # fmt: skip
@click.option("--plot", type=_FILE, help="Plot the means into this file, as PNG and as SVG.")
@json_option
def command(
    qrels: Path, runs: dict[str, Path], baseline: str | None, queries: Path | None,
    documents: dict[str, Path], languages: Path | None, passages: Path | None, metrics: tuple[str, ...],
    margin: float, plot: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare systems by their rankings in files.

    Each metric's mean with its 95% bootstrap interval; a one-sided paired t-test of "better than the
    baseline", and an equivalence test (TOST) of "within the margin of it", both with Bonferroni's correction.
    No cluster is needed.

    \b
    Two systems:    ce2de compare --qrels qrels.tsv --run TT=tt.trec --run TD=td.trec.gz --baseline TT
    Two languages:  ce2de compare --qrels qrels.tsv --run TD=td.trec \\
                      --documents it=corpus.it.jsonl.gz --documents de=corpus.de.jsonl.gz
    Passages:       ce2de compare … --passages mapping.tsv
    Your cluster:   ce2de evaluate articles-search --data my-queries --top-k 1000 --save-runs runs
                    ce2de compare --qrels runs/qrels.tsv --run BM25=runs/BM25.trec.gz \\
                      --run dense=runs/dense.trec.gz --baseline BM25

    Equal scores rank in the order of the file. A query that is missing in a run counts 0. No mark means
    that neither test is significant; more queries may help.
    """
    with extra_needed("evaluate"):
        from ce2de_os.cli.queries.compare_tables import notes, print_tables
        from ce2de_os.evaluation import load_judged, load_qrels
        from ce2de_os.evaluation.comparison import compare_runs

    if documents and languages:
        raise click.UsageError("name the languages either by --documents, or by --languages")
    draw = drawing(plot, "ce2de_os.evaluation.comparison_plot") if plot else None
    judged: Qrels = load_judged(queries, qrels).qrels if queries else load_qrels(qrels)
    if documents:
        judged = _mixed(documents, judged)
    rankings = {name: _read(file, judged, passages) for name, file in runs.items()}
    found = compare_runs(
        rankings, judged, baseline=baseline, metrics=metrics, margin=margin,
        language_of=_language_of(documents, languages, rankings, judged),
    )  # fmt: skip
    show_comparison(found, print_tables, notes(found), draw, as_json)


def _mixed(documents: dict[str, Path], judged: Qrels) -> Qrels:
    """Return the judgments of all translations present; print how many queries have none."""
    from ce2de_os.evaluation import mixed_qrels
    from ce2de_os.records import read_documents

    wanted = {doc_id for one in judged.values() for doc_id in one}
    held = {
        language: {document.doc_id for document in read_documents(file) if document.doc_id in wanted}
        for language, file in documents.items()
    }
    mixed = mixed_qrels(held, judged)
    if len(mixed) < len(judged):
        click.echo(
            f"note: {len(judged) - len(mixed):,} of {len(judged):,} judged queries have no relevant document "
            f"in {', '.join(documents)}; they are left out",
            err=True,
        )
    return mixed


def _read(file: Path, judged: Qrels, passages: Path | None) -> Runs:
    """Read the judged queries' rankings of documents; of passages, the best one counts."""
    from ce2de_os.evaluation import max_p, read_run
    from ce2de_os.evaluation.passages import read_mapping

    run: Runs = {query_id: ranking for query_id, ranking in read_run(file).items() if query_id in judged}
    if passages is None:
        return run
    mapping = read_mapping(passages, _documents(run))
    try:
        return max_p(run, mapping)
    except DataError as error:
        raise DataError(f"{file}: {error} {passages}") from error


def _language_of(
    documents: dict[str, Path], languages: Path | None, runs: dict[str, Runs], judged: Qrels
) -> LanguageOf | None:
    from ce2de_os.evaluation.languages import listed_language, mixed_language
    from ce2de_os.evaluation.passages import read_mapping

    if languages is None:
        return mixed_language(documents.keys()) if documents else None
    wanted = {doc_id for one in judged.values() for doc_id in one}.union(*map(_documents, runs.values()))
    return listed_language(read_mapping(languages, wanted))


def _documents(run: Runs) -> set[str]:
    return {document.doc_id for ranking in run.values() for document in ranking}
