"""The steps of a job's end, for the operator's log and for whoever replays a failure at one of them."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

STEPS = (
    "restored",
    "caught_up",
    "compared",
    "verified",
    "switching",
    "blocked",
    "drained",
    "compared_again",
    "alias_moved",
    "truth_moved",
    "follow_started",
    "unblocked",
)
"""In the order of a handover; a mirror has no ``switching`` to ``compared_again``, in place neither."""


def reached(step: str) -> None:
    """Log that a step is done."""
    logger.debug("Step done: %s", step, extra={"action": "step", "step": step})
