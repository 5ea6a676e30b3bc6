from __future__ import annotations

from dataclasses import replace

from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.job import DONE, PAUSED, RUNNING, Counts, Job, Part, Range, Slice
from ce2de_os.reindex.status import live_writes, summarize

JOB = Job(
    job_id="j", source="s", mode="copy", parts=(Part("s", "u", "t", 200, snapshot=(199,)),), alias="a",
    text=TextSpec(("title",)), vector=VectorField(8), fingerprint="f" * 64, model="tiny", space="f" * 64,
    ranges=(), created_at_s=1000.0,
)  # fmt: skip
FIRST = Slice("j", 0, Range(0, 0, -1, 99), cursor=59, state=RUNNING, owner="w1", docs_per_s=6.0)
LAST = Slice("j", 1, Range(0, 0, 99, None), cursor=109, state=RUNNING, owner="w2", docs_per_s=4.0)


def test_what_is_left_and_how_long_it_takes() -> None:
    counted = replace(FIRST, counts=Counts(documents=60)), replace(LAST, counts=Counts(documents=10))
    found = summarize(JOB, counted, counted, 0, {}, 1010.0)
    assert found.counts.documents == 60 + 10
    assert found.docs_per_s == 6.0 + 4.0
    assert found.eta_s == (200 - 70) / 10
    assert found.slowest == (1, 199 - 109)


def test_the_rate_of_a_job_without_workers_is_its_mean_and_a_paused_one_has_none() -> None:
    counted = (replace(FIRST, counts=Counts(documents=60)),)
    assert summarize(JOB, counted, (), 0, {}, 1010.0).docs_per_s == 60 / 10
    paused = summarize(replace(JOB, state=PAUSED), counted, (), 0, {}, 1010.0)
    assert (paused.docs_per_s, paused.eta_s) == (None, None)


def test_live_writes_are_those_after_the_job_began() -> None:
    assert live_writes(JOB, [FIRST, LAST], [{0: 199}]) == 0
    assert live_writes(JOB, [FIRST, LAST], [{0: 209}]) == 209 - 199
    assert live_writes(JOB, [FIRST, replace(LAST, cursor=204, state=DONE)], [{0: 209}]) == 209 - 204
