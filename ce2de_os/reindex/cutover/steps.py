"""The steps of a job's end, in their order; the debug log shows each one as it is reached."""

from __future__ import annotations

import logging
from typing import Literal, get_args

Step = Literal[
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
]
"""The last action of a worker when it reaches the step.

``restored``: the targets' settings are those of the source again. ``caught_up``: every operation of the
source that was known is in the target. ``compared``: source and target were compared. ``verified``: the
verification passed. ``switching``: the ledger says that the truth moves. ``blocked``: the sources take no
writes. ``drained``: their last operations are in the target. ``compared_again``: nothing is missing.
``alias_moved``: searches and writes go to the target. ``truth_moved``: the ledger says so.
``follow_started``: a job keeps the vectors right from now on. ``unblocked``: the sources take writes again.
"""

STEPS: tuple[Step, ...] = get_args(Step)

logger = logging.getLogger(__name__)


def reached(step: Step, job_id: str) -> None:
    """Write to the debug log that a worker has reached ``step`` of the job."""
    logger.debug("Reached a step", extra={"action": "step", "step": step, "job": job_id})
