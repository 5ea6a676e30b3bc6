"""What speaks against a plan, and what to do."""

from __future__ import annotations

import pytest

from ce2de_os.reindex.planning.capacity import GB
from ce2de_os.reindex.planning.verdict import counted, duration, gigabytes
from tests.unit.reindex.planned import FAISS, cluster, index, node, planned, sample

SMALL = {"documents": 1000, "store_bytes": GB // 1000, "shards": 1, "replicas": 0}


def refused(plan):
    (finding,) = plan.refusals
    assert not plan.fits
    return f"{finding.reason}; {finding.action}"


def warned(plan):
    (finding,) = plan.warnings
    assert plan.fits
    return f"{finding.reason}; {finding.action}"


def test_in_place_needs_index_knn():
    told = refused(planned(index("a", **SMALL, knn=True), index("b", **SMALL), mode="in_place"))
    assert "index.knn is off in b" in told
    assert "`mode=copy`" in told


def test_no_text_in_the_sample():
    told = refused(planned(index(**SMALL), drawn=sample(with_text=0, docs_per_s=None)))
    assert "none of 500 documents drawn has text in title, body" in told
    assert "`text_fields`" in told


def test_a_disk_that_is_too_small():
    # 679.296 GB needed, see test_plan; two nodes may take 250 GB each: 7 of 10 copies of 33.96 GB.
    around = cluster(*(node(number, disk_free_bytes=350 * GB) for number in range(2)))
    told = refused(planned(around=around))
    assert "below the disk watermark 90% on 2 data nodes" in told
    assert "add data nodes" in told


def test_a_breaker_that_is_too_low_names_the_compression_that_fits():
    # 366 GB needed, 4 * 50 GB allowed; 2x needs 2 * 98.56 GB, in copies of 9.856: five on a node.
    told = refused(planned(field=FAISS))
    assert "k-NN memory: 366.1 GB needed, 200.0 GB below knn.memory.circuit_breaker.limit (50%)" in told
    assert "`compression_level=2x` takes 197.1 GB and fits" in told


def test_no_compression_of_that_engine_fits():
    around = cluster(settings={"knn.memory.circuit_breaker.limit": "1kb"})
    told = refused(planned(field=FAISS, around=around))
    assert "compression_level" not in told
    assert "`engine=lucene`" in told


def test_a_triggered_breaker():
    around = cluster(settings={"knn.circuit_breaker.triggered": "true"})
    assert "triggered" in refused(planned(index(**SMALL), around=around, field=FAISS))
    assert planned(index(**SMALL), around=around).fits


def test_no_k_nn_plugin():
    assert "opensearch-knn" in refused(planned(index(**SMALL), around=cluster(knn_installed=False)))
    assert planned(index(**SMALL), around=cluster(knn_installed=None)).fits


def test_more_documents_than_a_shard_can_hold():
    # 5 * 10^9 / 2 shards = 2.5 * 10^9, more than 2,147,483,519; small vectors so that only this is wrong.
    huge = index(documents=5 * 10**9, store_bytes=GB, shards=2, replicas=0)
    told = refused(planned(huge, drawn=sample(documents=500, with_text=1)))
    assert "2,500,000,000 documents, Lucene's limit is 2,147,483,519" in told
    assert "_split" in told


def test_more_shards_than_the_cluster_allows():
    # 20 present, 10 * 2 new, 4 nodes with 9 each.
    around = cluster(settings={"cluster.max_shards_per_node": "9"})
    assert "20 new shards and 20 present ones are more than the 36" in refused(planned(around=around))
    assert planned(index(knn=True, derived_source=True), around=around).fits  # in place there are no new ones


def test_blocks():
    around = cluster(settings={"cluster.blocks.read_only": "true"})
    assert "cluster.blocks.read_only" in refused(planned(index(**SMALL), around=around))
    locked = {**SMALL, "blocks": ("index.blocks.write",)}
    assert "index.blocks.write of articles" in refused(planned(index(**locked, knn=True)))
    assert planned(index(**locked)).fits  # a copy does not write to the source


def test_too_few_workers_for_the_time():
    told = refused(planned(index(**{**SMALL, "documents": 144_000}), within_s=60, workers=2))
    # 144,000 / (200 * 2) = 360 s; 144,000 / (200 * 60) = 12 workers.
    assert "2 workers would take 6 min, wanted within 1 min" in told
    assert "start 12 workers" in told


def test_a_field_that_some_indices_lack():
    assert "body (b)" in warned(planned(index(**SMALL), missing=("body (b)",)))


def test_fields_that_source_leaves_out():
    assert "secret.*" in warned(planned(index(**SMALL, left_out=("secret.*",))))


def test_the_low_watermark():
    # 679.296 GB needed; four nodes may take 150 GB until 85%, 200 GB until 90%.
    around = cluster(*(node(number, disk_free_bytes=300 * GB) for number in range(4)))
    assert "low watermark (85%)" in warned(planned(around=around))


def test_lucene_beyond_the_file_cache():
    around = cluster(*(node(number, memory_bytes=64 * GB) for number in range(4)))
    assert "366.1 GB of vectors and graph, but only 128.0 GB" in warned(planned(around=around))


def test_large_and_small_shards():
    # 283.04 GB in 5 shards, and in 100.
    assert "56.6 GB, 10-50 GB is advised" in warned(planned(index(shards=5)))
    assert "100 shards of 2.8 GB are small" in warned(planned(index(shards=100)))


def test_more_workers_than_slices():
    # 1000 documents make one slice.
    assert "8 workers, but only 1 slice" in warned(planned(index(**SMALL), workers=8))


def test_more_replicas_than_nodes():
    plan = planned(index(**{**SMALL, "replicas": 1}), around=cluster(node(0)))
    assert "1 replica, but 1 data node" in warned(plan)


def test_a_heap_under_pressure():
    around = cluster(node(0, heap_used_bytes=29 * GB), node(1))
    told = warned(planned(index(**SMALL), around=around))
    assert "node-0: heap at 29.0 GB, the parent breaker refuses requests at 30.0 GB" in told


def test_what_could_not_be_seen_is_said_and_refuses_nothing():
    around = cluster(unseen=("nodes statistics (needs the privilege x)",), settings={})
    blind = type(around)(**{**vars(around), "nodes": (), "data_nodes": None, "open_shards": None})
    plan = planned(around=blind)
    assert plan.disk.unplaced is None
    assert "could not see the nodes statistics (needs the privilege x)" in warned(plan)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, "0.000 GB"),
        (1, "<0.001 GB"),
        (12_000_000, "0.012 GB"),
        (1.5 * GB, "1.5 GB"),
        (1234.4 * GB, "1,234 GB"),
    ],
)
def test_gigabytes(number, told):
    assert gigabytes(number) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.2, "<1 s"),
        (45, "45 s"),
        (90, "2 min"),
        (3600, "1 h 0 min"),
        (12_000, "3 h 20 min"),
        (705_600, "8 d 4 h"),
    ],
)
def test_duration(seconds, told):
    assert duration(seconds) == told


def test_counted():
    assert counted(1, "worker") == "1 worker"
    assert counted(0, "worker") == "0 workers"
