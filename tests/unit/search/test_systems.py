"""What an evaluation compares."""

from __future__ import annotations

from ce2de_os.quality.systems import GRID, Weighting, grid, systems


def named(found):
    return [(system.name, system.reference) for system in found]


def test_everything_is_compared_with_bm25():
    assert named(systems(["rrf"], None, None, {})) == [
        ("BM25", None),
        ("dense", "BM25"),
        ("hybrid rrf", "BM25"),
    ]


def test_with_a_reranker_each_comes_again_and_is_compared_with_itself():
    found = systems(["rrf"], Weighting("l2", 0.7), "CE", {"rerank_depth": 20})
    assert named(found) == [
        ("BM25", None), ("dense", "BM25"), ("hybrid rrf", "BM25"), ("hybrid, tuned", "BM25"),
        ("BM25 + CE", "BM25"), ("dense + CE", "dense"), ("hybrid rrf + CE", "hybrid rrf"),
        ("hybrid, tuned + CE", "hybrid, tuned"),
    ]  # fmt: skip
    assert [system.options["rerank_depth"] for system in found] == [0] * 4 + [20] * 4
    assert found[3].options == {"mode": "hybrid", "fusion": "l2", "dense_weight": 0.7, "rerank_depth": 0}


def test_the_grid_begins_with_the_defaults_and_goes_outwards():
    found = grid(["min_max", "rrf"])
    assert found[:4] == [
        Weighting("min_max"), Weighting("rrf"), Weighting("rrf", 0.5), Weighting("min_max", 0.4),
    ]  # fmt: skip
    # 9 weights and the default for RRF; for min_max the default is the 0.5 of the grid
    assert len(found) == (len(GRID) + 1) + len(GRID)
    assert len(set(map(str, found))) == len(found)


def test_a_weighting_names_the_weight_that_counts():
    assert str(Weighting("min_max")) == "min_max 0.5"
    assert str(Weighting("rrf")) == "rrf, unweighted"
    assert str(Weighting("rrf", 0.5)) == "rrf 0.5"
