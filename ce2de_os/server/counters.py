"""Counters: what the service did, for Prometheus."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder in which several processes keep their counters; prometheus-client reads it."""

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Counters:
    """Counts requests, texts and tokens; several processes are counted together."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        name, own = "ce2de_server_", self._registry
        self._requests = Counter(f"{name}requests", "Requests answered.", ["path", "status"], registry=own)
        self._seconds = Histogram(
            f"{name}request_seconds", "Seconds from head to answer.", ["path"], registry=own, buckets=_BUCKETS
        )
        self._texts = Counter(f"{name}texts", "Texts computed, by queue.", ["queue"], registry=own)
        self._tokens = Counter(f"{name}tokens", "Tokens in these texts.", ["queue"], registry=own)
        self._waiting = Gauge(
            f"{name}waiting_texts", "Texts that wait in each queue.", ["queue"], registry=own,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._child = cache(_child)  # half of the time of a count is the search for the child

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._child(self._requests, path, str(status)).inc()
        self._child(self._seconds, path).observe(seconds)

    def computed(self, queue: str, texts: int, tokens: int) -> None:
        """Count texts that have their result."""
        self._child(self._texts, queue).inc(texts)
        self._child(self._tokens, queue).inc(tokens)

    def waiting(self, texts: Mapping[str, int]) -> None:
        """Note how many texts wait in each queue."""
        for queue, number in texts.items():
            self._child(self._waiting, queue).set(number)

    def families(self) -> Iterable[Metric]:
        """Return the metrics of this process."""
        return self._registry.collect()

    def page(self) -> bytes:
        """Write the metrics of all processes as text for Prometheus."""
        folder = os.environ.get(FOLDER_VARIABLE)
        if not folder:
            return generate_latest(self._registry)
        _forget_dead(Path(folder))
        every = CollectorRegistry()
        MultiProcessCollector(every)  # type: ignore[no-untyped-call]
        return generate_latest(every)


def _child(metric: Counter | Gauge | Histogram, *labels: str) -> Any:  # noqa: ANN401 - of the metric's kind
    """Return the part of a metric that has these labels."""
    return metric.labels(*labels)


def _forget_dead(folder: Path) -> None:
    """Forget what waited in processes that have died; what they counted stays."""
    for file in folder.glob("gauge_live*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
