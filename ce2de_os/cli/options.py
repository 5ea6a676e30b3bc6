"""Options that several commands share, as decorators."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.types import FloatParamType, IntParamType

from ce2de_os.config import AWS_SERVICES, Settings

Command = Callable[..., Any]

# Flags that are settings of the connection. The password has none: every user can see the process list.
_CONNECTION = (
    "url", "username", "ca_certs", "client_cert", "client_key", "aws_region", "aws_service", "verify_certs",
    "timeout_s",
)  # fmt: skip


def setting_option(
    flag: str,
    text: str,
    variable: str,
    usual: str = "",
    **options: Any,  # noqa: ANN401 - click's
) -> Callable[[Command], Command]:
    """Make the option of a setting; ``flag`` may name its argument too, after a space.

    The help names the variable and ``usual``, the default in words.
    """
    note = f"[env: {variable}{usual and '; default: '}{usual}]"
    return click.option(*flag.split(), help=f"{text}  {note}", **options)


def _of_opensearch(flag: str, text: str, usual: str = "", **options: Any) -> Callable[[Command], Command]:  # noqa: ANN401
    variable = f"CE2DE_OPENSEARCH_{flag.removeprefix('--').replace('-', '_').upper()}"
    return setting_option(flag, text, variable, usual, **options)


artifact_option = setting_option(
    "--artifact", "Model folder.", "CE2DE_ARTIFACT", "the student that comes with the package",
    type=click.Path(path_type=Path), metavar="DIR",
)  # fmt: skip
broker_option = setting_option("--broker-url", "Redis for the workers.", "CE2DE_BROKER_URL", metavar="URL")


def connection_options(command: Command) -> Command:
    """Add the OpenSearch flags and pass one ``settings: Settings`` to the command."""

    @_of_opensearch("--url", "Address of OpenSearch.", "http://127.0.0.1:9200", metavar="URL")
    @_of_opensearch("--username", "Basic-auth user.", metavar="NAME")
    @_of_opensearch("--ca-certs", "File with the CA of the cluster.", metavar="FILE")
    @_of_opensearch("--client-cert", "File with a client certificate.", metavar="FILE")
    @_of_opensearch("--client-key", "File with the client certificate's key.", metavar="FILE")
    @_of_opensearch("--aws-region", "Sign requests for AWS in this region.", metavar="REGION")
    @_of_opensearch(
        "--aws-service", "The AWS service to sign requests for.", "es", type=click.Choice(AWS_SERVICES)
    )
    @setting_option(
        "--verify-certs/--no-verify-certs", "Check the cluster's certificate, or trust any.",
        "CE2DE_OPENSEARCH_VERIFY_CERTS", "check", default=None,
    )  # fmt: skip
    @setting_option(
        "--timeout timeout_s", "Longest time to wait for a response of OpenSearch.",
        "CE2DE_OPENSEARCH_TIMEOUT_S", "60", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
    )  # fmt: skip
    @artifact_option
    @wraps(command)
    def wrapper(
        *args: Any,  # noqa: ANN401 - click passes every other option through
        artifact: Path | None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        settings = Settings.from_env()
        flags = {name: kwargs.pop(name) for name in _CONNECTION}
        given = {name: value for name, value in flags.items() if value not in (None, "")}
        opensearch = replace(settings.opensearch, **given)
        settings = replace(settings, opensearch=opensearch, artifact=artifact or settings.artifact)
        return command(*args, settings=settings, **kwargs)

    return wrapper


def encoding_options(command: Command) -> Command:
    """Add the OpenSearch flags and ``--threads``, for a command that embeds texts itself."""

    @setting_option(
        "--threads", "Number of cores that the model uses.", "CE2DE_THREADS", "1",
        type=click.IntRange(1), metavar="N",
    )  # fmt: skip
    @connection_options
    @wraps(command)
    def wrapper(
        *args: Any,  # noqa: ANN401 - click passes every other option through
        settings: Settings,
        threads: int | None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        return command(*args, settings=replace(settings, threads=threads or settings.threads), **kwargs)

    return wrapper


def with_shared_options(command: click.Command) -> click.Command:
    """Give a command and its subcommands ``-v``, and a help with names of values and with defaults."""
    for option in command.params:
        if isinstance(option, click.Option):
            option.metavar = option.metavar or _metavar(option)
            option.show_default = option.show_default is not False
    if all(option.name != "verbose" for option in command.params):
        command.params.append(
            click.Option(
                ["-v", "--verbose"], is_flag=True, expose_value=False, callback=_show_records, help=VERBOSE
            )
        )
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        with_shared_options(each)
    return command


def mode_option(text: str) -> Callable[[Command], Command]:
    """Make ``--mode``; the command gets ``auto``, ``copy`` or ``in_place``."""
    return click.option("--mode", type=_Mode(), metavar=f"[{'|'.join(MODES)}]", default="auto", help=text)


class Utf8(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """A text for OpenSearch, which is UTF-8 also where the locale knows ASCII only (``LC_ALL=C``)."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the bytes that the shell gave as UTF-8."""
        try:
            return os.fsencode(value).decode("utf-8")
        except UnicodeError:
            return value


class _Mode(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """The ways to store vectors; the spelling ``in_place`` of earlier releases is still accepted."""

    name = "mode"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's
        """Check the word; return it as the requests spell it."""
        if value == "in_place":
            click.echo("--mode in_place: got the former spelling; write --mode in-place", err=True)
            return "in_place"
        if value not in MODES:
            self.fail(f"got '{value}', expected one of {', '.join(MODES)}", param, ctx)
        return str(value).replace("-", "_")


def _metavar(option: click.Option) -> str | None:
    """Return the name of an option's value for the help; ``None``: click's default."""
    if option.is_flag or option.count:
        return None
    if isinstance(option.type, click.Path):
        return "FILE" if option.type.file_okay else "DIR"
    number = isinstance(option.type, IntParamType | FloatParamType)
    return _WORDS.get(str(option.name), "N" if number else None)


def _show_records(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        import logging

        from ce2de_os import logs

        logging.getLogger(logs.PACKAGE).setLevel(logging.DEBUG)


_WORDS = {
    **dict.fromkeys(("alias", "index", "name", "pipeline", "target"), "NAME"),
    **dict.fromkeys(("passage_field", "query_field", "vector_field"), "FIELD"),
    **dict.fromkeys(("base", "cross_encoder", "dual_encoder", "model"), "ID_OR_DIR"),
    "text_fields": "FIELD,...",
    "minutes": "MINUTES",
    "heap": "SIZE",
    "host": "HOST",
}
"""Names of values by option; other numbers are N."""
MODES = ("auto", "copy", "in-place")
VERBOSE = "Show log records on stderr."
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
