"""Whether OpenSearch's own pipelines, where `ce2de connect` made some, still give the job's vectors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from ce2de_os.errors import Ce2deError
from ce2de_os.reindex.held_job import HeldJob

logger = logging.getLogger(__name__)

CHECK_S, AGAIN_S = 600.0, 60.0
"""Seconds between two checks of a connection: while it is right, and while it is wrong."""

CheckConnection = Callable[[str], str | None]
"""Returns what is wrong with the connection of a name, ``None``: nothing; raises `Ce2deError`: unknown."""


class ConnectionWatch:
    """Checks the connections of a standing job's indices now and then, and records what is wrong."""

    def __init__(self, held: HeldJob, check: CheckConnection | None) -> None:
        self._held, self._check = held, check

    def look(self, names: Collection[str]) -> None:
        """Check the connections of these names, unless the last check was a short while ago."""
        if self._check is None or not self._is_due(names):
            return
        if not names:
            self._record(None, None, None)
            return
        self._held.renew()  # a service that hangs takes some seconds
        try:
            error = "; ".join(filter(None, map(self._check, sorted(names)))) or None
        except Ce2deError as unknown:  # following needs fewer rights
            self._record(self._held.ledger.now(), None, str(unknown))
            return
        if error is not None and self._held.job.connection_right is not False:
            keys = {"action": "connection_wrong", "job": self._held.job.job_id}
            logger.warning("OpenSearch's own pipelines give other vectors: %s", error, extra=keys)
        self._record(self._held.ledger.now(), error is None, error)

    def _is_due(self, names: Collection[str]) -> bool:
        job = self._held.job
        if not names:
            return job.connection_at_s is not None
        pause_s = AGAIN_S if job.connection_right is False else CHECK_S
        return job.connection_at_s is None or self._held.ledger.now() - job.connection_at_s >= pause_s

    def _record(self, at_s: float | None, right: bool | None, error: str | None) -> None:
        self._held.change(connection_at_s=at_s, connection_right=right, connection_error=error)
