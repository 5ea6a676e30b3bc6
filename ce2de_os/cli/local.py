"""``ce2de local``: a real OpenSearch and Redis on this machine."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ce2de_os.cli.options import json_option, setting_option
from ce2de_os.local.lockfile import VERSIONS

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from ce2de_os.local.servers import Endpoints, LocalServers, Status
    from ce2de_os.progress import Phase

OPEN = "OpenSearch has no password: every user of this machine can read and change what is in it."

home_option = setting_option(
    "--home", "Folder of the servers' data.", "CE2DE_HOME", "one for each checkout, in the cache",
    type=click.Path(path_type=Path), metavar="DIR",
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Start and stop a real OpenSearch, with k-NN and neural search, and a real Redis.

    They run in the background and keep their data when they stop. Redis listens on a socket that only your
    account may use; a valkey-server or redis-server on PATH is taken if it is newer than the bundled 6.2.14.
    OpenSearch listens on a free port of 127.0.0.1 without a password: every user of this machine can read and
    change its data. Files are downloaded once, verified, and kept in ~/.cache/ce2de (root: /var/cache/ce2de;
    env: CE2DE_CACHE).

    \b
    ce2de local up
    eval "$(ce2de local env)"
    ce2de doctor
    ce2de local down

    With --nodes 3 OpenSearch is a cluster, to test how your setup handles the loss of a node:

    \b
    ce2de local up --nodes 3
    ce2de local stop-node 2 --kill
    ce2de local start-node 2
    """


@command.command()
@home_option
@click.option(
    "--version",
    type=click.Choice(VERSIONS),
    help="OpenSearch's version.  [default: the last one used here, else the newest that the Java found "
    "can run]",
)
@click.option(
    "--heap",
    help="Java heap of each OpenSearch node, as 512m or 2g.  [default: the last one used here, or 1g; "
    "384m with several nodes]",
)
@click.option(
    "--nodes",
    type=int,
    metavar="N",
    help="How many OpenSearch nodes form the cluster, 1 to 5. It stays so for this instance. "
    " [default: the last number used here, or 1]",
)
@click.option(
    "--with",
    "extra",
    type=click.Choice(["ml"]),
    help="Add ml-commons, which 'ce2de connect' needs: 58 MB more to download. It stays in this instance.",
)
def up(
    home: Path | None, version: str | None, heap: str | None, nodes: int | None, extra: str | None
) -> None:
    """Start the servers and print their addresses.

    A server that runs already stays as it is.

    The first start downloads about 100 MB. OpenSearch needs Java: with 21 or newer it is
    3.6.0, with 11 to 20 it is 2.19.1.

    \b
    ce2de local up --heap 2g
    ce2de local up --nodes 3 --home ~/three
    ce2de local up --with ml
    """
    servers = _servers(home, nodes, ml=extra == "ml")
    before = servers.endpoints()
    with start_progress() as progress:
        endpoints = servers.up(progress, version, heap)
    click.echo("Already up." if before == endpoints else "Up.", err=True)
    click.echo("\n".join(_addresses(endpoints)))
    click.echo("\n".join(_next_steps(_flag(home))), err=True)
    click.echo(OPEN, err=True)


@command.command()
@home_option
@json_option
def status(home: Path | None, as_json: bool) -> None:
    """Show what runs and where.

    The exit code is 1 unless every server runs and OpenSearch answers.

    \b
    ce2de local status --json
    """
    found = _servers(home).status()
    if as_json:
        click.echo(json.dumps(_status_json(found), indent=2))
    else:
        click.echo("\n".join(_status_lines(found, _flag(home))))
    sys.exit(0 if found.is_running else 1)


@command.command()
@home_option
def down(home: Path | None) -> None:
    """Stop all servers. Their data stays for the next 'up'.

    \b
    ce2de local down
    """
    servers = _servers(home)
    found = servers.status()
    servers.down()
    was_up = found.opensearch_pid or found.redis_pid
    click.echo(f"Stopped; the data stays in {found.home}." if was_up else "Nothing was running.", err=True)


@command.command("stop-node")
@click.argument("number", type=int)
@home_option
@click.option("--kill", is_flag=True, help="Kill it without a clean stop, like a crash.")
def stop_node(number: int, home: Path | None, kill: bool) -> None:
    """Stop one node of a cluster; the others continue.

    The first node is 1. A cluster of 3 survives the loss of one node, a cluster of 5 the loss of two.

    \b
    ce2de local stop-node 2
    ce2de local stop-node 2 --kill
    """
    servers = _servers(home)
    if kill:
        servers.kill_node(number)
    else:
        servers.stop_node(number)
    click.echo(
        f"Node {number} is stopped. Start it again: ce2de local start-node {number}{_flag(home)}", err=True
    )


