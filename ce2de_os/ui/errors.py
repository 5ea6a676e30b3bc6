"""Errors that a page shows: what happened, what to do."""

from __future__ import annotations

from ce2de_os.errors import (
    BackendUnavailableError,
    BrokerUnavailableError,
    Ce2deError,
    ConfigError,
    DataError,
    IndexSchemaError,
)
from ce2de_os.redaction import redact


class PageError(Exception):
    """A request that gets an error page."""

    def __init__(self, status: int, finding: str, action: str = "", *, stale: bool = False) -> None:
        super().__init__(finding)
        self.status, self.finding, self.action, self.stale = status, finding, action, stale

    @classmethod
    def of(cls, error: Ce2deError) -> PageError:
        """Make one of an error of the package, without its secrets."""
        return cls(_status(error), *said(error))


def said(error: Ce2deError) -> tuple[str, str]:
    """Return what happened and what to do, without secrets."""
    finding, action = error.parts
    return redact(finding), redact(action)


def _status(error: Ce2deError) -> int:
    if isinstance(error, BackendUnavailableError | BrokerUnavailableError):
        return 503
    return 400 if isinstance(error, ConfigError | DataError | IndexSchemaError) else 502
