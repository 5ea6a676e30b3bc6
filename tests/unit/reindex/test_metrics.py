from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.job import CANCELLED, DONE, PAUSED, RUNNING, WAITING, Counts, Job, Part, Range, Slice
from ce2de_os.reindex.metrics import families
from ce2de_os.reindex.status import WEEK_S, JobStatus, is_shown, summarize

JOB = Job(
    job_id="a-1",
    source="a",
    mode="copy",
    parts=(Part("a", "uuid", "a-ce2de", documents=1000, snapshot=(999,)),),
    alias="a-search",
    text=TextSpec(("title",)),
    vector=VectorField("v", 3),
    fingerprint="f" * 64,
    model="tiny",
    space="s",
    ranges=(Range(0, 0, -1, 499), Range(0, 0, 499, None)),
    created_at_s=100.0,
)
FIRST = Slice("a-1", 0, JOB.ranges[0], 199, RUNNING, owner="one", docs_per_s=40.0)
SECOND = Slice("a-1", 1, JOB.ranges[1], 549, WAITING, docs_per_s=30.0)


def found(job: Job = JOB, alive: Iterable[Slice] | None = None, lag: int | None = 5) -> JobStatus:
    first = replace(
        FIRST,
        counts=Counts(
            documents=200, embedded=150, tokens=3000, reused=40, without_text=10, already_newer=2, refused=3,
            rejected=64, written=195, read_s=1.5, encode_s=20.25, write_s=4.0,
        ),
    )  # fmt: skip
    second = replace(SECOND, counts=Counts(documents=50, embedded=50, tokens=700, written=50, encode_s=5.0))
    letters = {"mapper_parsing_exception": 2, "killed_its_worker": 1}
    return summarize(job, [first, second], list([first] if alive is None else alive), lag, letters, 200.0)


class _Fixed:
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self.metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def values(*jobs: JobStatus) -> dict[tuple[str, ...], float]:
    """``(name, label value, ...)`` to the value, as Prometheus would read it."""
    registry = CollectorRegistry()
    registry.register(_Fixed(families(jobs)))  # type: ignore[arg-type]
    text = generate_latest(registry).decode()
    return {
        (sample.name, *(sample.labels[key] for key in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (("ce2de_documents_read_total", "a-1"), 200 + 50),
        (("ce2de_texts_embedded_total", "a-1"), 150 + 50),
        (("ce2de_tokens_total", "a-1"), 3000 + 700),
        (("ce2de_documents_written_total", "a-1"), 195 + 50),
        (("ce2de_documents_reused_total", "a-1"), 40),
        (("ce2de_documents_unchanged_total", "a-1"), 0),
        (("ce2de_documents_without_text_total", "a-1"), 10),
        (("ce2de_documents_already_newer_total", "a-1"), 2),
        (("ce2de_documents_refused_total", "a-1"), 3),
        (("ce2de_writes_rejected_total", "a-1"), 64),
        (("ce2de_stage_seconds_total", "a-1", "read"), 1.5),
        (("ce2de_stage_seconds_total", "a-1", "encode"), 20.25 + 5.0),
        (("ce2de_stage_seconds_total", "a-1", "write"), 4.0),
        (("ce2de_source_documents", "a-1"), 1000),
        (("ce2de_backlog_documents", "a-1"), 1000 - 250),
        (("ce2de_lag_operations", "a-1"), 5),
        (("ce2de_documents_per_second", "a-1"), 40),  # of the slice at work, not of the waiting one
        (("ce2de_workers_busy", "a-1"), 1),
        (("ce2de_dead_letters", "a-1", "mapper_parsing_exception"), 2),
        (("ce2de_dead_letters", "a-1", "killed_its_worker"), 1),
        (("ce2de_slices", "a-1", "running"), 1),
        (("ce2de_slices", "a-1", "waiting"), 1),
        (("ce2de_slices", "a-1", "done"), 0),
        (("ce2de_job_state", "a-1", "running"), 1),
        (("ce2de_job_state", "a-1", "done"), 0),
        (("ce2de_model_info", "f" * 64, "a-1", "tiny"), 1),
    ],
)
def test_one_job(sample: tuple[str, ...], expected: float) -> None:
    assert math.isclose(values(found())[sample], expected)


def test_exactly_one_state_is_on() -> None:
    on = [key for key, value in values(found()).items() if key[0] == "ce2de_job_state" and value]
    assert on == [("ce2de_job_state", "a-1", "running")]


def test_several_jobs_are_told_apart() -> None:
    other = found(replace(JOB, job_id="b-2", state=PAUSED))
    both = values(found(), other)
    assert both["ce2de_job_state", "a-1", "paused"] == 0
    assert both["ce2de_job_state", "b-2", "paused"] == 1


def test_a_finished_job_has_no_backlog_and_no_rate() -> None:
    done = values(found(replace(JOB, state=DONE, finished_at_s=150.0), alive=[]))
    assert done["ce2de_backlog_documents", "a-1"] == 0
    assert done["ce2de_documents_per_second", "a-1"] == 0
    assert done["ce2de_workers_busy", "a-1"] == 0


def test_no_lag_is_shown_where_the_source_is_gone() -> None:
    assert ("ce2de_lag_operations", "a-1") not in values(found(lag=None))


def test_no_jobs() -> None:
    assert values() == {}


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"state": RUNNING}, True),
        ({"state": PAUSED}, True),
        ({"state": DONE, "finished_at_s": 100 + WEEK_S}, True),
        ({"state": DONE, "finished_at_s": 100.0}, False),
        ({"state": CANCELLED}, False),  # no time of its end: since its creation
    ],
)
def test_jobs_that_ended_long_ago_are_left_out(changes: dict[str, Any], shown: bool) -> None:
    assert is_shown(replace(JOB, **changes), now_s=100 + WEEK_S + 1) is shown
