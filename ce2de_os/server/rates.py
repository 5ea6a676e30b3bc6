"""Rates: how many requests a key may send."""

from __future__ import annotations

import time
from collections.abc import Callable

MINUTE_S = 60.0


class Rates:
    """Counts the requests of each caller: a minute's worth at once, then one as often as the rate allows."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._free_at: dict[bytes, float] = {}  # when a caller's last request would be worked off

    def wait_s(self, caller: bytes) -> float:
        """Count a request; 0: it may enter, else the seconds until one may, and it is not counted."""
        now = self._clock()
        each_s = MINUTE_S / self._per_minute
        free_at = max(now, self._free_at.get(caller, now)) + each_s
        if free_at - now > MINUTE_S + each_s / 2:
            return free_at - now - MINUTE_S
        self._free_at[caller] = free_at
        return 0.0
