"""Read one table of a TOML file, value by value, with errors that say what to write."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import NoReturn, TypeVar

from ce2de_os.errors import ConfigError

D = TypeVar("D")
C = TypeVar("C", bound=str)


class TableReader:
    """Takes typed values out of a table.

    Args:
        name: of the table, for messages.
        values: as `tomllib` reads them.
        known: all keys that the table may have.

    Raises:
        ConfigError: a key is unknown.
    """

    def __init__(self, name: str, values: Mapping[str, object], known: Collection[str]) -> None:
        self._name, self._values = name, values
        unknown = next((key for key in values if key not in known), None)
        if unknown is not None:
            near = nearest(unknown, known)
            advice = f"did you mean {name}.{near}?" if near else f"[{name}] takes {', '.join(known)}"
            raise ConfigError(f"{name}.{unknown}: got an unknown key, expected a key of [{name}]; {advice}")

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def text(self, key: str, default: D) -> str | D:
        """Take a text."""
        if key not in self._values:
            return default
        value = self._values[key]
        if not isinstance(value, str):
            self._refuse(key, "text in quotes")
        return value

    def whole(self, key: str, default: D) -> int | D:
        """Take a whole number."""
        if key not in self._values:
            return default
        value = self._values[key]
        if not isinstance(value, int) or isinstance(value, bool):
            self._refuse(key, "a whole number")
        return value

    def number(self, key: str, default: float) -> float:
        """Take a number."""
        value = self._values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(key, "a number")
        return float(value)

    def switch(self, key: str, default: bool) -> bool:
        """Take true or false."""
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            self._refuse(key, "true or false")
        return value

    def choice(self, key: str, known: Sequence[C], default: C) -> C:
        """Take one of the ``known`` words."""
        value = self._values.get(key, default)
        found = next((word for word in known if word == value), None)
        if found is None:
            self._refuse(key, f"one of {', '.join(known)}")
        return found

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Take a list of texts."""
        value = self._values.get(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            self._refuse(key, 'a list of texts, such as ["one", "two"]')
        return tuple(value)

    def path(self, key: str) -> Path | None:
        """Take the name of a file or a folder."""
        value = self.text(key, None)
        return None if value is None else Path(value)

    def paths(self, key: str) -> tuple[Path, ...]:
        """Take a list of names of files; ``*`` matches any characters, in the order of the names."""
        return tuple(path for name in self.texts(key) for path in self._matches(key, name))

    def files(self, key: str) -> dict[str, Path]:
        """Take a table with a file for each language."""
        value = self._values.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
            self._refuse(key, 'a file for each language, such as { it = "corpus.it.jsonl" }')
        wrong = next((language for language in value if not language.isidentifier()), None)
        if wrong is not None:
            raise ConfigError(f"{self._name}.{key}: got language '{wrong}', expected a code such as it")
        return {language: Path(name) for language, name in value.items()}

    def weights(self, key: str) -> dict[str, float] | None:
        """Take a table with a number for each name; ``None``: there is none."""
        if key not in self._values:
            return None
        value = self._values[key]
        if not isinstance(value, dict) or not all(type(one) in (int, float) for one in value.values()):
            self._refuse(key, "a weight for each, such as { l2 = 1, kl = 0.2 }")
        return {name: float(weight) for name, weight in value.items()}

    def layers(self, key: str, default: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Take a list of layers; ``"new"`` is ``None``."""
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, list) or not all(type(one) is int or one == "new" for one in value):
            self._refuse(key, 'a list of numbers or "new", such as [0, 5] or [0, "new"]')
        return tuple(None if one == "new" else one for one in value)

    def _matches(self, key: str, name: str) -> list[Path]:
        if "*" not in name or Path(name).exists():
            return [Path(name)]
        found = sorted(glob(name))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not found:
            raise ConfigError(
                f"{self._name}.{key}: got '{name}', expected files of this name; there are none"
            )
        return [Path(one) for one in found]

    def _refuse(self, key: str, expected: str) -> NoReturn:
        got = toml_value(self._values[key])
        raise ConfigError(f"{self._name}.{key}: got {got}, expected {expected}")


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
