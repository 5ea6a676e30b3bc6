"""Which way a cluster can go, and what is sent to it."""

import pytest

from ce2de_os.errors import ConfigError
from ce2de_os.fusion import LowerBound
from ce2de_os.records import ScoredDoc
from ce2de_os.search import strategy
from ce2de_os.search.question import Question

LEGS = [{"match": {"title": "copy"}}, {"knn": {"vector": {"vector": [0.6, 0.8], "k": 100}}}]
BOUNDS = (None, LowerBound(0.5, "clip"))


@pytest.mark.parametrize(
    ("version", "options", "asked", "chosen"),
    [
        ((2, 18), {}, None, "client"),
        ((2, 19), {}, None, "pipeline"),
        ((2, 19), {"fusion": "l2"}, None, "pipeline"),
        ((2, 19), {"fusion": "rrf"}, None, "client"),
        ((2, 19), {"fusion": "z_score"}, None, "client"),
        ((2, 19), {"lower_bounds": BOUNDS}, None, "client"),
        ((3, 6), {"lower_bounds": BOUNDS}, None, "pipeline"),
        ((3, 6), {"fusion": "rrf"}, None, "pipeline"),
        ((3, 10), {}, None, "pipeline"),
        ((3, 6), {"collapse": "lang"}, None, "client"),
        ((3, 6), {}, "client", "client"),
        (None, {}, None, "client"),
        (None, {"fusion": "rrf"}, "pipeline", "pipeline"),  # this user may not list plugins, but knows
    ],
)
def test_the_cluster_joins_where_it_can(version, options, asked, chosen):
    assert strategy.choose(asked, version, Question("copy", **options)) == chosen


@pytest.mark.parametrize(
    ("version", "options", "asked", "told"),
    [
        ((2, 19), {"fusion": "rrf"}, "pipeline", "needs neural-search 3.6, the cluster has 2.19"),
        ((3, 6), {"collapse": "lang"}, "pipeline", "would collapse each leg before fusing them"),
    ],
)
def test_a_wish_that_cannot_be_met(version, options, asked, told):
    with pytest.raises(ConfigError) as raised:
        strategy.choose(asked, version, Question("copy", **options))
    assert told in str(raised.value)


def test_the_pipeline_of_score_fusion():
    body = strategy.pipeline_body(Question("copy", dense_weight=0.25, candidates=40), LEGS)
    assert body == {
        "query": {"hybrid": {"queries": LEGS, "pagination_depth": 40}},
        "search_pipeline": {
            "phase_results_processors": [
                {
                    "normalization-processor": {
                        "normalization": {"technique": "min_max"},
                        "combination": {
                            "technique": "arithmetic_mean",
                            "parameters": {"weights": [0.75, 0.25]},
                        },
                    }
                }
            ]
        },
    }


def test_lower_bounds_travel_with_the_pipeline():
    (processor,) = strategy.pipeline(Question("copy", lower_bounds=BOUNDS))["phase_results_processors"]
    assert processor["normalization-processor"]["normalization"]["parameters"] == {
        "lower_bounds": [{"mode": "ignore"}, {"min_score": 0.5, "mode": "clip"}]
    }


@pytest.mark.parametrize(
    ("dense_weight", "combination"),
    [
        (None, {"technique": "rrf", "rank_constant": 20}),
        (0.25, {"technique": "rrf", "rank_constant": 20, "parameters": {"weights": [0.75, 0.25]}}),
    ],
)
def test_the_pipeline_of_rank_fusion(dense_weight, combination):
    question = Question("copy", fusion="rrf", rrf_k=20, dense_weight=dense_weight)
    (processor,) = strategy.pipeline(question)["phase_results_processors"]
    assert processor == {"score-ranker-processor": {"combination": combination}}


@pytest.mark.parametrize(
    ("options", "best"),
    [
        # min_max: a = (1 + 0) / 2, b = (0.001 + 1) / 2
        ({}, ScoredDoc("b", 0.5005)),
        # b = 3 / 5 * 0.25 + 1 * 0.75; the lexical leg's vector (4, 3) is 5 long
        ({"fusion": "l2", "dense_weight": 0.75}, ScoredDoc("b", 0.9)),
        ({"fusion": "rrf"}, ScoredDoc("b", 0.03252247)),  # 1/62 + 1/61
        ({"fusion": "rrf", "dense_weight": 1.0}, ScoredDoc("b", 0.016393442)),  # 1/61
    ],
)
def test_joining_here(options, best):
    bm25, dense = [ScoredDoc("a", 4.0), ScoredDoc("b", 3.0)], [ScoredDoc("b", 1.5)]
    assert strategy.fuse(Question("copy", **options), bm25, dense)[0] == pytest.approx(best)
