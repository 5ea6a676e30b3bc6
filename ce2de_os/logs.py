"""Logging: a sentence for people, and stable keys for machines.

Library modules call ``logging.getLogger(__name__)`` and pass ``extra={"action": "...", ...}``; nothing is
configured at import. Document text and credentials are never logged.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from textwrap import indent
from typing import Any

from ce2de_os.redaction import one_line, redact

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
        pairs = " ".join(f"{key}={one_line(extra[key])}" for key in sorted(extra))
        line = super().format(record)
        return redact(f"{line} [{pairs}]" if pairs else line)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Format the sentence, which stays on one line whatever it contains."""
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802 - logging's name and type
        """Indent a traceback, so that no line of it looks like a record."""
        return indent(super().formatException(ei), "  ")


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
            "message": redact(record.getMessage()),
        }
        entry |= {key: _redacted(value) for key, value in _extra(record).items() if key not in entry}
        if record.exc_info:
            entry["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(entry, default=lambda value: redact(str(value)))


class Redacting(logging.Formatter):
    """Formats a record as ``inner`` does, without the secrets in it."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Format the record and mask its secrets."""
        return redact(self._inner.format(record))


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


def _redacted(value: Any) -> Any:  # noqa: ANN401 - any value of a record
    """Mask the secrets in every text of a value that JSON knows."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _redacted(each) for key, each in value.items()}
    return [_redacted(each) for each in value] if isinstance(value, list | tuple) else value


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """Return the extra keys of this package's records; those of other libraries may hold anything."""
    if record.name.partition(".")[0] != PACKAGE:
        return {}
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}
