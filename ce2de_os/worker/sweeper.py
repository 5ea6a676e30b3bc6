"""Look once a minute, in every worker, for jobs without a worker."""

from __future__ import annotations

import logging
import random
import threading
import time
from functools import cache
from typing import Any

from celery.signals import worker_ready

from ce2de_os.config import Settings
from ce2de_os.errors import Ce2deError
from ce2de_os.index.client import connect
from ce2de_os.model.artifact import Artifact
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.sweep import SWEEP_S, sweep
from ce2de_os.worker import resources
from ce2de_os.worker.queue import CeleryQueue

logger = logging.getLogger("ce2de_os.worker.sweeper")


@worker_ready.connect
def begin(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """Start sweeping, in Celery's own process: its children may all be busy."""
    threading.Thread(target=_sweep_for_good, name="sweeper", daemon=True).start()


def _sweep_for_good() -> None:
    while True:
        sweep_once()
        time.sleep(SWEEP_S * random.uniform(0.8, 1.2))  # noqa: S311 - so that workers do not look together


@cache
def _model() -> str:
    return Artifact.load(Settings.from_env().artifact).fingerprint


def sweep_once() -> list[str]:
    """Sweep, over a connection of its own: this process's children must not inherit one that is in use."""
    try:
        with connect(Settings.from_env().opensearch) as client:
            return sweep(Ledger(client), CeleryQueue(fingerprint=_model()), _model(), resources.is_gone)
    except Ce2deError as error:
        logger.warning("Sweep failed: %s", error, extra={"action": "sweep_failed"})
    except Exception:  # after any error, the next sweep may succeed
        logger.exception("No sweep", extra={"action": "sweep_failed"})
    return []
