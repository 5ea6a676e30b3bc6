"""The options of the switch, which ``start`` and ``cutover`` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ce2de_os.cli.durations import duration_s

Command = Callable[..., Any]

way_option = click.option(
    "--way",
    type=click.Choice(["auto", "mirror", "handover"]),
    default="auto",
    help="mirror: applications still write to SOURCE, and the alias shows a copy that follows it. "
    "handover: "
    "applications write through the alias, before and after. auto: handover where the alias points to "
    "SOURCE "
    "already.",
)


def switch_options(command: Command) -> Command:
    """Add ``block``, ``max_block_s`` and ``accept_unreplicated``."""
    command = click.option(
        "--accept-unreplicated", is_flag=True, help="Move the alias even if the replicas are not ready."
    )(command)
    command = click.option(
        "--max-block",
        "max_block_s",
        metavar="TIME",
        callback=duration_s,
        help="Longest time that a handover may reject writes; after that it is undone.  [default: 30s]",
    )(command)
    return click.option(
        "--no-block",
        is_flag=True,
        help="Handover without rejecting writes; documents that were written on both sides are reported.",
    )(command)
