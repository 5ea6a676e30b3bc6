"""The arithmetic of a plan, by hand."""

from __future__ import annotations

import pytest

from ce2de_os.reindex import capacity
from ce2de_os.reindex.capacity import GB


@pytest.mark.parametrize(
    ("dim", "m", "level", "expected"),
    [
        (384, 16, 1, 1.1 * (1536 + 128)),  # float: 1.1 * (4d + 8m)
        (384, 16, 2, 1.1 * (768 + 128)),  # fp16: 1.1 * (2d + 8m)
        (384, 16, 4, 1.1 * (384 + 128)),  # byte: 1.1 * (d + 8m)
        (384, 16, 8, 1.1 * (192 + 128)),
        (384, 16, 16, 1.1 * (96 + 128)),
        (384, 16, 32, 1.1 * (48 + 128)),  # binary: 1.1 * (d / 8 + 8m)
        (256, 16, 1, 1267.2),  # the example in OpenSearch's documentation: 1,267.2 bytes
    ],
)
def test_memory_per_vector(dim, m, level, expected):
    assert capacity.memory_per_vector(dim, m, level) == pytest.approx(expected)


def test_each_engine_has_the_compressions_of_its_version():
    assert capacity.levels("lucene", (3, 6)) == (1, 4, 32)
    assert capacity.levels("lucene", (2, 19)) == (1, 4)
    assert capacity.levels("faiss", (2, 19)) == (1, 2, 8, 16, 32)
    assert capacity.levels("faiss", (2, 16)) == (1,)


@pytest.mark.parametrize(
    ("engine", "level", "derived", "expected"),
    [
        ("lucene", 1, True, 1830.4),  # 1.1 * (1536 + 128); the graph refers to the floats
        ("lucene", 4, True, 1536 + 563.2),  # floats for merging, and the graph over bytes
        ("faiss", 1, True, 1536 + 1830.4),  # floats, and the graph file with its own floats
        ("faiss", 32, True, 1536 + 193.6),
        ("lucene", 1, False, 1830.4 + 6.1 * 384),  # and once more as text in _source
    ],
)
def test_disk_per_vector(engine, level, derived, expected):
    found = capacity.disk_per_vector(384, 16, engine, level, derived_source=derived)
    assert found == pytest.approx(expected)


def test_the_estimates_are_above_what_was_measured_but_not_far():
    # 20,000 random vectors of 384 dimensions in OpenSearch 3.6, Lucene, m 16, one segment: bytes a vector.
    measured = {(1, True): 1613.7, (1, False): 3931.1, (4, True): 2001.7, (32, True): 1677.8}
    for (level, derived), size in measured.items():
        estimate = capacity.disk_per_vector(384, 16, "lucene", level, derived_source=derived)
        assert size < estimate < 1.15 * size


def test_the_memory_table_counts_every_index_with_its_copies():
    # 1000 vectors in two copies and 500 in one: 1500 in one copy each, 2500 in all.
    rows = capacity.memory_table(384, 16, [(1000, 2), (500, 1)], (3, 6), derived_source=True)
    assert [(row.engine, row.compression_level) for row in rows] == [
        *(("lucene", level) for level in ("1x", "4x", "32x")),
        *(("faiss", level) for level in ("1x", "2x", "8x", "16x", "32x")),
    ]
    assert rows[0].primaries_bytes == pytest.approx(1500 * 1830.4)
    assert rows[0].total_bytes == pytest.approx(2500 * 1830.4)
    assert rows[4].stored_as == "fp16"
    assert rows[4].disk_bytes == pytest.approx(2500 * (1536 + 985.6))


@pytest.mark.parametrize(
    ("replicas", "nodes", "expected"), [(1, 3, 2), (1, 1, 1), (2, 2, 2), (1, None, 2), (0, 0, 1)]
)
def test_two_copies_never_share_a_node(replicas, nodes, expected):
    assert capacity.copies(replicas, nodes) == expected


def load(in_place):
    return capacity.shard_load(
        "articles", 4, 2, 1000, store_bytes=8000, vectors=800, vector_bytes=5, in_place=in_place
    )


