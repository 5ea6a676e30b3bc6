"""Write the parts of the documentation that the code knows best: a hook of mkdocs, see mkdocs.yml.

A page marks the place of a part with ``<!-- generated: NAME -->``; the pages of the CLI are made as a whole.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click

import ce2de_os
from ce2de_os import errors
from ce2de_os.cli import COMMANDS, cli
from ce2de_os.cli.flags import with_flags
from ce2de_os.config import OpenSearchSettings, Settings

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ce2de_os"
MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
HOLE = "…"
CLASSES = [
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.Ce2deError)
]


# --- mkdocs calls these ---------------------------------------------------------------------------------


def on_files(files: Any, config: Any) -> Any:  # noqa: ANN401 - mkdocs is not needed to import this module
    """Add one page for each command."""
    from mkdocs.structure.files import File

    for name in COMMANDS:
        files.append(File.generated(config, f"reference/cli/{name}.md", content=command_page(name)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401
    """Fill in the marked places of a page."""
    return filled(markdown)


# --- parts ----------------------------------------------------------------------------------------------


def filled(markdown: str) -> str:
    """Replace each mark by the part that it names."""
    return MARK.sub(lambda mark: PARTS[mark[1]](), markdown)


def command_page(name: str) -> str:
    """Show the help of a command and of its subcommands."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, name  # noqa: S101
    lines = [f"# ce2de {name}", "", COMMANDS[name][1], ""]
    for path, each in _walk((name,), command):
        if len(path) > 1:
            lines += [f"## ce2de {' '.join(path)}", ""]
        lines += ["```text", _help(path, each), "```", ""]
    return "\n".join(lines)


