"""Watched: what was read from files that may change while the service runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from ce2de_os.errors import ConfigError

logger = logging.getLogger(__name__)

Value = TypeVar("Value")


class Watched(Generic[Value]):
    """Reads files again when one of them has changed.

    Changed files that cannot be used are reported in the log, and what was read before stays good.

    Raises:
        ConfigError: they cannot be used at the start.
    """

    def __init__(self, what: str, paths: tuple[Path, ...], read: Callable[[], Value]) -> None:
        self._what, self._paths, self._read = what, paths, read
        self._seen = self._stamps()
        self._value = read()

    def now(self) -> Value:
        """Return what is in the files now."""
        stamps = self._stamps()
        if stamps == self._seen:
            return self._value
        self._seen = stamps
        try:
            self._value = self._read()
        except ConfigError as error:
            keys = {"action": f"{self._what}_unreadable"}
            logger.error("%s; what was read before stays good", error, extra=keys)
        else:
            logger.warning("The %s was read again", self._what, extra={"action": f"{self._what}_read"})
        return self._value

    def _stamps(self) -> list[tuple[int, ...] | None]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode
