"""``ce2de distill``: train a student from plain texts."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ce2de_os.cli.options import json_option
from ce2de_os.distill.config import DEFAULT_TEACHER, RANKING_LOSSES, TEXT_LOSSES, DistillConfig, parse_losses
from ce2de_os.errors import ConfigError, MissingExtraError

DEFAULTS = DistillConfig()


@click.command("distill")
@click.option(
    "--texts", type=click.Path(path_type=Path), multiple=True, required=True,
    help="A .txt or .jsonl file, .gz or not, one paragraph a line; repeat it for more files.",
)  # fmt: skip
@click.argument("more_texts", type=click.Path(path_type=Path), nargs=-1, metavar="[FILE]...")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the student."
)
@click.option(
    "--teacher", default=DEFAULTS.teacher, show_default=True,
    help=f"Encoder to learn from: hub id, folder, or the PyPI package {DEFAULT_TEACHER}.",
)  # fmt: skip
@click.option("--cross-encoder", help="Cross-encoder (CE) to copy layers from: hub id or folder.")
@click.option(
    "--init", type=click.Choice(["de", "ce", "random"]), default=DEFAULTS.init, show_default=True,
    help="Whose embeddings and layers the student copies: the teacher's, the cross-encoder's, nobody's.",
)  # fmt: skip
@click.option(
    "--layers", default="0,5", show_default=True,
    help="Layers to copy, counted from 0; 'new' in their place is a random one (DE-2 CE: 0,new).",
)  # fmt: skip
@click.option("--pooled", is_flag=True, help="Run the last layer once a text instead of once a token.")
@click.option(
    "--minutes", type=float, default=DEFAULTS.minutes, show_default=True,
    help="How long to train, after the teacher has read.",
)  # fmt: skip
@click.option("--tokens", type=int, help="Train on so many tokens instead, to repeat a run exactly.")
@click.option(
    "--unique-tokens", type=int, default=DEFAULTS.unique_tokens, show_default=True,
    help="Tokens to take from the texts; the teacher reads each once.",
)  # fmt: skip
@click.option("--lr", type=float, default=DEFAULTS.lr, show_default=True, help="Peak learning rate.")
@click.option(
    "--losses", default="l2", show_default=True,
    help=f"Weighted sum to minimise, such as l2=1,kl=0.2; of texts: {', '.join(TEXT_LOSSES)}; of rankings: "
    f"{', '.join(RANKING_LOSSES)}.",
)  # fmt: skip
@click.option(
    "--readout", type=click.Choice(["all", "last"]), default=DEFAULTS.readout, show_default=True,
    help="Depths that the head reads.",
)  # fmt: skip
@click.option(
    "--seed", type=int, default=DEFAULTS.seed, show_default=True,
    help="Decides which passages are taken, and their order.",
)  # fmt: skip
@click.option("--threads", type=int, default=0, help="Cores to use.  [default: all]")
@click.option(
    "--cache", type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the teacher's embeddings, shared by runs.  [default: OUT/teacher]",
)  # fmt: skip
@json_option
def command(
    texts: tuple[Path, ...], more_texts: tuple[Path, ...], out: Path, layers: str, losses: str,
    cache: Path | None, as_json: bool, **settings: object,
) -> None:  # fmt: skip
    """Train a small student to give a larger encoder's embeddings.

    It starts as some of the encoder's own layers, reads your texts, and needs no labels. Ctrl-C or a crash
    loses at most a minute: the same command goes on where it stopped.

    \b
    python scripts/collect_texts.py --out runs/texts        # or texts of your own
    ce2de distill --texts runs/texts/*.txt.gz --out runs/student --minutes 50
    ce2de export runs/student --out my-model
    """
    config = DistillConfig(layers=_layers(layers), losses=parse_losses(losses), **settings)  # type: ignore[arg-type]
    try:
        from ce2de_os.distill.console import ConsoleProgress
        from ce2de_os.distill.recipe import distill
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra("distill", error.name) from error

    with ConsoleProgress() as progress:
        recipe = distill(
            [*texts, *more_texts], config, out, cache=cache, phase=progress.phase, report=progress.training
        )
    if as_json:
        click.echo(json.dumps(recipe))
        return
    click.echo(f"student: {out}  ({recipe['tokens_seen']:,} tokens, loss {recipe['final_loss']})")
    click.echo(f"next:    ce2de export {out} --out MODEL_FOLDER", err=True)


def _layers(text: str) -> tuple[int | None, ...]:
    try:
        return tuple(None if part.strip() == "new" else int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--layers: got '{text}', expected numbers or 'new', such as 0,5 or 0,new"
        ) from None
