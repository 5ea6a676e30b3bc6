"""The guard: a hidden alias through which a job writes to its target, for as long as it may write there.

OpenSearch itself rejects a bulk request with ``require_alias`` to an alias that does not exist. The alias is
removed in the same request that hands the truth over to the target, and when a job is cancelled. So a worker
that was suspended in between writes nothing, and a target that was deleted, or created again, is never
filled.
"""

from __future__ import annotations

import hashlib

_PREFIX = "ce2de-guard-"


def guard_name(target: str) -> str:
    """Return the name of a target's guard alias."""
    return _PREFIX + hashlib.sha256(target.encode()).hexdigest()[:16]


def turn_name(target: str, number: int) -> str:
    """Return the name of the alias that a request removes from a target to move another alias."""
    return f"{guard_name(target)}-{number}"


def turn_number(target: str, alias: str) -> int | None:
    """Return the number in the name of a target's turn; ``None``: the alias is no turn of this target."""
    number = alias.removeprefix(f"{guard_name(target)}-")
    return int(number) if number != alias and number.isdecimal() else None


def is_guard(alias: str) -> bool:
    """Return whether an alias is a guard or a turn, which no application uses."""
    return alias.startswith(_PREFIX)
