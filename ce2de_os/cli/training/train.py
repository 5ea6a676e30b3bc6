"""``ce2de train``: make the models that distillation needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ce2de_os.cli.options import connection_options, json_option
from ce2de_os.distill.tables import DEFAULT_TEACHER
from ce2de_os.distill.training.teacher_config import TeacherConfig
from ce2de_os.errors import DataError, extra_needed

if TYPE_CHECKING:
    from ce2de_os.config import Settings
    from ce2de_os.distill.data.pairs import PairCounts, TrainingPair
    from ce2de_os.model.encoder import OnnxEncoder

DEFAULTS = TeacherConfig()


def _layers(ctx: click.Context, param: click.Parameter, given: str | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    numbers = given.split(",")
    if not all(number.strip().isdecimal() for number in numbers):
        raise click.BadParameter(f"got '{given}', expected numbers from 0 separated by commas, such as 0,2,5")
    return tuple(map(int, numbers))


@click.group("train", short_help="Train a cross-encoder for your domain.")
def command() -> None:
    """Train a model that distillation needs.

    \b
    ce2de train teacher --index articles --query-field title --passage-field body --out runs/teacher
    """


@command.command("teacher")
@click.option(
    "--pairs", "pairs_file", type=click.Path(path_type=Path), metavar="FILE",
    help='JSON lines {"query": …, "positive": …, "negatives": […]}, .gz or not; "negatives" may be missing. '
    'Or {"title": …, "text": …}.',
)  # fmt: skip
@click.option("--index", help="Take the pairs from this index, instead of --pairs.")
@click.option("--query-field", help="With --index: field to use as the query, such as title.")
@click.option("--passage-field", help="With --index: field to use as the passage, such as body.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the teacher."
)
@click.option(
    "--base", default=DEFAULTS.base,
    help=f"Encoder to start from: hub id, folder, or the PyPI package {DEFAULT_TEACHER}.",
)  # fmt: skip
@click.option(
    "--layers", metavar="N,...", callback=_layers,
    help="Layers of the base to keep, such as 0,2,5 of six: fewer are faster and less accurate.  "
    "[default: all]",
)  # fmt: skip
@click.option(
    "--loss", type=click.Choice(["softmax", "bce"]), default=DEFAULTS.loss,
    help="softmax: the positive against its negatives; bce: each pair by itself.",
)  # fmt: skip
@click.option("--minutes", type=float, default=DEFAULTS.minutes, help="Minutes of training.")
@click.option(
    "--steps", type=int, help="Number of training steps, instead of --minutes, to repeat a run exactly."
)
@click.option(
    "--max-pairs", type=int, default=DEFAULTS.pairs,
    help="Largest number of pairs to use, drawn at random.",
)  # fmt: skip
@click.option(
    "--negatives", type=int, default=DEFAULTS.negatives,
    help="Negative passages for each positive one in a step.",
)  # fmt: skip
@click.option(
    "--dense-negatives", is_flag=True,
    help="Find negatives with the model of --artifact too, not by BM25 alone.",
)  # fmt: skip
@click.option(
    "--max-length", type=int, default=DEFAULTS.max_length, help="Most tokens of a pair that the model reads."
)
@click.option("--batch-queries", type=int, default=DEFAULTS.batch_queries, help="Queries in one step.")
@click.option("--lr", type=float, default=DEFAULTS.lr, help="Peak learning rate.")
@click.option(
    "--dropout", type=float, show_default=False,
    help="Share of the states that a step leaves out at random; 0 is faster, and fits runs that read most "
    "pairs once.  [default: the base's]",
)  # fmt: skip
@click.option(
    "--seed", type=int, default=DEFAULTS.seed,
    help="Seed of the choice and order of the pairs, and of the new head.",
)  # fmt: skip
@click.option("--threads", type=int, default=0, show_default=False, help="Cores to use.  [default: all]")
@connection_options
@json_option
def teacher(
    pairs_file: Path | None, index: str | None, query_field: str | None, passage_field: str | None, out: Path,
    max_pairs: int, dense_negatives: bool, as_json: bool, settings: Settings, **options: object,
) -> None:  # fmt: skip
    """Train a cross-encoder: a model that reads a query and a passage together and scores their match.

    Use it if you have no cross-encoder for your domain. It needs pairs of a query and a passage that
    answers it, from a file or from two fields of an index; wrong answers to learn from are found among the
    other passages by BM25, and with --dense-negatives by vectors too. Ctrl-C or a crash loses at most a
    minute: the same command resumes.

    \b
    ce2de train teacher --index articles --query-field title --passage-field body --out runs/teacher
    ce2de train teacher --pairs pairs.jsonl.gz --minutes 60 --out runs/teacher

    The folder is a Hugging Face sequence-classification model. Its teacher.json has the results on held-out
    queries (the rank of the right passage among ten, MRR@10).
    """
    config = TeacherConfig(pairs=max_pairs, **options)  # type: ignore[arg-type]
    fields = _check_source(pairs_file, index, query_field, passage_field)
    with extra_needed("distill"):
        from ce2de_os.distill.data.pairs import read_pairs, select_pairs
        from ce2de_os.distill.training.console import ConsoleProgress
        from ce2de_os.distill.training.teacher_training import check_out, train_teacher
    from ce2de_os.distill.training.teacher_progress import TeacherProgress

    work = check_out(out)
    with ConsoleProgress() as console:

        def report(progress: TeacherProgress, done: float) -> None:
            ranked = f"{progress.dev[-1][1]:.3f}" if progress.dev else "-"
            rate = progress.steps * config.batch_queries / max(progress.elapsed_s, 1e-9)
            note = f"loss {progress.loss:.3f}  MRR@10 {ranked}  {rate:,.1f} queries/s"
            console.show("train", done, note)

        console.phase("pairs", 0, 1)
        if pairs_file is not None:
            pairs, counts = select_pairs(read_pairs(pairs_file), config.pairs, config.seed)
        else:
            pairs, counts = _index_pairs(settings, fields, config, work)
        console.phase("pairs", 1, 1)
        facts = train_teacher(
            pairs, counts, config, out, phase=console.phase, report=report,
            first_stage=_first_stage(settings) if dense_negatives else None,
        )  # fmt: skip
    _print(out, facts, as_json)


def _first_stage(settings: Settings) -> OnnxEncoder:
    from ce2de_os.model.encoder import OnnxEncoder

    return OnnxEncoder(settings.artifact, threads=settings.threads)


def _check_source(
    pairs_file: Path | None, index: str | None, query_field: str | None, passage_field: str | None
) -> tuple[str, str, str]:
    """Check and return index, query field and passage field; all ``""`` if the pairs are in a file."""
    if (pairs_file is None) == (index is None):
        raise click.UsageError("give either --pairs FILE or --index NAME")
    if index is not None and (query_field is None or passage_field is None):
        raise click.UsageError("--index needs --query-field and --passage-field")
    if index is None and (query_field is not None or passage_field is not None):
        raise click.UsageError("--query-field and --passage-field go with --index")
    return index or "", query_field or "", passage_field or ""


def _index_pairs(
    settings: Settings, place: tuple[str, str, str], config: TeacherConfig, work: Path
) -> tuple[list[TrainingPair], PairCounts]:
    """Read the pairs of ``(index, query field, passage field)``; keep them in a file for a later run."""
    from ce2de_os.distill.data.pairs import PairCounts, TrainingPair, read_pairs, select_pairs, write_pairs
    from ce2de_os.index.client import address, connect
    from ce2de_os.index.documents import document_text, stream_sources
    from ce2de_os.reading import read_object, readable

    index, query_field, passage_field = place
    source = (address(settings.opensearch), *place, config.pairs, config.seed)
    name = f"pairs-{hashlib.sha256(repr(source).encode()).hexdigest()[:12]}"
    kept, counts_file = work / f"{name}.jsonl.gz", work / f"{name}.json"
    if kept.is_file() and counts_file.is_file():
        counts = PairCounts(**read_object(counts_file))
        return list(read_pairs(kept)), counts

    def stream() -> Iterator[TrainingPair]:
        with connect(settings.opensearch) as client:
            for _, fields in stream_sources(client, index, [query_field, passage_field]):
                query, passage = (document_text(fields, [name]) for name in (query_field, passage_field))
                yield TrainingPair(readable(query), readable(passage))

    pairs, counts = select_pairs(stream(), config.pairs, config.seed)
    if not pairs:
        raise DataError(
            f"'{index}': none of {counts.read:,} documents has text in both '{query_field}' and "
            f"'{passage_field}'; see its fields with GET {index}/_mapping"
        )
    work.mkdir(parents=True, exist_ok=True)
    counts_file.write_text(json.dumps(vars(counts)), encoding="utf-8")
    write_pairs(kept, pairs)
    return pairs, counts


def _print(out: Path, facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts))
        return
    counts = facts["counts"]
    click.echo(f"teacher: {out}")
    click.echo(
        f"pairs:   {counts['read']:,} read, {counts['empty']:,} with an empty side, "
        f"{counts['equal']:,} with equal sides, {counts['repeated']:,} repeated, "
        f"{counts['trained']:,} trained on, {counts['held_out']:,} held out"
    )
    before, after = facts["dev_mrr_before"], facts["dev_mrr_after"]
    click.echo(f"MRR@10:  {after} on the held-out queries, {before} before training")
