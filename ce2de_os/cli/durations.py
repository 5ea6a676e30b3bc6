"""Times on the command line: ``30s``, ``15m``, ``4h``, ``2d``."""

from __future__ import annotations

import re

import click

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_s(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Convert an option's value: ``4h`` becomes 14400.0 seconds; anything else is a usage error."""
    if value is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", value)
    if found is None or float(found[1]) <= 0:
        raise click.BadParameter(f"got '{value}', expected a time such as 30s, 15m, 4h or 2d")
    return float(found[1]) * _SECONDS[found[2]]
