"""The guard: a hidden alias through which a job writes to its target, for as long as it may write there.

OpenSearch itself refuses a bulk request with ``require_alias`` to an alias that does not exist. The alias is
removed in the same request that hands the truth over to the target, and when a job is cancelled. So a worker
that was asleep meanwhile writes nothing, and a target that was deleted, or created again, is never filled.
"""

from __future__ import annotations

import hashlib

_PREFIX = "ce2de-guard-"


def guard_name(target: str) -> str:
    """The guard of a target."""
    return _PREFIX + hashlib.sha256(target.encode()).hexdigest()[:16]


def permit_name(target: str, number: int) -> str:
    """The permit of one attempt to move an alias to a target: whoever removes it first decides."""
    return f"{guard_name(target)}-{number}"


def is_guard(alias: str) -> bool:
    """Whether an alias is a guard or a permit, which no application uses."""
    return alias.startswith(_PREFIX)
