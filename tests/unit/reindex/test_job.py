from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from ce2de_os.index.language_fields import LanguageSpec
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.job import Counts, Job, Part, Range, Slice, job_id_for
from ce2de_os.reindex.ledger import after_death, is_poisoned
from ce2de_os.reindex.setup.cutting import MAX_SLICES, cut


def covered(ranges: tuple[Range, ...], shard: int) -> list[tuple[int, int | None]]:
    return [(bounds.after, bounds.upto) for bounds in ranges if bounds.shard == shard]


@pytest.mark.parametrize(
    ("checkpoint", "expected"),
    [
        (-1, [(-1, None)]),  # an empty shard still gets what comes
        (0, [(-1, None)]),
        (1998, [(-1, None)]),  # 1,999 operations are less than two slices of 1,000
        (1999, [(-1, 999), (999, None)]),
        (3000, [(-1, 999), (999, 1999), (1999, None)]),  # 3,001 operations in three: 1,000, 1,000, the rest
    ],
)
def test_cut_one_shard(checkpoint: int, expected: list[tuple[int, int | None]]) -> None:
    assert covered(cut([{0: checkpoint}]), 0) == expected


def test_cut_leaves_no_gap_and_stays_small() -> None:
    ranges = cut([{shard: 5_000_000 + shard for shard in range(5)}])
    assert len(ranges) <= MAX_SLICES
    for shard in range(5):
        bounds = covered(ranges, shard)
        assert bounds[0][0] == -1
        assert bounds[-1][1] is None
        assert all(left[1] == right[0] for left, right in itertools.pairwise(bounds))


@pytest.mark.parametrize(("shards", "slices"), [(1, 256), (10, 25 * 10), (200, 5 * 200), (1000, 1000)])
def test_many_shards_get_few_slices_each(shards: int, slices: int) -> None:
    assert len(cut([dict.fromkeys(range(shards), 10**7)])) == slices


def test_every_part_is_cut() -> None:
    ranges = cut([{0: 3000}, {0: -1, 1: 10}])
    assert [(bounds.part, bounds.shard) for bounds in ranges] == [(0, 0), (0, 0), (0, 0), (1, 0), (1, 1)]


def test_job_id_is_the_same_for_the_same_work_only() -> None:
    assert job_id_for("a", "t", TextSpec(("x",))) == job_id_for("a", "t", TextSpec(("x",)))
    assert job_id_for("a", "t", TextSpec(("x",))) != job_id_for("a", "t", TextSpec(("y",)))


@pytest.mark.parametrize(
    ("source", "begins"),
    [("logs-*", "logs-"), ("a,b", "ab-"), (".ds-x-000001", "ds-x-000001-"), ("*", "job-")],
)
def test_job_id_is_fit_for_a_shell(source: str, begins: str) -> None:
    assert job_id_for(source).startswith(begins)
    assert not set(job_id_for(source)) & set("*, ?")


def test_records_survive_the_ledger() -> None:
    part = Part("s", "uuid", "t", 3, (2499,), True, {"index.refresh_interval": None}, ("old", "old_hash"))
    job = Job(
        job_id="j", source="s*", mode="copy", parts=(part,), alias="a",
        text=TextSpec(("title",), "{title}.", (180, 90)), vector=VectorField(8, m=32), fingerprint="f" * 64,
        model="tiny", space="s" * 64, ranges=cut([{0: 2500}]), created_at_s=1.5, report={"a": 1},
    )  # fmt: skip
    assert Job.from_source(json.loads(json.dumps(job.to_source()))) == job
    spoken = replace(job, languages=LanguageSpec(("en", "it"), "lang"))
    assert Job.from_source(json.loads(json.dumps(spoken.to_source()))) == spoken
    record = Slice("j", 0, job.ranges[0], cursor=-1, counts=Counts(documents=2, encode_s=0.5))
    assert Slice.from_source(json.loads(json.dumps(record.to_source()))) == record


def test_a_slice_that_kills_is_looked_through_ever_more_closely() -> None:
    """512 documents at once, then 16, then one by one; four deaths at one document condemn it."""
    record = Slice("j", 0, Range(0, 0, -1, None), cursor=-1)
    seen = []
    while not is_poisoned(record):
        record = replace(record, **after_death(record))
        seen.append((record.deaths, record.page_limit))
    assert seen == [(1, 16), (2, 1), (3, 1), (4, 1)]


def test_counts_add_up() -> None:
    assert Counts(documents=1, read_s=0.5) + Counts(documents=2, refused=1) == Counts(
        documents=1 + 2, refused=1, read_s=0.5
    )
