"""``ce2de connect``: OpenSearch itself embeds documents and questions with a service."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ce2de_os.cli.flags import with_flags
from ce2de_os.cli.options import connection_options, json_option
from ce2de_os.config import Settings

if TYPE_CHECKING:
    from ce2de_os.connect.check import ConnectionFinding
    from ce2de_os.connect.request import ConnectRequest
    from ce2de_os.connect.steps import Step

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Change nothing; print the requests as a shell script with curl."
)


@click.command()
@click.argument("alias")
@click.option(
    "--service", metavar="URL", help="Address of 'ce2de serve', as the nodes of OpenSearch reach it."
)
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with the service's bearer key in its first line.",
)
@click.option("--rerank", is_flag=True, help="Make a search pipeline that re-ranks, too.")
@click.option(
    "--reranker",
    type=click.Path(path_type=Path, file_okay=False),
    help="Like --rerank, for a service that has the cross-encoder of this folder.",
)
@click.option("--check", is_flag=True, help="Change nothing; check that all parts have one model.")
@dry_run_option
@connection_options
@json_option
def command(
    alias: str,
    service: str | None,
    key_file: Path | None,
    rerank: bool,
    reranker: Path | None,
    check: bool,
    dry_run: bool,
    settings: Settings,
    as_json: bool,
) -> None:
    """Let OpenSearch itself embed what is written to ALIAS, and what 'neural' queries ask there.

    It makes connectors and remote models, an ingest pipeline and a search pipeline, and lets the indices
    behind ALIAS use them. What is there already stays as it is. Repeat the command after the alias
    has moved; 'ce2de reindex status' says when. Undo it with: ce2de disconnect ALIAS

    \b
        ce2de connect articles --service http://127.0.0.1:8080 --dry-run
        ce2de connect articles --service http://127.0.0.1:8080
        ce2de connect articles --check
    """
    if check:
        _check(alias, settings, as_json)
        return
    if service is None:
        raise click.UsageError("name the service: --service http://127.0.0.1:8080, or --check")
    from ce2de_os.connect.request import ConnectRequest
    from ce2de_os.recipes.connect import connect

    request = ConnectRequest(alias, service, _key(key_file), rerank, reranker)
    show(connect(request, settings=settings, dry_run=dry_run), settings, dry_run, as_json)
    if not as_json and not dry_run:
        click.echo("\n".join(_usage(request)), err=True)


def show(steps: Sequence[Step], settings: Settings, dry_run: bool, as_json: bool) -> None:
    """Print what was done, or the requests that would be sent."""
    from ce2de_os.connect.steps import as_curl
    from ce2de_os.index.client import address

    if as_json:
        click.echo(json.dumps([asdict(step) for step in steps], indent=2))
    elif dry_run:
        click.echo("\n".join(as_curl(steps, address(settings.opensearch), settings.opensearch.username)))
    for step in steps if not dry_run and not as_json else ():
        click.echo(step.why)
    if not steps:
        click.echo("Nothing to do: everything is there.", err=True)


def _usage(request: ConnectRequest) -> list[str]:
    lines = [
        f"Look at it again:  ce2de connect {request.name} --check",
        f"Undo it:           ce2de disconnect {request.name}",
        f"Partial updates in bulk requests pass the pipeline by; for them: ce2de follow {request.name}",
    ]
    if request.rerank or request.reranker:
        from ce2de_os.connect.request import RERANK, resource_name

        lines.append(f"To re-rank:        search_pipeline={resource_name(request.name, RERANK)}")
    return lines


def _check(alias: str, settings: Settings, as_json: bool) -> None:
    from ce2de_os.recipes.connect import check_connection

    found = check_connection(alias, settings=settings)
    findings = [replace(finding, action=with_flags(finding.action)) for finding in found]
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        click.echo("\n".join(line for finding in findings for line in _lines(finding)))
    if not all(finding.right for finding in findings):
        raise SystemExit(1)


def _lines(finding: ConnectionFinding) -> list[str]:
    state = click.style("ok", fg="green") + "    " if finding.right else click.style("not ok", fg="red")
    action = [f"{'':<8}→ {finding.action}"] if finding.action else []
    return [f"{state}  {finding.what}: {finding.finding}", *action]


def _key(file: Path | None) -> str | None:
    if file is None:
        return None
    from ce2de_os.errors import ConfigError
    from ce2de_os.reading import read_text
    from ce2de_os.server.keys import KEYS_BYTES

    lines = read_text(file, KEYS_BYTES, ConfigError).split()
    if not lines:
        raise ConfigError(f"--key-file: {file} is empty, expected the service's key in its first line")
    return lines[0]