@command.command("start-node")
@click.argument("number", type=int)
@home_option
def start_node(number: int, home: Path | None) -> None:
    """Start one node of a cluster again, with its data.

    \b
    ce2de local start-node 2
    """
    _servers(home).start_node(number)
    click.echo(f"Node {number} runs.", err=True)


@command.command()
@home_option
def env(home: Path | None) -> None:
    """Print shell lines that connect other commands.

    \b
    eval "$(ce2de local env)"
    """
    from ce2de_os.errors import LocalServerError

    servers = _servers(home)
    endpoints = servers.endpoints()
    if endpoints is None:
        raise LocalServerError(f"the servers in {servers.home} are not running; run: ce2de local up")
    click.echo(f"export CE2DE_OPENSEARCH_URL={shlex.quote(endpoints.opensearch_url)}")
    click.echo(f"export CE2DE_BROKER_URL={shlex.quote(endpoints.broker_url)}")


@contextmanager
def start_progress() -> Iterator[Phase]:
    """Show the progress of `LocalServers.up` on stderr: a bar on a terminal, else one line per step."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _line_for_each_step()
        return
    columns = ("{task.description}", BarColumn(), TextColumn("{task.fields[amount]}"), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        yield _bar_for_each_step(bars)


def _line_for_each_step() -> Phase:
    said: set[str] = set()

    def report(step: str, _done: int, whole: int) -> None:
        if step not in said:
            said.add(step)
            click.echo(f"{step} ({whole / 1e6:.0f} MB) …" if whole else f"{step} …", err=True)

    return report


def _bar_for_each_step(bars: Bars) -> Phase:
    tasks: dict[str, Any] = {}

    def report(step: str, done: int, whole: int) -> None:
        if step not in tasks:
            for task in tasks.values():
                bars.remove_task(task)
            tasks.clear()
            tasks[step] = bars.add_task(step, total=whole or None, amount="")
        amount = f"{done / 1e6:.0f} of {whole / 1e6:.0f} MB" if whole else ""
        bars.update(tasks[step], completed=done, amount=amount)

    return report


def _servers(home: Path | None, nodes: int | None = None, ml: bool = False) -> LocalServers:
    from ce2de_os.local.servers import LocalServers

    return LocalServers(home, nodes=nodes, ml=ml)


def _addresses(endpoints: Endpoints) -> Iterator[str]:
    if len(endpoints.node_urls) == 1:
        yield f"OpenSearch {endpoints.version}  {endpoints.opensearch_url}"
    else:
        yield f"OpenSearch {endpoints.version}  {len(endpoints.node_urls)} nodes"
        for number, url in endpoints.node_urls.items():
            yield f"  node {number}          {url}"
    yield f"Redis             {endpoints.broker_url}"


def _flag(home: Path | None) -> str:
    return f" --home {shlex.quote(str(home))}" if home else ""


def _next_steps(flag: str) -> Iterator[str]:
    yield f'Use them:         eval "$(ce2de local env{flag})"'
    yield f"Stop them:        ce2de local down{flag}"


def _status_json(found: Status) -> dict[str, Any]:
    return {**asdict(found), "home": str(found.home), "running": found.is_running}


def _status_lines(found: Status, flag: str) -> Iterator[str]:
    version = f"OpenSearch {found.version}" if found.version else "OpenSearch"
    health = f"health {found.health}" if found.health else "does not answer"
    if len(found.nodes) > 1:
        yield f"{version:<17} {len(found.nodes)} nodes, {health}"
        for node in found.nodes:
            yield _server_line(f"  node {node.number}", node.url, node.pid)
    else:
        yield _server_line(version, found.opensearch_url, found.opensearch_pid, health)
    yield _server_line("Redis", found.broker_url, found.redis_pid)
    yield f"Data              {found.home} ({found.disk_bytes / 1e6:.1f} MB)"
    if not found.is_running:
        yield f"Start             ce2de local up{flag}"


def _server_line(name: str, address: str | None, pid: int | None, *more: str) -> str:
    if pid is None:
        return f"{name:<17} not running"
    return f"{name:<17} {', '.join([f'{address}, pid {pid}', *more])}"
