"""``ce2de doctor``: check that everything works, and say what to do if not."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from ce2de_os import __version__
from ce2de_os.cli.options import broker_option, encoding_options, json_option
from ce2de_os.config import Settings

if TYPE_CHECKING:
    from ce2de_os.cli.checks import Check

COLORS = {"ok": "green", "warning": "yellow", "not ok": "red"}


@click.command()
@broker_option
@encoding_options
@json_option
def command(broker_url: str | None, settings: Settings, as_json: bool) -> None:
    """Check cluster, broker, workers and model; say what to do about each problem.

    Exit code 1 if something is not ok. Warnings do not count: they are about parts that are optional here.

    \b
        ce2de doctor
        ce2de doctor --url https://search.example.org:9200 --username reader --json
    """
    from ce2de_os.cli import checks

    found = list(checks.run(replace(settings, broker_url=broker_url or settings.broker_url)))
    if as_json:
        click.echo(
            json.dumps({"version": __version__, "checks": [asdict(check) for check in found]}, indent=2)
        )
    else:
        _show(found)
    sys.exit(1 if any(check.state == "not ok" for check in found) else 0)


def _show(found: Iterable[Check]) -> None:
    click.echo(f"ce2de-os {__version__}, Python {platform.python_version()}, {platform.machine()}")
    for check in found:
        click.echo(
            f"  {click.style(f'{check.state:<8}', fg=COLORS[check.state])} {check.name:<14} {check.finding}"
        )
        if check.action:
            click.echo(f"{'':<26}→ {check.action}")
