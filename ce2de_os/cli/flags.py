"""The flags of the settings that an error names.

The library knows no flags: an error names a setting in backquotes, as Python spells it, such as `` `alias` ``
or `` `mode=copy` ``. Where the CLI prints the error, the setting becomes the flag that the operator types.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache

import click

SETTING = re.compile(r"`(\w+)(?:=([^`]+))?`")


def with_flags(text: str) -> str:
    """Replace each setting in backquotes by its flag; other words in backquotes stay."""
    return SETTING.sub(_typed, text)


def _typed(setting: re.Match[str]) -> str:
    name, value = setting.groups()
    if value == "False":
        name, value = f"no_{name}", None
    flag = flags().get(name)
    if flag is None:
        return setting[0]
    return flag if value is None else f"{flag} {shlex.quote(value)}"


@cache
def flags() -> Mapping[str, str]:
    """Map the name of each option's parameter to its flag; of two flags, the one that is spelled like it."""
    from ce2de_os.cli import cli

    found: dict[str, str] = {}
    for option in _options(cli):
        if option.name is not None:
            plain = f"--{option.name.replace('_', '-')}"
            found[option.name] = plain if plain in option.opts else found.get(option.name, option.opts[-1])
    return found


def _options(command: click.Command) -> Iterator[click.Option]:
    yield from (option for option in command.params if isinstance(option, click.Option))
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            each = command.get_command(context, name)
            if each is not None:
                yield from _options(each)
