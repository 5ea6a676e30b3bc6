"""Logging: a sentence for people, and stable keys for machines.

Library modules call ``logging.getLogger(__name__)`` and pass ``extra={"action": "...", ...}``; nothing is
configured at import. Document text and credentials are never logged.
"""

from __future__ import annotations

import logging

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class KeyValueFormatter(logging.Formatter):
    """Formats a record as ``time level sentence key=value ...`` with the record's extra keys."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The sentence followed by the extra keys in alphabetical order."""
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        pairs = " ".join(f"{key}={extra[key]}" for key in sorted(extra))
        line = super().format(record)
        return f"{line} [{pairs}]" if pairs else line


def configure(verbose: bool = False) -> None:
    """Send this package's log records to stderr; called by the CLI and the workers."""
    handler = logging.StreamHandler()
    handler.setFormatter(KeyValueFormatter())
    logger = logging.getLogger("ce2de_os")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
