"""``ce2de export``: turn a student or a cross-encoder into a model folder for serving."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ce2de_os.cli.options import json_option
from ce2de_os.errors import ConfigError, extra_needed

if TYPE_CHECKING:
    from ce2de_os.model.artifact import Artifact


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the model."
)
@click.option("--name", help="The model's name for people.  [default: the run's name]")
@click.option(
    "--pairs", type=click.Path(path_type=Path), metavar="FILE",
    help='For a cross-encoder: JSON lines {"query": …, "positive": …, "negatives": […]} of your domain, to '
    "check it on.  [default: those held out when it was trained, else built-in ones]",
)  # fmt: skip
@click.option(
    "--dim",
    type=int,
    help="Length of shorter embeddings: the student's head is reduced to its N principal components.",
)
@click.option(
    "--token-vectors", "token_dim", type=int, is_flag=False, flag_value=64, metavar="[DIM]",
    help="Also give a vector of DIM numbers for each token, for late interaction; 64 if DIM is left out.",
)  # fmt: skip
@click.option(
    "--full-depth", is_flag=True,
    help="Export the encoder that RUN learned from, all its layers: an artifact of the same vector space.",
)  # fmt: skip
@click.option("--threads", type=int, default=1, help="Number of cores for the check.")
@json_option
def command(
    run: Path, out: Path, name: str | None, pairs: Path | None, dim: int | None, token_dim: int | None,
    full_depth: bool, threads: int, as_json: bool,
) -> None:  # fmt: skip
    """Export RUN as a quantized ONNX model: a student as an encoder, a cross-encoder as a reranker.

    RUN is a folder written by 'ce2de distill' or 'ce2de train teacher', or any cross-encoder: a folder or a
    hub id with a sequence-classification model of one output.

    The int8 model is compared with RUN's float32 one on texts that the training has not seen, and rejected if
    it differs too much: an encoder by the cosine of the embeddings, a reranker by the order of the pairs.

    \b
    ce2de export runs/student --out my-model
    CE2DE_ARTIFACT=my-model ce2de search articles-search "red shoes"
    ce2de export runs/student --out my-short-model --dim 128
    ce2de export runs/student --out my-token-model --token-vectors
    ce2de export runs/student --out my-quality-model --full-depth
    ce2de export runs/teacher --out my-reranker

    An index whose documents --full-depth has embedded can be asked with the student: slower to build, better
    to search. --token-vectors leaves the embeddings as they are, to the last bit; the fingerprint changes.
    """
    if _is_cross_encoder(run):
        if dim is not None or token_dim is not None or full_depth:
            raise ConfigError(
                f"--dim, --token-vectors and --full-depth are for students; {run} is a cross-encoder"
            )
        _export_reranker(run, out, name, pairs, threads, as_json)
        return
    if pairs is not None:
        raise ConfigError(f"--pairs: {run} is a student; the check has texts of its own, leave --pairs out")
    with extra_needed("distill,export"):
        from ce2de_os.distill.models.full_depth import write_full_depth
        from ce2de_os.export.exporter import export

    with tempfile.TemporaryDirectory() as scratch:
        if full_depth:
            write_full_depth(run, Path(scratch))
            run, name = Path(scratch), name or f"{run.absolute().name}-full-depth"
        artifact, parity = export(run, out, name=name, dim=dim, token_dim=token_dim, threads=threads)
    if as_json:
        facts = {
            "folder": str(out),
            "dim": artifact.dim,
            "token_dim": artifact.token_dim,
            "fingerprint": artifact.fingerprint,
            **asdict(parity),
        }
        click.echo(json.dumps(facts))
        return
    _print_model(out, artifact, f"dim {artifact.dim}")
    cosines = f"cosine mean {parity.mean_cosine}, worst {parity.worst_cosine}"
    click.echo(f"int8/fp32:   {cosines} over {parity.texts:,} texts")
    if artifact.token_dim is not None:
        tokens = artifact.recipe["token_parity"]
        cosines = f"cosine mean {tokens['mean_cosine']}, worst {tokens['worst_cosine']}"
        click.echo(f"             {cosines} over {tokens['texts']:,} token vectors of {artifact.token_dim}")


def _is_cross_encoder(run: Path) -> bool:
    """Return whether ``run`` is a plain Hugging Face model: a folder without a recipe, or a hub id."""
    if (run / "recipe.json").exists():
        return False
    return (run / "config.json").exists() or not run.exists()


def _export_reranker(
    run: Path, out: Path, name: str | None, pairs: Path | None, threads: int, as_json: bool
) -> None:
    with extra_needed("distill,export"):
        from ce2de_os.distill.data.pairs import read_pairs
        from ce2de_os.distill.models.cross_encoder import load_cross_encoder
        from ce2de_os.distill.training.teacher_training import SAMPLE_FILE
        from ce2de_os.export.cross_encoder import export_cross_encoder

    held_out = run / SAMPLE_FILE
    if pairs is None and held_out.exists():
        pairs = held_out
    groups = [(pair.query, (pair.positive, *pair.negatives)) for pair in read_pairs(pairs)] if pairs else []
    encoder = load_cross_encoder(str(run), precision="fp32")
    artifact, parity = export_cross_encoder(encoder, out, groups=groups, name=name, threads=threads)
    if as_json:
        facts = {
            "folder": str(out),
            "kind": artifact.kind,
            "fingerprint": artifact.fingerprint,
            **asdict(parity),
        }
        click.echo(json.dumps(facts))
        return
    _print_model(out, artifact, "reranker")
    change = f"mean {parity.mean_change}, worst {parity.max_change}, where they spread by {parity.deviation}"
    click.echo(f"int8/fp32:   logits differ by {change}")
    order = f"rank correlation {parity.spearman}, Kendall's tau within a query {parity.kendall}"
    click.echo(f"             {order}, over {parity.pairs:,} pairs")


def _print_model(out: Path, artifact: Artifact, what: str) -> None:
    click.echo(f"model:       {out}  ({artifact.model_path.stat().st_size / 1e6:.1f} MB, {what})")
    click.echo(f"fingerprint: {artifact.fingerprint[:12]}")
