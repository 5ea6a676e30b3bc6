"""Adapt the size of writes: additive increase, multiplicative decrease, as networks do.

Nothing here reads a clock or calls a server: `BulkPace` gets the observations.
"""

from __future__ import annotations

import random

FIRST_BYTES, LEAST_BYTES, MOST_BYTES = 1024 * 1024, 64 * 1024, 8 * 1024 * 1024
"""Largest size of a bulk request in bytes. A document that is larger is sent alone."""

STEP_BYTES = 1024 * 1024
MOST_IN_FLIGHT = 4

TARGET_S = 1.0
"""Seconds of a request above which it is too large; below half of it, the next may be larger."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0
"""When pauses are longest, requests are so small that one every two seconds is no load; with longer pauses,
less patient clients would always fill the queue first."""


class BulkPace:
    """The size and the number of the next bulk requests, and the pause before them.

    Several requests that are sent together are one round and one observation, so that four rejections at once
    halve the pace only once.

    Attributes:
        request_bytes: how large the next requests may be.
        in_flight: how many of them may be sent at the same time, 1 to 4.
        pause_s: seconds to wait before the next round; 0 unless the last one was rejected.
    """

    def __init__(self, jitter: random.Random | None = None) -> None:
        """``jitter`` spreads the pauses of several workers; ``None``: differently in each process."""
        self.request_bytes = FIRST_BYTES
        self.in_flight = 1
        self.pause_s = 0.0
        self._jitter = jitter or random.Random()  # noqa: S311 - no secret depends on it
        self._rejected_rounds = 0
        self._most_bytes = MOST_BYTES

    def accepted(self, took_s: float) -> None:
        """Adapt to a round without rejections; ``took_s``: OpenSearch's longest time for one request."""
        self._rejected_rounds, self.pause_s = 0, 0.0
        if took_s > TARGET_S:
            self._resize(int(self.request_bytes * max(0.5, TARGET_S / took_s)))
        elif took_s <= TARGET_S / 2:
            self._resize(self.request_bytes + STEP_BYTES)
            self.in_flight = min(MOST_IN_FLIGHT, self.in_flight + 1)

    def rejected(self) -> None:
        """Slow down after a round in which the cluster was too busy for some or all documents."""
        self._resize(self.request_bytes // 2)
        self.in_flight = max(1, self.in_flight // 2)
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**self._rejected_rounds)
        self.pause_s = longest * self._jitter.uniform(0.5, 1.0)
        self._rejected_rounds += 1

    def too_large(self, request_bytes: int) -> None:
        """Lower the limit: the cluster, or a proxy, rejected a request of this size as too large."""
        self._most_bytes = max(LEAST_BYTES, min(self._most_bytes, request_bytes // 2))
        self._resize(self.request_bytes)

    def _resize(self, request_bytes: int) -> None:
        self.request_bytes = min(self._most_bytes, max(LEAST_BYTES, request_bytes))
