"""Output of ``ce2de compare`` and ``ce2de evaluate``: tables or JSON, a plot, notes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Protocol, TypeVar

import click

from ce2de_os.errors import ConfigError, extra_needed


class Jsonable(Protocol):
    """A comparison of rankings or of systems."""

    def to_json(self) -> object:
        """Return it as JSON values."""


T = TypeVar("T", bound=Jsonable)


def drawing(file: Path, module: str) -> Callable[..., list[Path]]:
    """Return the function ``draw`` of ``module``, for ``file``; fail now, not after the work, if it cannot.

    Raises:
        ConfigError: there is no such folder.
        MissingExtraError: the library for plots, which ``module`` imports, is not installed.
    """
    if not file.parent.is_dir():
        raise ConfigError(f"--plot: there is no folder '{file.parent}'; make it first")
    with extra_needed("evaluate"):
        return partial(import_module(module).draw, file=file)


def show_comparison(
    found: T,
    print_tables: Callable[[T], None],
    notes: Iterable[str],
    draw: Callable[[T], list[Path]] | None,
    as_json: bool,
) -> None:
    """Draw the plot if there is one to draw, print tables or JSON, and the notes on stderr."""
    if draw:
        click.echo(f"written: {', '.join(map(str, draw(found)))}", err=True)
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        print_tables(found)
    for line in notes:
        click.echo(f"note: {line}", err=True)
