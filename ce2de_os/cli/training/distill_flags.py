"""Merge the flags of ``ce2de distill`` into the tables of a recipe."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable

import click

from ce2de_os.errors import ConfigError
from ce2de_os.recipes.distill_toml import TABLES, Tables, place_of

ALTERNATIVES = {
    "training.minutes": ("training.tokens",),
    "training.tokens": ("training.minutes",),
    "documents.index": ("documents.corpus",),
    "documents.corpus": ("documents.index",),
    "rankings.queries": ("rankings.query_log", "rankings.query_field"),
    "rankings.query_log": ("rankings.queries", "rankings.query_field"),
    "rankings.query_field": ("rankings.queries", "rankings.query_log"),
    "student.start": ("student.init", "student.layers", "student.pooled", "student.readout"),
}
"""What a setting on the command line removes from the file, since only one of them can hold."""

FORMER_FLAGS = {
    "language": "languages.original",
    "selector-languages": "languages.selector",
    "teacher-languages": "languages.teacher",
    "student-languages": "languages.student",
    "new-language": "student.new_language_texts",
    "depth": "rankings.candidates",
    "ways": "rankings.compared_candidates",
    "candidates": "rankings.candidates_file",
}
"""Flags of earlier releases whose setting has another name now."""


class RecipeCommand(click.Command):
    """A command whose usage error names the recipe key of a setting that has no flag."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; name the recipe's key for a flag that is none."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name.lstrip("-")
            place = FORMER_FLAGS.get(name) or place_of(name.replace("-", "_"))
            if place is None:
                raise
            table, _, key = place.partition(".")
            raise click.UsageError(
                f"--{name}: got a flag that does not exist, expected a setting of the recipe; write "
                f"'{key} = …' under [{table}] in the file, or --set {place}=VALUE",
                ctx,
            ) from None


def given_tables(
    flags: Iterable[tuple[str, str, object]], settings: Iterable[str]
) -> dict[str, dict[str, object]]:
    """Collect the values that the command line gives.

    Args:
        flags: table, key and value of each flag; ``None`` or an empty list where it is not given.
        settings: the values of ``--set``, ``TABLE.KEY=VALUE`` or ``TABLE.KEY.NAME=VALUE``.

    Raises:
        ConfigError: one of ``settings`` has another form, or a value is given twice.
    """
    found: dict[str, dict[str, object]] = {}
    for table, key, value in flags:
        if value is not None and value != []:
            found.setdefault(table, {})[key] = value
    for text in settings:
        _put(found, text)
    return found


def merged(file: Tables, given: Tables) -> dict[str, dict[str, object]]:
    """Override the values of the file by those of the command line; neither argument changes."""
    found = {table: dict(values) for table, values in file.items()}
    for table, values in given.items():
        for key, value in values.items():
            for other in ALTERNATIVES.get(f"{table}.{key}", ()):
                there, _, name = other.partition(".")
                found.get(there, {}).pop(name, None)
            before = found.setdefault(table, {}).get(key)
            both = isinstance(before, dict) and isinstance(value, dict) and key != "losses"
            found[table][key] = {**before, **value} if both else value  # type: ignore[dict-item]
    for table, values in given.items():
        found[table].update({key: value for key, value in values.items() if key not in found[table]})
    return found


def _put(found: dict[str, dict[str, object]], text: str) -> None:
    place, equals, value = text.partition("=")
    match place.strip().split("."):
        case [table, key] if equals and table in TABLES:
            values, name = found.setdefault(table, {}), key
        case [table, key, name] if equals and table in TABLES:
            inner = found.setdefault(table, {}).setdefault(key, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"--set {text}: got {table}.{key} as one value and as a table; give one")
            values = inner
        case _:
            raise ConfigError(
                f"--set: got '{text}', expected TABLE.KEY=VALUE with a table of {', '.join(TABLES)}, such as "
                "training.tokens=2000000"
            )
    if name in values:
        raise ConfigError(f"--set: got {place.strip()} twice, expected it once; remove one")
    values[name] = _value(value)


def _value(text: str) -> object:
    """Read a value as TOML; text without quotes is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
