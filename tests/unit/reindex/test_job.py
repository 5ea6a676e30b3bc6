from __future__ import annotations

import itertools

import pytest

from ce2de_os.reindex.job import MAX_SLICES, Counts, Job, Range, Slice, cut, job_id_for


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
    assert covered(cut({0: checkpoint}), 0) == expected


def test_cut_leaves_no_gap_and_stays_small() -> None:
    ranges = cut({shard: 5_000_000 + shard for shard in range(5)})
    assert len(ranges) <= MAX_SLICES
    for shard in range(5):
        bounds = covered(ranges, shard)
        assert bounds[0][0] == -1
        assert bounds[-1][1] is None
        assert all(left[1] == right[0] for left, right in itertools.pairwise(bounds))


def test_many_shards_get_one_slice_each() -> None:
    assert len(cut(dict.fromkeys(range(1000), 10**7))) == 1000


def test_job_id_is_the_same_for_the_same_work_only() -> None:
    assert job_id_for("a", "t", "x", ("title", "body")) == job_id_for("a", "t", "x", ("title", "body"))
    assert job_id_for("a", "t", "x", ("title", "body")) != job_id_for("a", "t", "x", ("body", "title"))


def test_records_survive_the_ledger() -> None:
    job = Job(
        "j",
        "s",
        "uuid",
        "t",
        "a",
        ("title",),
        "v",
        "f" * 64,
        3,
        cut({0: 2500}),
        {"index.x": None},
        1.5,
        report={"a": 1},
    )
    assert Job.from_source(job.to_source()) == job
    record = Slice("j", 0, job.ranges[0], cursor=-1, counts=Counts(documents=2, encode_s=0.5))
    assert Slice.from_source(record.to_source()) == record


def test_counts_add_up() -> None:
    assert Counts(documents=1, read_s=0.5) + Counts(documents=2, refused=1) == Counts(
        documents=1 + 2, refused=1, read_s=0.5
    )
