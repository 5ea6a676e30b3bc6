"""Logging: a sentence for people, and stable keys for machines.

Library modules call ``logging.getLogger(__name__)`` and pass ``extra={"action": "...", ...}``; nothing is
configured at import. Document text and credentials are never logged.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

PACKAGE = __name__.partition(".")[0]
FORMATS = ("text", "json")

_TEXT = "%(asctime)s %(levelname)s %(message)s"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class KeyValueFormatter(logging.Formatter):
    """Formats a record as ``time level sentence [key=value ...]`` with the record's extra keys."""

    def __init__(self, line: str = _TEXT) -> None:
        super().__init__(line)

    def format(self, record: logging.LogRecord) -> str:
        """Format the record as its sentence, then the extra keys in alphabetical order."""
        extra = _extra(record)
        pairs = " ".join(f"{key}={_one_line(extra[key])}" for key in sorted(extra))
        line = super().format(record)
        return f"{line} [{pairs}]" if pairs else line


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object on one line: time, level, logger, message and the extra keys.

    ``time`` is ISO 8601 in UTC; ``exception`` holds the traceback, if there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format the record as a JSON object; values that JSON does not know are written as text."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {key: value for key, value in _extra(record).items() if key not in entry}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def formatter(log_format: str, line: str = _TEXT) -> logging.Formatter:
    """Return the formatter for ``text`` or ``json``; ``line`` is the text's pattern."""
    return JsonFormatter() if log_format == "json" else KeyValueFormatter(line)


def configure(level: int = logging.WARNING, log_format: str = "text") -> None:
    """Send this package's log records to stderr, as the commands do; workers have Celery's handlers."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(log_format))
    logger = logging.getLogger(PACKAGE)
    logger.handlers = [handler]
    logger.setLevel(level)


def _one_line(value: object) -> str:
    """Escape a value so that it cannot start a new line, which could forge a record."""
    return "".join(
        part if part.isprintable() else part.encode("unicode_escape").decode() for part in str(value)
    )


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """Return the extra keys of this package's records; those of other libraries may hold anything."""
    if record.name.partition(".")[0] != PACKAGE:
        return {}
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}
