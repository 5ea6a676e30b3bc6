"""The two ways to fuse two legs, and the choice between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ce2de_os.errors import ConfigError
from ce2de_os.fusion import LowerBound, fuse_l2, fuse_min_max, fuse_rrf, fuse_z_score
from ce2de_os.records import ScoredDoc
from ce2de_os.search.queries import Body, hybrid_query
from ce2de_os.search.question import Question
from ce2de_os.search.target import Version

Strategy = Literal["pipeline", "client"]


def choose(asked: Strategy | None, version: Version | None, question: Question) -> Strategy:
    """Choose the strategy for a hybrid question; ``asked``: the user's choice; ``None``: the best one.

    ``version`` is neural-search's, ``None`` where it is missing or unknown.

    Raises:
        ConfigError: the cluster, or the question, does not allow the user's choice.
    """
    needed = needs(question)
    if asked == "client" or question.collapse is not None:
        return _client(asked)
    if asked is None:
        return "pipeline" if version is not None and version >= needed else "client"
    if version is not None and version < needed:
        raise ConfigError(
            f"strategy '{asked}' with fusion '{question.fusion}' needs neural-search {_dotted(needed)}, "
            f"the cluster has {_dotted(version)}; leave the strategy out, or use 'client'"
        )
    return asked


def needs(question: Question) -> Version:
    """Return the neural-search version that a question needs for a pipeline; tested: 2.19.1 and 3.6.0.

    2.19 added ``pagination_depth``. 2.19.1 counts RRF's ranks per shard, knows no z_score, and ignores lower
    bounds without an error.
    """
    if question.fusion in ("rrf", "z_score") or question.lower_bounds is not None:
        return (3, 6)
    return (2, 19)


def pipeline(question: Question) -> Body:
    """Build an inline search pipeline: it is part of the request, so nothing is stored in the cluster."""
    name = "score-ranker-processor" if question.fusion == "rrf" else "normalization-processor"
    return {"phase_results_processors": [{name: _technique(question)}]}


def pipeline_body(question: Question, legs: Sequence[Body]) -> Body:
    """Build the request in which a search pipeline fuses ``legs``."""
    return {"query": hybrid_query(legs, question.depth), "search_pipeline": pipeline(question)}


def fuse(question: Question, bm25: list[ScoredDoc], dense: list[ScoredDoc]) -> list[ScoredDoc]:
    """Fuse two legs here, with the arithmetic of the pipeline."""
    runs, weights = [bm25, dense], question.weights
    if question.fusion == "rrf" or weights is None:
        return fuse_rrf(runs, question.rrf_k, weights)
    if question.fusion == "l2":
        return fuse_l2(runs, weights)
    if question.fusion == "z_score":
        return fuse_z_score(runs, weights)
    return fuse_min_max(runs, weights, question.lower_bounds)


def _technique(question: Question) -> Body:
    parameters = {"parameters": {"weights": list(question.weights)}} if question.weights else {}
    if question.fusion == "rrf":
        return {"combination": {"technique": "rrf", "rank_constant": question.rrf_k, **parameters}}
    normalization: Body = {"technique": question.fusion}
    if question.lower_bounds is not None:
        normalization["parameters"] = {"lower_bounds": [_bound(bound) for bound in question.lower_bounds]}
    return {
        "normalization": normalization,
        "combination": {"technique": "arithmetic_mean", **parameters},
    }


def _bound(bound: LowerBound | None) -> Body:
    return {"mode": bound.mode, "min_score": float(bound.min_score)} if bound else {"mode": "ignore"}


def _client(asked: Strategy | None) -> Strategy:
    if asked not in (None, "client"):
        raise ConfigError(
            f"collapse: strategy '{asked}' would collapse each leg before fusing them; "
            "leave the strategy out, or use 'client'"
        )
    return "client"


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
