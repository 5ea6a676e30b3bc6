"""Read one table of a TOML file into a dataclass, with errors that say what to write."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from ce2de_os.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def read_table(name: str, values: Mapping[str, object], table: type[DataclassInstance]) -> Any:  # noqa: ANN401 - of that type
    """Make a ``table`` of the values as `tomllib` reads them; the type of each field says what it takes.

    Raises:
        ConfigError: a key is unknown, or a value is of another type; ``name`` is the table's.
    """
    kinds = get_type_hints(table)
    known = [field.name for field in fields(table)]
    unknown = next((key for key in values if key not in known), None)
    if unknown is not None:
        near = nearest(unknown, known)
        advice = f"did you mean {name}.{near}?" if near else f"[{name}] takes {', '.join(known)}"
        raise ConfigError(f"{name}.{unknown}: got an unknown key, expected a key of [{name}]; {advice}")
    return table(**{key: _read(f"{name}.{key}", value, kinds[key]) for key, value in values.items()})


class _WrongTypeError(Exception):
    """A value has another type; the text says what is expected."""


def _read(place: str, value: object, kind: object) -> object:
    try:
        if get_origin(kind) is Literal:
            return _choice(value, get_args(kind))
        return _files(place, value) if kind == Mapping[str, Path] else _READERS[kind](value)
    except _WrongTypeError as error:
        raise ConfigError(f"{place}: got {toml_value(value)}, expected {error}") from None
    except _NoFileError as error:
        raise ConfigError(f"{place}: got '{error}', expected files of this name; there are none") from None


class _NoFileError(Exception):
    """No file has a name of this pattern."""


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise _WrongTypeError("text in quotes, without zero bytes")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _WrongTypeError("a whole number")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _WrongTypeError("a number")
    return float(value)


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise _WrongTypeError("true or false")
    return value


def _choice(value: object, known: tuple[str, ...]) -> object:
    if value not in known:
        raise _WrongTypeError(f"one of {', '.join(known)}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _WrongTypeError('a list of texts, such as ["one", "two"]')
    return tuple(map(_text, value))


def _two_words(value: object) -> tuple[str, ...] | None:
    words = _texts(value)
    if words and not (len(words) == 2 and all(words)):
        raise _WrongTypeError('two words, the one for a relevant document first, such as ["true", "false"]')
    return words or None


def _path(value: object) -> Path:
    return Path(_text(value))


def _paths(value: object) -> tuple[Path, ...]:
    """Read names of files; ``*`` means any characters, in the order of the names."""
    return tuple(path for name in _texts(value) for path in _matches(name))


def _matches(name: str) -> list[Path]:
    if "*" not in name or Path(name).exists():
        return [Path(name)]
    found = sorted(glob(name))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not found:
        raise _NoFileError(name)
    return [Path(one) for one in found]


def _files(place: str, value: object) -> dict[str, Path]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise _WrongTypeError('a file for each language, such as { it = "corpus.it.jsonl" }')
    wrong = next((language for language in value if not language.isidentifier()), None)
    if wrong is not None:
        raise ConfigError(f"{place}: got language '{wrong}', expected a code such as it")
    return {language: _path(name) for language, name in value.items()}


def _weights(value: object) -> dict[str, float]:
    if not isinstance(value, dict) or not all(type(one) in (int, float) for one in value.values()):
        raise _WrongTypeError("a weight for each, such as { l2 = 1, kl = 0.2 }")
    return {name: float(weight) for name, weight in value.items()}


def _layers(value: object) -> tuple[int | None, ...]:
    if not isinstance(value, list) or not all(type(one) is int or one == "new" for one in value):
        raise _WrongTypeError('a list of numbers or "new", such as [0, 5] or [0, "new"]')
    return tuple(None if one == "new" else one for one in value)


_READERS: dict[object, Callable[[object], object]] = {
    str: _text, str | None: _text, int: _whole, int | None: _whole, float: _number, bool: _switch,
    tuple[str, ...]: _texts, tuple[str, str] | None: _two_words, Path | None: _path,
    tuple[Path, ...]: _paths, Mapping[str, float] | None: _weights, tuple[int | None, ...]: _layers,
}  # fmt: skip
"""What reads the values of a field of each type; `Literal` and ``Mapping[str, Path]`` are read apart."""


def nearest(word: str, known: Collection[str]) -> str | None:
    """Find the known word most similar to ``word``; ``None``: none is similar."""
    return next(iter(difflib.get_close_matches(word, known, n=1)), None)


def toml_value(value: object) -> str:
    """Write a value as TOML does; ``None`` in a list is ``"new"``."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case None:
            return '"new"'
        case list() | tuple():
            return f"[{', '.join(map(toml_value, value))}]"
        case Mapping():
            inner = ", ".join(f"{json.dumps(key)} = {toml_value(one)}" for key, one in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case _:
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
