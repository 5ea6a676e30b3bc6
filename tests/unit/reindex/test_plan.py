"""A plan is composed from what was seen and measured."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ce2de_os.index.language_fields import LanguageSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.reindex.planning.capacity import BYTES_PER_TOKEN_NUMBER, GB
from ce2de_os.reindex.setup.sources import choose_mode
from tests.unit.reindex.planned import FAISS, cluster, index, node, planned, sample


def test_the_mode_is_chosen_by_looking():
    mode, reason = choose_mode(["a"], [], "auto", None)
    assert mode == "in_place"
    assert "no second copy of the documents" in reason
    mode, reason = choose_mode(["a"], ["a"], "auto", None)
    assert mode == "copy"
    assert "cannot be switched on later" in reason
    mode, reason = choose_mode(["a", "b"], ["b"], "auto", None)
    assert mode == "copy"
    assert "off in b" in reason
    assert choose_mode(["a"], [], "auto", "mine")[0] == "copy"


def test_the_mode_can_be_asked_for():
    assert choose_mode(["a"], [], "copy", None)[0] == "copy"
    assert choose_mode(["a"], ["a"], "in_place", None)[0] == "in_place"


def test_a_copy_of_100_million_documents():
    plan = planned()
    # Memory: 10^8 vectors of 1830.4 bytes in two copies.
    assert plan.memory.needed_bytes == pytest.approx(366.08 * GB)
    # Disk: documents 2 * 100 GB, vectors 2 * 183.04 GB; shards of 28.3 GB, so a fifth of both on top.
    assert plan.disk.documents_bytes == 200 * GB
    assert plan.disk.vectors_bytes == pytest.approx(366.08 * GB)
    assert plan.disk.headroom_bytes == pytest.approx(0.2 * 566.08 * GB)
    assert plan.disk.needed_bytes == pytest.approx(1.2 * 566.08 * GB)
    # Each node may fill up to 90% of 1000 GB and uses 400.
    assert plan.disk.rooms == {f"node-{number}": pytest.approx(500 * GB) for number in range(4)}
    # 20 copies of 33.96 GB: 14 would fit on one node, and there are four.
    assert plan.disk.unplaced == 0
    # Shards: 283.04 GB in 10; 283.04 / 50 = 5.7 and 283.04 / 10 = 28.3.
    assert plan.shards.largest_shard_bytes == pytest.approx(28.304 * GB)
    assert (plan.shards.fewest, plan.shards.most) == (6, 28)
    # Time: 10^8 / 200 per second and worker.
    assert plan.time.seconds == 500_000
    assert plan.tokens == 10**10
    # 366 GB of vectors are less than the 4 * (132 - 32) GB outside the heaps.
    assert plan.fits
    assert plan.warnings == ()


def test_in_place_the_documents_are_not_copied():
    plan = planned(index(knn=True, derived_source=True))
    assert plan.mode == "in_place"
    assert plan.disk.documents_bytes == 0
    assert plan.disk.needed_bytes == pytest.approx((366.08 + 0.2 * 566.08) * GB)


def test_an_index_from_before_derived_source_keeps_vectors_in_source_too():
    plan = planned(index(knn=True, derived_source=None))
    # 6.1 bytes for each of 384 numbers: 2342.4 more than 1830.4, in two copies.
    assert plan.disk.vectors_bytes == pytest.approx(2 * 417.28 * GB)


def test_before_opensearch_3_a_copy_keeps_vectors_in_source_too():
    plan = planned(around=cluster(version="2.19.1"))
    assert plan.disk.vectors_bytes == pytest.approx(2 * 417.28 * GB)


def test_token_vectors_are_counted():
    """100 tokens of 64 numbers a document, in two copies."""
    more = planned(field=VectorField(384, token_dim=64)).disk.vectors_bytes - planned().disk.vectors_bytes
    assert more == pytest.approx(2 * 10**8 * BYTES_PER_TOKEN_NUMBER * 64 * 100)


def test_documents_without_text_get_no_vector():
    plan = planned(drawn=sample(with_text=250))
    assert plan.vectors == 5 * 10**7
    assert plan.memory.needed_bytes == pytest.approx(183.04 * GB)
    assert plan.time.seconds == 250_000


def test_several_indices_are_added_up_each_with_its_own_replicas():
    plan = planned(index("a"), index("b", documents=10**7, store_bytes=10 * GB, shards=1, replicas=0))
    assert plan.documents == 11 * 10**7
    assert plan.shards.shards == 11
    # 10^8 vectors in two copies, 10^7 in one.
    assert plan.memory.needed_bytes == pytest.approx(21 * 10**7 * 1830.4)
    assert plan.disk.documents_bytes == 210 * GB


def test_how_many_workers_for_a_time():
    # 10^8 documents in 4 hours of 3600 s at 200 a second and worker: 34.7 workers.
    assert planned(within_s=4 * 3600).time.workers == 35
    assert planned(workers=20).time.seconds == 25_000


def test_a_node_s_breaker_is_half_of_the_memory_outside_the_heap_less_what_is_used():
    around = cluster(node(0, knn_used_bytes=10 * GB), node(1))
    plan = planned(around=around, field=replace(FAISS, compression_level="32x"))
    assert plan.memory.limit == "50%"
    assert plan.memory.rooms == {"node-0": 40 * GB, "node-1": 50 * GB}


def test_without_a_breaker_faiss_has_all_the_memory_outside_the_heap():
    around = cluster(node(0), settings={"knn.memory.circuit_breaker.enabled": "false"})
    plan = planned(around=around, field=FAISS)
    assert plan.memory.limit is None
    assert plan.memory.rooms == {"node-0": 100 * GB}


def test_the_flood_stage_counts_alone_on_a_single_node():
    # 95% of 1000 GB, 400 of them used.
    assert planned(around=cluster(node(0))).disk.rooms == {"node-0": pytest.approx(550 * GB)}


def test_without_disk_thresholds_the_disk_may_be_filled():
    around = cluster(settings={"cluster.routing.allocation.disk.threshold_enabled": "false"})
    plan = planned(around=around)
    assert plan.disk.watermark is None
    assert plan.disk.rooms["node-0"] == 600 * GB


def test_a_billion_documents_in_200_shards_on_paper():
    """10^9 documents of 1 kB, 200 shards, one replica, 40 nodes with 132 GB of memory and 1 TB of disk."""
    around = cluster(*(node(number) for number in range(40)))
    many = index(documents=10**9, store_bytes=1000 * GB, shards=200)
    plan = planned(many, around=around, field=replace(FAISS, compression_level="16x"), within_s=7 * 86400)

    # Memory: 1.1 * (4 * 384 / 16 + 8 * 16) = 246.4 bytes; 10^9 of them in two copies: 492.8 GB.
    assert plan.memory.needed_bytes == pytest.approx(492.8 * GB)
    # Each of 400 copies holds 5 million vectors: 1.232 GB; a node's breaker is at 50 GB: 40 fit on it.
    assert plan.memory.unplaced == 0
    # The same uncompressed: 3660.8 GB, 9.152 GB a copy, five on each of 40 nodes: 200 of 400 find no room.
    plain = planned(many, around=around, field=FAISS)
    assert plain.memory.needed_bytes == pytest.approx(3660.8 * GB)
    assert plain.memory.unplaced == 200

    # Disk: floats 1536 and graph 246.4 bytes a vector: 1782.4 GB; with the documents 2782.4 GB, twice.
    assert plan.shards.primaries_bytes == pytest.approx(2782.4 * GB)
    # In 400 copies of 13.912 GB, each of which may merge 5 GiB.
    assert plan.disk.needed_bytes == pytest.approx(2 * 2782.4 * GB + 400 * 5 * 2**30)
    # 19.3 GB a copy; 500 GB of room on a node: 25 copies, 40 nodes, 400 copies.
    assert plan.disk.unplaced == 0

    # Shards of 13.9 GB and 5 million documents; 2782.4 / 50 = 55.6, 2782.4 / 10 = 278.2.
    assert plan.shards.largest_shard_bytes == pytest.approx(13.912 * GB)
    assert plan.shards.most_documents == 5_000_000
    assert (plan.shards.fewest, plan.shards.most) == (56, 278)
    assert plan.shards.slices >= 200

    # Time: 10^9 / (200 * 604,800 s) = 8.3 workers for a week; nine take 6 d 10 h.
    assert plan.time.workers == 9
    assert plan.time.seconds == pytest.approx(10**9 / 1800)
    assert plan.fits
    assert plan.warnings == ()


def test_json_says_everything_but_the_fields():
    plan = planned()
    found = json.loads(json.dumps(plan.to_json()))
    assert found["fits"] is True
    assert "fields" not in found["indices"][0]
    assert found["memory"]["rooms"]["node-0"] == 100 * GB
    assert len(found["memory_table"]) == 10


def test_text_by_language_takes_its_share_of_the_documents_again():
    drawn = sample(languages={"en": 300, "it": 150, "other": 50}, embedded_share=0.25)
    plan = planned(drawn=drawn, languages=LanguageSpec(("en", "it")))
    assert plan.disk.documents_bytes == 200 * GB
    assert plan.disk.texts_bytes == 0.25 * 200 * GB
    assert plan.disk.vectors_bytes == pytest.approx(366.08 * GB)
    # 100 GB, a quarter of them again, and 183.04 GB of vectors in 10 shards; a fifth on top for merges.
    assert plan.shards.largest_shard_bytes == pytest.approx((100 + 25 + 183.04) / 10 * GB)
    assert plan.disk.needed_bytes == pytest.approx(1.2 * 616.08 * GB)
    answer = json.loads(json.dumps(plan.to_json()))
    assert answer["sample"]["languages"] == {"en": 300, "it": 150, "other": 50}
    assert answer["request"]["languages"] == {"codes": ["en", "it"], "field": None}


def test_in_place_the_text_by_language_is_new_too():
    drawn = sample(languages={"en": 500}, embedded_share=0.5)
    plan = planned(index(knn=True, derived_source=True), drawn=drawn, languages=LanguageSpec(("en",)))
    assert (plan.disk.documents_bytes, plan.disk.texts_bytes) == (0, 100 * GB)
