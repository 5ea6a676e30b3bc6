"""What the README says can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from ce2de_os.cli import cli

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ )?(ce2de|make|docker compose) .*", re.MULTILINE)


def typed(document: str) -> list[str]:
    """The lines of a document's code blocks that start one of our commands, without comments."""
    lines = []
    for block in BLOCK.findall((ROOT / document).read_text(encoding="utf-8").replace("\\\n", " ")):
        for match in COMMAND.finditer(block):
            # What stands behind several spaces explains the command.
            lines.append(re.split(r"\s{2,}", match.group().removeprefix("$ "))[0])
    return lines


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def flags_of(command: click.Command) -> set[str]:
    return {flag for option in command.params for flag in option.opts} | {"-h", "--help", "--version"}


def check_ce2de(words: list[str]) -> None:
    command: click.Command = cli
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"there is no command '{words[0]}'"
        command, words = found, words[1:]
    used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used <= flags_of(command), f"unknown: {used - flags_of(command)}"


@pytest.mark.parametrize("line", typed("README.md"))
def test_every_command_in_the_readme_exists_with_its_options(line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "ce2de":
        check_ce2de(words[1:])
    elif words[0] == "make":
        assert {word for word in words[1:] if "=" not in word} <= targets()


def test_the_readme_shows_every_verb() -> None:
    from ce2de_os.cli import COMMANDS

    shown = "\n".join(typed("README.md"))
    assert [name for name in COMMANDS if f"ce2de {name}" not in shown] == []


def test_the_ci_script_runs_targets_that_exist() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert {"test", "demo"} <= targets()
    assert re.findall(r"^make (\w+)$", script, re.MULTILINE) == ["test", "demo"]
