"""The ``ce2de`` command. One file per verb, loaded when it is called, so that ``--help`` is instant.

Data goes to stdout, progress and messages to stderr. Exit codes: 0 done, 1 one of our errors (one line, no
traceback), 2 wrong usage.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from ce2de_os import __version__
from ce2de_os.cli.options import VERBOSE, with_shared_options
from ce2de_os.errors import Ce2deError

# name: (module, one line for `ce2de --help`); the order is the order of work.
COMMANDS = {
    "demo": (
        "ce2de_os.cli.demonstration.demo",
        "See it all work here: servers, workers, reindex, hybrid search.",
    ),
    "doctor": ("ce2de_os.cli.doctor", "Check cluster, broker, workers and model; say what to repair."),
    "local": ("ce2de_os.cli.local", "Start and stop a real OpenSearch and Redis on this machine."),
    "probe": ("ce2de_os.cli.training.probe", "Show which layers of a cross-encoder find documents well."),
    "train": ("ce2de_os.cli.training.train", "Train a cross-encoder for your domain, to distil from."),
    "translate": (
        "ce2de_os.cli.training.translate",
        "Translate documents or queries, to distil across languages.",
    ),
    "distill": (
        "ce2de_os.cli.training.distill",
        "Train a two-layer student from an encoder and plain texts.",
    ),
    "export": ("ce2de_os.cli.training.export", "Turn a student into a quantized ONNX model folder."),
    "plan": (
        "ce2de_os.cli.jobs.plan",
        "Show the memory, disk and time that a reindex takes, and whether it fits.",
    ),
    "reindex": ("ce2de_os.cli.jobs.reindex", "Embed an index's documents and move its alias."),
    "follow": ("ce2de_os.cli.jobs.follow", "Keep the vectors of an index up to date with every write."),
    "connect": ("ce2de_os.cli.connect", "Let OpenSearch itself embed documents and questions."),
    "disconnect": ("ce2de_os.cli.disconnect", "Take back what 'connect' did."),
    "search": ("ce2de_os.cli.queries.search", "Ask an index by BM25, vectors, or both."),
    "evaluate": (
        "ce2de_os.cli.queries.evaluate",
        "Compare BM25, vectors and hybrids on judged queries; tune them.",
    ),
    "compare": (
        "ce2de_os.cli.queries.compare",
        "Compare rankings in files: which is better, which equivalent.",
    ),
    "serve": ("ce2de_os.cli.serve", "Serve the model over HTTP, as OpenAI's and Cohere's interfaces."),
    "metrics": ("ce2de_os.cli.jobs.metrics", "Show the progress of all jobs to Prometheus."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or ``None`` if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(COMMANDS[cmd_name][0])
        return with_shared_options(module.command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ce2de")
@click.option("-v", "--verbose", is_flag=True, help=VERBOSE)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="How log records look. (env: CE2DE_LOG_FORMAT; default text)",
)
def cli(verbose: bool, log_format: str | None) -> None:
    """Put a small, fast embedding model into an OpenSearch cluster that you already run.

    \b
    Try it on this machine:      ce2de demo
    See what it would take:      ce2de plan articles --text-fields title,body
    Embed an existing index:     ce2de reindex start articles --text-fields title,body --alias articles-search
    Ask it:                      ce2de search articles-search "how do I …"

    Connection settings come from flags or from the environment (CE2DE_OPENSEARCH_URL, CE2DE_BROKER_URL, …);
    each command's --help names them.
    """
    import logging

    from ce2de_os import logs
    from ce2de_os.config import Settings

    level = logging.DEBUG if verbose else logging.WARNING
    logs.configure(level, log_format or Settings.from_env().log_format)


def main() -> None:
    """Run the CLI; our own errors, and those of files, become one line on stderr and exit code 1."""
    try:
        cli(prog_name="ce2de")
    except Ce2deError as error:
        click.echo(f"ce2de: {error}", err=True)
        sys.exit(1)
    except OSError as error:  # a folder that cannot be written, a full disk
        if error.filename is None:
            raise
        click.echo(f"ce2de: {error.filename}: {error.strerror}", err=True)
        sys.exit(1)
