"""Every command teaches itself, at once."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from ce2de_os.cli import COMMANDS, cli

HEAVY = {"numpy", "onnxruntime", "opensearchpy", "tokenizers", "torch", "celery", "rich"}

SHOW_IMPORTS = """
import sys
from ce2de_os.cli import cli
try:
    cli(sys.argv[1:], prog_name="ce2de")
finally:
    print(*sys.modules, file=sys.stderr)
"""


CommandPath = tuple[str, ...]


def commands(group: click.Group, path: CommandPath = ()) -> Iterator[tuple[CommandPath, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(cli))


def imports(*args: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", SHOW_IMPORTS, *args], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "args", [(), *((name,) for name in COMMANDS)], ids=lambda args: " ".join(args) or "ce2de"
)
def test_help_loads_nothing_heavy(args: tuple[str, ...]) -> None:
    assert imports(*args, "--help") & HEAVY == set()


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_a_command_s_help_has_an_example_and_explains_every_option(path: CommandPath) -> None:
    command = ALL[path]
    assert command.help
    assert "\b" in command.help
    if not isinstance(command, click.Group):
        assert f"ce2de {' '.join(path)}" in command.help
    for option in command.params:
        if isinstance(option, click.Option) and option.name != "help":
            assert option.help, f"{' '.join(path)}: {option.name} has no help"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_defaults_and_variables_have_one_form(path: CommandPath) -> None:
    """As click writes them: ``[default: …]``, behind ``env: …`` where a variable sets it too."""
    text = " ".join(ALL[path].get_help(click.Context(ALL[path])).split())
    assert re.findall(r"\((?:default|env)\b[^)]*\)", text) == []
    notes = re.findall(r"\[[^\]]*\b(?:default|env)\b[^\]]*\]", text)
    assert [note for note in notes if not re.search(r"\[env: [A-Z0-9_]+[\];]|[\[;] ?default: ", note)] == []


def test_the_overview_names_every_command_and_its_module_exists() -> None:
    overview = cli.get_help(click.Context(cli, info_name="ce2de"))
    assert all(f"  {name} " in overview for name in COMMANDS)
    assert set(COMMANDS) <= {path[0] for path in ALL}
