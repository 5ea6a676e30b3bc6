"""Jobs as Prometheus metrics, computed from the ledger at every scrape.

Workers write their counts to the ledger, so that nothing is lost when one dies, and one exporter per cluster
is enough. The label is ``job_id``: ``job`` belongs to Prometheus.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from opensearchpy import OpenSearch
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ce2de_os.errors import BackendError
from ce2de_os.reindex.job import DONE, ENDED, FAILED, RUNNING, STATES, WAITING
from ce2de_os.reindex.status import JobEntry, JobStatus, entries

logger = logging.getLogger(__name__)

_SLICE_STATES = (WAITING, RUNNING, DONE, FAILED)

# field of Counts: (name without prefix and _total, help)
_COUNTERS = {
    "documents": ("documents_read", "Documents read from the source; one that changes counts each time."),
    "embedded": ("texts_embedded", "Texts that the model encoded."),
    "tokens": ("tokens", "Tokens in the texts that the model encoded."),
    "written": ("documents_written", "Documents written to the target."),
    "reused": ("documents_reused", "Documents that got a known vector of an equal text."),
    "unchanged": ("documents_unchanged", "Documents that carried the right vector already."),
    "without_text": ("documents_without_text", "Documents that have no text and get no vector."),
    "other_languages": ("documents_other_languages", "Documents in none of the job's languages."),
    "unknown_languages": (
        "documents_unknown_languages",
        "Documents whose language field holds no known language.",
    ),
    "already_newer": ("documents_already_newer", "Writes that found a newer version in the target."),
    "refused": ("documents_refused", "Documents written to the dead-letter index."),
    "rejected": ("writes_rejected", "Writes answered with 429 and sent again."),
}
_STAGES = {"read": "read_s", "encode": "encode_s", "write": "write_s"}

Samples = Mapping[tuple[str, ...], float]


class LedgerCollector(Collector):
    """Reads the ledger at each scrape; ``ce2de_up`` is 0 while it cannot be read."""

    def __init__(self, client: OpenSearch) -> None:
        self._client = client

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, or ``ce2de_up`` alone; a job that cannot be read hides no other."""
        try:
            found = list(entries(self._client))
        except BackendError as error:
            logger.warning("The ledger cannot be read: %s", error, extra={"action": "scrape_failed"})
            yield _up(0)
            return
        yield _up(1)
        yield readable(found)
        yield ended(found)
        yield from families([entry.status for entry in found if entry.status is not None])


def readable(found: Sequence[JobEntry]) -> Metric:
    """Say of each job whether it can be read, except of those that ended over a week ago."""
    text = "Whether the job's records, and the indices they name, could be read."
    family = GaugeMetricFamily("ce2de_job_readable", text, labels=["job_id"])
    for entry in found:
        if entry.error is not None:
            keys = {"action": "job_unreadable", "job": entry.job_id}
            logger.warning("A job cannot be read: %s", entry.error, extra=keys)
        if entry.error is not None or entry.status is not None:
            family.add_metric([entry.job_id], float(entry.error is None))
    return family


def ended(found: Sequence[JobEntry]) -> Metric:
    """Count the ended jobs, old ones too: their records stay until an operator cleans them."""
    text = "Ended jobs whose records are kept until 'ce2de reindex clean', old ones too."
    number = sum(entry.job is not None and entry.job.state in ENDED for entry in found)
    return GaugeMetricFamily("ce2de_ended_jobs", text, value=number)


def families(found: Sequence[JobStatus]) -> Iterator[Metric]:
    """Yield the metrics of jobs; each sample has the label ``job_id``."""
    yield from _counters(found)
    text = "Documents in the source when the job was created."
    yield _gauge("source_documents", text, found, lambda one: _known(one.job.documents))
    text = "Documents that are still to be read."
    yield _gauge("backlog_documents", text, found, lambda one: _known(one.documents_left))
    text = "Live writes that the targets have not seen."
    yield _gauge("lag_operations", text, found, lambda one: _known(one.lag))
    text = "Age of the oldest write whose vector is missing or stale, for a standing job."
    yield _gauge("freshness_seconds", text, found, lambda one: _known(one.freshness_s))
    text = "1 if OpenSearch's own pipelines give the job's vectors, 0 if not."
    yield _gauge("connection_right", text, found, lambda one: _known(one.job.connection_right))
    yield _gauge("documents_per_second", "Documents that the workers read per second now.", found, _rate)
    yield _gauge("workers_busy", "Workers that hold a lease.", found, lambda one: _known(one.workers))
    yield _gauge("dead_letters", "Documents in the dead-letter index now.", found, _dead_letters, "reason")
    yield _gauge("slices", "Slices in each state.", found, _slices, "state")
    yield _gauge("job_state", "1 for the state that the job is in.", found, _states, "state")
    model = InfoMetricFamily("ce2de_model", "The model that the job embeds with.", labels=["job_id"])
    for each in found:
        job = each.job
        model.add_metric([job.job_id], {"model": job.model, "fingerprint": job.fingerprint})
    yield model


def _counters(found: Sequence[JobStatus]) -> Iterator[Metric]:
    for field, (name, text) in _COUNTERS.items():
        counter = CounterMetricFamily(f"ce2de_{name}", text, labels=["job_id"])
        for each in found:
            counter.add_metric([each.job.job_id], getattr(each.counts, field))
        yield counter
    text = "Seconds that workers spent in each stage; the stages overlap."
    seconds = CounterMetricFamily("ce2de_stage_seconds", text, labels=["job_id", "stage"])
    for each in found:
        for stage, field in _STAGES.items():
            seconds.add_metric([each.job.job_id, stage], getattr(each.counts, field))
    yield seconds


def _gauge(
    name: str, text: str, found: Iterable[JobStatus], samples: Callable[[JobStatus], Samples], *labels: str
) -> Metric:
    gauge = GaugeMetricFamily(f"ce2de_{name}", text, labels=["job_id", *labels])
    for each in found:
        for values, value in samples(each).items():
            gauge.add_metric([each.job.job_id, *values], value)
    return gauge


def _up(value: float) -> Metric:
    return GaugeMetricFamily("ce2de_up", "Whether the ledger in OpenSearch could be read.", value=value)


def _known(value: float | None) -> Samples:
    return {} if value is None else {(): float(value)}


def _rate(found: JobStatus) -> Samples:
    # Without workers the status has the mean since the start, which is not the current rate.
    return {(): found.docs_per_s or 0.0 if found.workers else 0.0}


def _dead_letters(found: JobStatus) -> Samples:
    return {(kind,): number for kind, number in found.refusals.items()}


def _slices(found: JobStatus) -> Samples:
    return {(state,): found.slices.get(state, 0) for state in _SLICE_STATES}


def _states(found: JobStatus) -> Samples:
    return {(state,): float(state == found.job.state) for state in STATES}
