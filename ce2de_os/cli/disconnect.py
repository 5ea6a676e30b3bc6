"""``ce2de disconnect``: take back what ``ce2de connect`` did."""

from __future__ import annotations

import click

from ce2de_os.cli.connect import dry_run_option, show
from ce2de_os.cli.options import connection_options, json_option
from ce2de_os.config import Settings


@click.command()
@click.argument("alias")
@dry_run_option
@connection_options
@json_option
def command(alias: str, dry_run: bool, settings: Settings, as_json: bool) -> None:
    """Take back what 'ce2de connect ALIAS' did: pipelines, models, connectors and settings.

    Every index gets the pipelines back that it had before. Vectors that were written stay.

    \b
        ce2de disconnect articles --dry-run
        ce2de disconnect articles
    """
    from ce2de_os.recipes.connect import disconnect

    show(disconnect(alias, settings=settings, dry_run=dry_run), settings, dry_run, as_json)
