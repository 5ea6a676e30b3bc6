"""A recipe file: the tables of a `DistillRequest` as TOML, read and written."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

from ce2de_os.config import Settings
from ce2de_os.distill.config import SHAPE
from ce2de_os.errors import ConfigError
from ce2de_os.reading import read_text
from ce2de_os.recipes.distill_request import DistillRequest, Step
from ce2de_os.recipes.toml_table import nearest, read_table, toml_value

RECIPE_TOML = "recipe.toml"
"""The complete recipe in a run's folder."""

Tables = Mapping[str, Mapping[str, object]]
"""The values of a recipe by table and key."""

_CLASSES = {
    name: kind
    for name, kind in get_type_hints(DistillRequest).items()
    if isinstance(kind, type) and is_dataclass(kind)
}
TABLES = {name: tuple(field.name for field in fields(table)) for name, table in _CLASSES.items()}
"""The keys of each table."""

_HEADER = """\
# The complete recipe of this run. To repeat it, pass this file to 'ce2de distill' as the recipe, with a new
# output folder, from the same working folder.
"""


def read_tables(path: Path) -> dict[str, dict[str, object]]:
    """Read a recipe file, with its values as they are.

    Raises:
        ConfigError: it is no TOML, or holds a value outside of the known tables.
    """
    try:
        found = tomllib.loads(read_text(path, error=ConfigError))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: got text that is not TOML ({error}); correct that line") from error
    except (RecursionError, ValueError) as error:  # a number of 5,000 digits
        raise ConfigError(f"{path}: nested too deeply, or a number that is too long; correct it") from error
    for name, values in found.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: got '{name}' outside of a table; {_place(name)}")
        if name not in TABLES:
            near = nearest(name, TABLES)
            advice = f"did you mean [{near}]?" if near else f"expected {_names()}"
            raise ConfigError(f"{path}: got an unknown table [{name}]; {advice}")
    return found


def place_of(name: str) -> str | None:
    """Find the setting ``TABLE.KEY`` with this key; ``None``: no table, or more than one, has it."""
    tables = [table for table, keys in TABLES.items() if name in keys]
    return f"{tables[0]}.{name}" if len(tables) == 1 else None


def request_of(
    tables: Tables, out: Path, *, until: Step = "report", settings: Settings | None = None, command: str = ""
) -> DistillRequest:
    """Build the request that the tables describe; the other arguments are its own fields.

    Raises:
        ConfigError: a key is unknown, a value has the wrong type, or two contradict each other.
    """
    _check_alternatives(tables)
    read = {name: read_table(name, tables.get(name, {}), table) for name, table in _CLASSES.items()}
    return DistillRequest(out=out, until=until, settings=settings, command=command, **read)


def toml_text(request: DistillRequest) -> str:
    """Write the tables of a request, except for the values that are ``None``."""
    lines = [_HEADER]
    for table, keys in TABLES.items():
        values = getattr(request, table)
        lines.append(f"[{table}]")
        lines += [
            f"{key} = {toml_value(getattr(values, key))}"
            for key in keys
            if getattr(values, key) is not None and not _unused(request, key)
        ]
        lines.append("")
    return "\n".join(lines)


def _check_alternatives(tables: Tables) -> None:
    training, student = tables.get("training", {}), tables.get("student", {})
    if "minutes" in training and "tokens" in training:
        raise ConfigError("got training.minutes and training.tokens, expected one of them; remove one")
    given = next((key for key in SHAPE if key in student and "start" in student), None)
    if given is not None:
        raise ConfigError(
            f"got student.{given} and student.start, expected one of them: the student to start from keeps "
            "its layers and readout; remove one"
        )


def _unused(request: DistillRequest, key: str) -> bool:
    """Say whether another value takes this one's place."""
    if key == "minutes":
        return request.training.tokens is not None
    return key in SHAPE and request.student.start is not None


def _place(name: str) -> str:
    place = place_of(name)
    return f"write it under [{place.partition('.')[0]}]" if place else f"write it under one of {_names()}"


def _names() -> str:
    return ", ".join(f"[{name}]" for name in TABLES)
