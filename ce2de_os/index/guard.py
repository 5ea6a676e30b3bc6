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


def turn_name(target: str, number: int) -> str:
    """The alias of a target that a request takes away to move another alias; see `reindex.cutover.turn`."""
    return f"{guard_name(target)}-{number}"


def turn_number(target: str, alias: str) -> int | None:
    """The number of a target's turn; ``None``: the alias is none."""
    number = alias.removeprefix(f"{guard_name(target)}-")
    return int(number) if number != alias and number.isdecimal() else None


def is_guard(alias: str) -> bool:
    """Whether an alias is a guard or a turn, which no application uses."""
    return alias.startswith(_PREFIX)
