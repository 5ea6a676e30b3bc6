"""The ``ce2de`` command. One file per verb, loaded when it is called, so that ``--help`` is instant.

Data goes to stdout, progress and messages to stderr. Exit codes: 0 done, 1 one of our errors (one line, no
traceback), 2 wrong usage.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

import click

from ce2de_os import __version__
from ce2de_os.cli.options import VERBOSE, setting_option, with_shared_options
from ce2de_os.errors import Ce2deError

# name: (module, one line for `ce2de --help`); the order is the order of work.
COMMANDS = {
    "demo": (
        "ce2de_os.cli.demonstration.demo",
        "Show everything on this machine: servers, workers, reindex, hybrid search.",
    ),
    "doctor": ("ce2de_os.cli.doctor", "Check cluster, broker, workers and model; show what to repair."),
    "local": ("ce2de_os.cli.local", "Start and stop a real OpenSearch and Redis on this machine."),
    "probe": ("ce2de_os.cli.training.probe", "Show which layers of a cross-encoder find documents well."),
    "train": ("ce2de_os.cli.training.train", "Train a cross-encoder for your domain, to distill from."),
    "translate": (
        "ce2de_os.cli.training.translate",
        "Translate documents or queries, to distill across languages.",
    ),
    "distill": (
        "ce2de_os.cli.training.distill",
        "Train a small student from an encoder and plain texts.",
    ),
    "export": ("ce2de_os.cli.training.export", "Turn a student into a quantized ONNX model folder."),
    "plan": (
        "ce2de_os.cli.jobs.plan",
        "Show the memory, disk and time that a reindex takes, and whether it fits.",
    ),
    "reindex": ("ce2de_os.cli.jobs.reindex", "Embed an index's documents and move its alias."),
    "follow": ("ce2de_os.cli.jobs.follow", "Keep the vectors of an index up to date with every write."),
    "connect": ("ce2de_os.cli.connect", "Let OpenSearch itself embed documents and questions."),
    "disconnect": ("ce2de_os.cli.disconnect", "Undo what 'connect' did."),
    "search": ("ce2de_os.cli.queries.search", "Search an index by BM25, vectors, or both."),
    "evaluate": (
        "ce2de_os.cli.queries.evaluate",
        "Compare BM25, vectors and hybrids on judged queries; tune them.",
    ),
    "compare": (
        "ce2de_os.cli.queries.compare",
        "Compare rankings in files: which is better, which is equivalent.",
    ),
    "serve": ("ce2de_os.cli.serve", "Serve the model over HTTP, as OpenAI's and Cohere's interfaces."),
    "ui": ("ce2de_os.cli.ui", "Compare rankings in a browser, judge them, tune, and run the jobs."),
    "metrics": ("ce2de_os.cli.jobs.metrics", "Export the progress of all jobs to Prometheus."),
}

_OUTPUT_ERRORS = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


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
@setting_option(
    "--log-format", "Format of log records.", "CE2DE_LOG_FORMAT", "text", type=click.Choice(["text", "json"])
)
def cli(verbose: bool, log_format: str | None) -> None:
    """Put a small, fast embedding model into an OpenSearch cluster that you already run.

    \b
    Try it on this machine:      ce2de demo
    See what it takes:           ce2de plan articles --text-fields title,body
    Embed an existing index:     ce2de reindex start articles --text-fields title,body --alias articles-search
    Search it:                   ce2de search articles-search "how do I …"

    Connection settings come from flags or from the environment (CE2DE_OPENSEARCH_URL, CE2DE_BROKER_URL, …);
    each command's --help names them.
    """
    import logging

    from ce2de_os import logs
    from ce2de_os.config import Settings

    level = logging.DEBUG if verbose else logging.WARNING
    logs.configure(level, log_format or Settings.from_env().log_format)


def main() -> None:
    """Run the CLI; print our own errors and errors of files as one line on stderr, with exit code 1."""
    from ce2de_os.redaction import redact_tracebacks

    redact_tracebacks()
    codecs.register_error("ce2de-escape", _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="ce2de-escape")
    try:
        try:
            cli(prog_name="ce2de")
        finally:
            if sys.stdout is not None:  # closed by the caller
                sys.stdout.flush()
    except Ce2deError as error:
        _fail(str(error))
    except OSError as error:  # a folder that cannot be written, a full disk
        if error.filename is not None:
            _fail(f"{error.filename}: {error.strerror}")
        if error.errno not in _OUTPUT_ERRORS:
            raise
        _discard_output()
        if error.errno == errno.EPIPE:
            sys.exit(1)  # the reader, such as head, wants no more
        _fail(f"the output cannot be written ({error.strerror})")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Write characters that the output's encoding lacks as ``\uXXXX``, which JSON can contain too."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


def _fail(message: str) -> NoReturn:
    """Print one line, and end with 1."""
    from ce2de_os.cli.flags import with_flags
    from ce2de_os.redaction import one_line, redact

    lines = redact(with_flags(message)).splitlines()
    click.echo(f"ce2de: {' '.join(one_line(line.strip()) for line in lines)}", err=True)
    sys.exit(1)


def _discard_output() -> None:
    """Let what is still to be printed go nowhere: Python would try once more at its end, and complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