def _walk(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from _walk((*path, name), found)


def _help(path: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=f"ce2de {' '.join(path)}", max_content_width=100)
    context.terminal_width = 100
    return command.get_help(context).rstrip()


def overview() -> str:
    """List the commands, each with a link to its page."""
    rows = [f"| [`ce2de {name}`](cli/{name}.md) | {text} |" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def configuration() -> str:
    """Show each setting: variable, flag, argument, default, meaning."""
    flags = _flags()
    rows = []
    for setting in SETTINGS:
        flag = flags.get(setting.variable)
        cells = (
            f"`{setting.variable}`",
            f"`{flag}`" if flag else "none",
            f"`{setting.argument}`",
            setting.default,
            setting.text,
        )
        rows.append(f"| {' | '.join(cells)} |")
    head = ["| variable | flag | argument | default | meaning |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _flags() -> Mapping[str, str]:
    """Find the flag of each variable: help texts name the variable behind ``env:``."""
    found: dict[str, str] = {}
    commands: list[click.Command] = [cli]
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        if command is not None:
            commands += [each for _, each in _walk((name,), command)]
    for command in commands:
        for option in command.params:
            match = re.search(r"env: (\w+)", getattr(option, "help", None) or "")
            if match:
                found.setdefault(match[1], option.opts[-1])
    return found


@dataclass(frozen=True)
class Setting:
    """One line of the table of settings."""

    variable: str
    argument: str
    default: str
    text: str


_TEXTS = {
    "url": "address of OpenSearch; may hold a user and a password",
    "username": "user for basic authentication",
    "password": "its password; no flag, because every user of a machine sees the process list",
    "ca_certs": "file with the CA of the cluster (PEM)",
    "client_cert": "file with a client certificate (PEM)",
    "client_key": "file with the key of that certificate; default: the same file",
    "aws_region": "sign requests for AWS in this region",
    "aws_service": "`es`: an OpenSearch Service domain; `aoss`: a Serverless collection",
    "verify_certs": "`false`: accept any server certificate (for tests only)",
    "timeout_s": "seconds until a request times out",
    "broker_url": "Redis, which carries the messages to the workers",
    "artifact": "model folder",
    "threads": "cores that one encoder uses",
    "log_format": "`text`, or `json`: one object on each line",
    "cache": "where downloads and local servers are kept",
    "home": "folder of the data of the local servers",
    "java_home": "Java for the local OpenSearch; tried before all other places",
    "java_options": "More options for Java; `-XX:TieredStopAtLevel=1` starts faster, searches more slowly",
}
_VARIABLES = {
    "cache": "CE2DE_CACHE",
    "home": "CE2DE_HOME",
    "java_home": "JAVA_HOME",
    "java_options": "CE2DE_JAVA_OPTIONS",
}
_DEFAULTS = {
    "artifact": "the packaged student",
    "cache": "`~/.cache/ce2de`, below `XDG_CACHE_HOME` if set; root: `/var/cache/ce2de`",
    "home": "one folder for each checkout, in the cache",
    "java_home": "Java on `PATH`",
    "java_options": "none",
}


def _settings() -> Iterator[Setting]:
    """List every field of `Settings`; a field without a text here is an error."""
    defaults = Settings.from_env({})
    for name in OpenSearchSettings.__dataclass_fields__:
        value = getattr(defaults.opensearch, name)
        yield Setting(
            f"CE2DE_OPENSEARCH_{name.upper()}",
            f"OpenSearchSettings.{name}",
            _default(name, value),
            _TEXTS[name],
        )
    for name in Settings.__dataclass_fields__:
        if name not in ("opensearch", "local"):
            value = getattr(defaults, name)
            yield Setting(f"CE2DE_{name.upper()}", f"Settings.{name}", _default(name, value), _TEXTS[name])
    for name in type(defaults.local).__dataclass_fields__:
        value = getattr(defaults.local, name)
        yield Setting(_VARIABLES[name], f"LocalSettings.{name}", _default(name, value), _TEXTS[name])


def _default(name: str, value: object) -> str:
    if name in _DEFAULTS:
        return _DEFAULTS[name]
    return "none" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def metrics() -> str:
    """Show name, type, labels and help of each metric, as the exporter declares them."""
    from prometheus_client.core import GaugeMetricFamily

    from ce2de_os.reindex.metrics import ended, families, readable
    from ce2de_os.server.counters import Counters

    up = GaugeMetricFamily("ce2de_up", "1 if the ledger could be read.")
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for family in [up, readable([]), ended([]), *families([]), *Counters().families()]:
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = ", ".join(f"`{name}`" for name in getattr(family, "_labelnames", ())) or "none"
        if family.type == "info":
            labels += ", `model`, `fingerprint`"
        rows.append(f"| `{family.name}{suffix}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(rows)


def api() -> str:
    """Name each public class and function, for mkdocstrings."""
    homes = ce2de_os._HOMES  # a package may have the name of a function, so ask the module that defines it
    public = [getattr(import_module(homes[name]), name) for name in sorted(homes)]
    return "\n\n".join(f"::: {value.__module__}.{value.__qualname__}" for value in public)


# --- messages -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """A place where an error is raised: its text with ``…`` for each value."""

    error: str
    text: str
    module: str

    @property
    def piece(self) -> str:
        """The longest literal piece of the text, by which an operator finds it."""
        return max((piece.strip() for piece in self.text.split(HOLE)), key=len)


def messages(*packages: str) -> list[Message]:
    """Find every message that our errors can carry, in the order of the files.

    These are ``XError(...)``, the findings that `ce2de_os.reindex.setup.checks.refuse` and the plan report,
    what a verification complains of, and the options of a vector field that OpenSearch would reject.
    """
    paths = [path for package in packages for path in sorted((PACKAGE / package).rglob("*.py"))]
    found: dict[tuple[str, str], Message] = {}
    for path in paths:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for error, parts in _raised(node, module):
                text = with_flags(" ".join("; ".join("".join(_pieces(part)) for part in parts).split()))
                found.setdefault((error, text), Message(error, text, module))
    return [message for message in found.values() if len(message.piece) > 2]


def _raised(node: ast.AST, module: str) -> Iterator[tuple[str, list[ast.expr]]]:
    """Give the class and the parts of the message that a node makes, if it makes one."""
    if isinstance(node, ast.Yield) and module == "ce2de_os.index.vector_field" and node.value is not None:
        yield "ConfigError", [node.value]
    if not isinstance(node, ast.Call) or not node.args:
        return
    name = _called(node)
    if name in CLASSES:
        yield name, node.args[:1]
    elif name == "Finding" and isinstance(node.args[0], ast.Constant | ast.JoinedStr | ast.BinOp):
        yield "ConfigError", node.args
    elif name == "append" and isinstance(node.args[0], ast.JoinedStr):
        if module.startswith("ce2de_os.reindex.verify"):
            yield "JobError", node.args
        elif module == "ce2de_os.reindex.identity":
            yield "IdentityError", node.args


def _called(node: ast.AST) -> str:
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""


def _pieces(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        for value in node.values:
            yield from _pieces(value)
    elif isinstance(node, ast.BinOp):
        yield from _pieces(node.left)
        yield from _pieces(node.right)
    else:
        yield HOLE


SERVING = (
    "index",
    "model",
    "reindex",
    "search",
    "worker",
    "local",
    "cli",
    "integrations",
    "quality",
    "connect",
    "server",
    "ui",
)
TRAINING = ("distill", "translate", "export", "evaluation", "recipes")
"""The packages whose messages the page of errors lists, in two tables."""


def message_table(*packages: str) -> str:
    """Show every message, sorted by class and text."""
    rows = ["| message | class | raised in |", "|---|---|---|"]
    for message in sorted(messages(*packages), key=lambda each: (each.error, each.text.lower())):
        text = message.text.replace("|", "\\|").replace("``", "` `")
        rows.append(f"| <code>{_escaped(text)}</code> | {message.error} | `{message.module}` |")
    return "\n".join(rows)


def _escaped(text: str) -> str:
    for old, new in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("*", "&#42;"),
        ("_", "&#95;"),
        ("{", "&#123;"),
    ):
        text = text.replace(old, new)
    return text.replace("[", "&#91;").replace("`", "&#96;")


SETTINGS = list(_settings())
PARTS = {
    "api": api,
    "overview": overview,
    "configuration": configuration,
    "metrics": metrics,
    "messages": partial(message_table, *SERVING),
    "training": partial(message_table, *TRAINING),
}
