"""Times on the command line: ``30s``, ``15m``, ``4h``, ``2d``."""

from __future__ import annotations

import re

import click

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(click.ParamType):
    """A time with its unit; becomes seconds."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """``4h`` as 14400.0; anything else is a usage error."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", str(value))
        if found is None or float(found[1]) <= 0:
            self.fail(f"got '{value}', expected a time such as 30s, 15m, 4h or 2d", param, ctx)
        return float(found[1]) * _SECONDS[found[2]]


DURATION = Duration()