def test_a_copy_writes_the_documents_again():
    # At the end 8000 + 800 * 5 = 12,000 bytes, 3000 a shard, all of it new, and as much for a merge.
    copied = load(in_place=False)
    assert (copied.shard_bytes, copied.new_bytes, copied.vectors) == (3000, 6000, 200)


def test_in_place_only_the_vectors_are_new_but_every_document_is_merged():
    # A shard gets 1000 bytes of vectors, and a merge of it may write 3000.
    assert load(in_place=True).new_bytes == 4000


@pytest.mark.parametrize(
    ("shard_bytes", "expected"),
    [
        (GB, GB),  # merged as a whole
        (20 * GB, 5 * 2**30),  # a merge writes at most 5 GiB
        (50 * GB, 10 * GB),  # a fifth may be deleted documents
    ],
)
def test_headroom_for_merges(shard_bytes, expected):
    assert capacity.merge_headroom(shard_bytes) == expected


@pytest.mark.parametrize(
    ("sizes", "rooms", "left"),
    [
        ([], [10], 0),
        ([5, 5], [10], 0),
        ([6, 6], [10], 1),  # 12 > 10
        ([6, 6], [6, 6], 0),
        ([6, 6], [11, 5], 1),  # enough in sum, but not on one node
        ([4, 8, 4], [8, 8], 0),  # the 8 first, then both 4 on the other
        ([1], [], 1),
        ([0], [0], 0),
    ],
)
def test_pieces_that_find_no_room(sizes, rooms, left):
    assert capacity.unplaced(sizes, rooms) == left


@pytest.mark.parametrize(
    ("watermark", "expected"),
    [
        ("85%", 25),  # 100 GB disk, 60 used: 85 - 60
        ("0.85", 25),
        ("50%", 0),  # above already
        (None, 40),
    ],
)
def test_room_until_a_watermark(watermark, expected):
    assert capacity.room(100 * GB, 40 * GB, watermark) == pytest.approx(expected * GB)


def test_a_watermark_in_bytes_is_free_space_that_must_stay():
    assert capacity.room(100 * 2**30, 40 * 2**30, "30gb") == 10 * 2**30


def test_the_breaker_s_limit():
    # OpenSearch's documentation: 100 GB of memory, 32 GB of heap: half of the remaining 68 GB.
    assert capacity.breaker_limit("50%", 100 * GB, 32 * GB) == 34 * GB
    assert capacity.breaker_limit("8gb", 100 * GB, 32 * GB) == 8 * 2**30


def test_sizes_and_shares():
    assert capacity.parse_share("85%") == 0.85
    assert capacity.parse_share("85") is None
    assert capacity.parse_bytes("1.5kb") == 1536
    assert capacity.parse_bytes("10") == 10
    with pytest.raises(ValueError, match="got 'plenty', expected a size such as 50gb"):
        capacity.parse_bytes("plenty")


@pytest.mark.parametrize(
    ("size_gb", "documents", "fewest", "most"),
    [
        (0, 0, 1, 1),
        (9, 10**6, 1, 1),
        (120, 10**6, 3, 12),  # 120 / 50 = 2.4, 120 / 10
        (1, 5 * 10**9, 3, 1),  # 5e9 / 2,147,483,519 = 2.3
    ],
)
def test_shard_advice(size_gb, documents, fewest, most):
    assert capacity.fewest_shards(size_gb * GB, documents) == fewest
    assert capacity.most_shards(size_gb * GB) == most


def test_slices():
    assert capacity.slices([100, 2500], 1000, 256) == 1 + 2
    assert capacity.slices([10**9], 1000, 256) == 256
    assert capacity.slices([10**6] * 200, 1000, 256) == 200  # 256 // 200 = 1 a shard


def test_time_and_workers():
    assert capacity.seconds_for(36_000, 10, 2) == 1800
    assert capacity.workers_for(36_000, 10, 1800) == 2
    assert capacity.workers_for(36_001, 10, 1800) == 3
    assert capacity.workers_for(0, 10, 1800) == 1
