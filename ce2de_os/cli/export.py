"""``ce2de export``: turn a student into a model folder for serving."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from ce2de_os.cli.options import json_option
from ce2de_os.errors import MissingExtraError


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the model."
)
@click.option("--name", help="The model's name for people.  [default: the run's name]")
@click.option("--threads", type=int, default=1, show_default=True, help="Cores for the check.")
@json_option
def command(run: Path, out: Path, name: str | None, threads: int, as_json: bool) -> None:
    """Export RUN, a folder written by 'ce2de distill', as a quantized ONNX model.

    The int8 model is compared with the student on texts that the training has not seen, and refused if it
    differs too much.

    \b
    ce2de export runs/student --out my-model
    CE2DE_ARTIFACT=my-model ce2de search articles-search "red shoes"
    """
    try:
        from ce2de_os.export.exporter import export
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra("export", error.name) from error

    artifact, parity = export(run, out, name=name, threads=threads)
    if as_json:
        facts = {
            "folder": str(out),
            "dim": artifact.dim,
            "fingerprint": artifact.fingerprint,
            **asdict(parity),
        }
        click.echo(json.dumps(facts))
        return
    click.echo(f"model:       {out}  ({artifact.model_path.stat().st_size / 1e6:.1f} MB, dim {artifact.dim})")
    click.echo(f"fingerprint: {artifact.fingerprint[:12]}")
    cosines = f"cosine mean {parity.mean_cosine}, worst {parity.worst_cosine}"
    click.echo(f"int8/fp32:   {cosines} over {parity.texts:,} texts")
