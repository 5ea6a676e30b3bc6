"""Show a job's status on the terminal, for all commands of ``ce2de reindex``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ce2de_os.reindex.status import JobStatus


def show(found: JobStatus, as_json: bool) -> None:
    """Print the status of a job that the command worked on or asked for; a failed one ends it with 1."""
    print_status(found, as_json)
    if found.job.state == "failed":
        raise SystemExit(1)


def print_status(found: JobStatus, as_json: bool) -> None:
    """Print a status."""
    from ce2de_os.cli.jobs.progress import status_lines

    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        click.echo("\n".join(status_lines(found)))
