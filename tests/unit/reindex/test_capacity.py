"""The arithmetic of a plan, by hand."""

from __future__ import annotations

import pytest

from ce2de_os.errors import ConfigError
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.planning import capacity
from ce2de_os.reindex.planning.capacity import GB, STORAGES


def storage(engine, option):
    (found,) = (known for known in STORAGES if (known.engine, known.option) == (engine, option))
    return found


@pytest.mark.parametrize(
    ("engine", "option", "expected"),
    [
        ("lucene", "1x", 1.1 * (1536 + 128)),  # float: 1.1 * (4d + 8m)
        ("faiss", "2x", 1.1 * (768 + 128)),  # fp16: 1.1 * (2d + 8m)
        ("lucene", "byte", 1.1 * (384 + 128)),  # byte: 1.1 * (d + 8m)
        ("lucene", "4x", 1.1 * (384 + 128)),
        ("faiss", "8x", 1.1 * (192 + 128)),
        ("faiss", "16x", 1.1 * (96 + 128)),
        ("faiss", "32x", 1.1 * (48 + 128)),  # binary: 1.1 * (d / 8 + 8m)
    ],
)
def test_memory_per_vector(engine, option, expected):
    assert capacity.memory_per_vector(384, 16, storage(engine, option)) == pytest.approx(expected)


def test_the_example_of_opensearch_s_documentation():
    # A million vectors of 256 dimensions, m 16: about 1.267 GB.
    assert 10**6 * capacity.memory_per_vector(256, 16, storage("faiss", "1x")) == pytest.approx(
        1.267 * GB, 1e-3
    )


@pytest.mark.parametrize(
    ("version", "lucene", "faiss"),
    [
        ((3, 6), ["1x", "4x", "32x", "byte"], ["1x", "2x", "8x", "16x", "32x", "byte"]),
        ((2, 19), ["1x", "4x", "byte"], ["1x", "2x", "8x", "16x", "32x", "byte"]),
        ((2, 16), ["1x", "byte"], ["1x"]),
    ],
)
def test_each_engine_has_the_storages_of_its_version(version, lucene, faiss):
    found = capacity.storages(version)
    assert [known.option for known in found if known.engine == "lucene"] == lucene
    assert [known.option for known in found if known.engine == "faiss"] == faiss


@pytest.mark.parametrize(
    ("values", "version", "option"),
    [
        ({}, (3, 6), "1x"),
        ({"compression_level": "4x"}, (3, 6), "4x"),
        ({"mode": "on_disk"}, (3, 6), "32x"),
        ({"mode": "on_disk"}, (2, 19), "4x"),
        ({"mode": "on_disk", "engine": "faiss"}, (2, 19), "32x"),
        ({"mode": "on_disk", "engine": "faiss", "compression_level": "8x"}, (2, 19), "8x"),
        ({"encoder": "fp16", "engine": "faiss"}, (3, 6), "2x"),
        ({"data_type": "byte"}, (3, 6), "byte"),
    ],
)
def test_the_storage_of_a_field(values, version, option):
    assert capacity.storage_of(VectorField(384, **values), version).option == option


def test_a_storage_that_the_version_lacks():
    field = VectorField(384, compression_level="32x")
    with pytest.raises(ConfigError, match=r"lucene has no 32x in OpenSearch 2\.19, it has 1x, 4x, byte"):
        capacity.storage_of(field, (2, 19))


@pytest.mark.parametrize(
    ("engine", "option", "derived", "expected"),
    [
        ("lucene", "1x", True, 1830.4),  # 1.1 * (1536 + 128); the graph refers to the floats
        ("lucene", "4x", True, 1536 + 563.2),  # floats for merging, and the graph over bytes
        ("lucene", "byte", True, 563.2),
        ("faiss", "1x", True, 1536 + 1830.4),  # floats, and the graph file with its own floats
        ("faiss", "32x", True, 1536 + 193.6),
        ("faiss", "byte", True, 384 + 563.2),
        ("lucene", "1x", False, 1830.4 + 6.1 * 384),  # and once more as text in _source
        ("lucene", "byte", False, 563.2 + 1.7 * 384),
    ],
)
def test_disk_per_vector(engine, option, derived, expected):
    found = capacity.disk_per_vector(384, 16, storage(engine, option), derived_source=derived)
    assert found == pytest.approx(expected)


def test_the_estimates_are_above_what_was_measured_but_not_far():
    # 20,000 random vectors of 384 dimensions in OpenSearch 3.6, Lucene, m 16, one segment: bytes a vector.
    measured = {
        ("1x", True): 1613.7,
        ("1x", False): 3931.1,
        ("4x", True): 2001.7,
        ("32x", True): 1677.8,
        ("byte", True): 461.7,
        ("byte", False): 1111.2,
    }
    for (option, derived), size in measured.items():
        estimate = capacity.disk_per_vector(384, 16, storage("lucene", option), derived_source=derived)
        assert size < estimate < 1.3 * size


def test_the_memory_table_counts_every_index_with_its_copies():
    # 1000 vectors in two copies and 500 in one: 1500 in one copy each, 2500 in all.
    rows = capacity.memory_table(384, 16, [(1000, 2), (500, 1)], (3, 6), derived_source=True)
    assert [row.option for row in rows] == [storage.option for storage in STORAGES]
    assert rows[0].primaries_bytes == pytest.approx(1500 * 1830.4)
    assert rows[0].total_bytes == pytest.approx(2500 * 1830.4)
    assert rows[5].stored_as == "fp16"
    assert rows[5].disk_bytes == pytest.approx(2500 * (1536 + 985.6))


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


def test_time_and_workers():
    assert capacity.seconds_for(36_000, 10, 2) == 1800
    assert capacity.workers_for(36_000, 10, 1800) == 2
    assert capacity.workers_for(36_001, 10, 1800) == 3
    assert capacity.workers_for(0, 10, 1800) == 1
