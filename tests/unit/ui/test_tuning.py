"""The evaluation in its thread, the legs that are kept, and the winner."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from ce2de_os.errors import BackendUnavailableError, ConfigError
from ce2de_os.evaluation.figures import MAIN_METRIC, Figure
from ce2de_os.quality.comparison import Comparison, ComparisonSettings, SystemResult
from ce2de_os.records import Hit, Leg
from ce2de_os.search.question import Question, QuestionOptions
from ce2de_os.ui.models import Fields
from ce2de_os.ui.tuning.evaluations import Evaluations
from ce2de_os.ui.tuning.legs import Legs, LegsCache
from ce2de_os.ui.tuning.winner import winner_of


def result(name: str, quality: float, **options: Any) -> SystemResult:
    given: QuestionOptions = options  # type: ignore[assignment]
    return SystemResult(name, None, given, None, {MAIN_METRIC: Figure(quality, 0, 1)}, 0, None)


def comparison(*systems: SystemResult) -> Comparison:
    return Comparison("articles", 10, 0, 10, None, list(systems), ComparisonSettings())


BM25 = result("BM25", 0.4, mode="bm25", rerank_depth=0)
HYBRID = result("hybrid rrf", 0.5, mode="hybrid", fusion="rrf", dense_weight=None, rerank_depth=0)
TUNED = result("hybrid, tuned", 0.45, mode="hybrid", fusion="l2", dense_weight=0.7, rerank_depth=0)
RERANKED = result("BM25 + CE", 0.6, mode="bm25", rerank_depth=50, rerank_weight=None)


def ended(evaluations: Evaluations) -> None:
    deadline = time.monotonic() + 20
    while evaluations.latest is not None and evaluations.latest.is_running:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_evaluation_runs_at_a_time_and_shows_how_far_it_is() -> None:
    evaluations, go_on = Evaluations(), threading.Event()

    def slow(phase: Any) -> Comparison:
        phase("BM25", 3, 7)
        go_on.wait(20)
        return comparison(BM25)

    evaluations.start("articles", "ann", slow)
    with pytest.raises(ConfigError, match="an evaluation of articles is running"):
        evaluations.start("other", "", slow)
    while evaluations.latest is None or evaluations.latest.phase != "BM25":
        time.sleep(0.01)
    assert (evaluations.latest.done, evaluations.latest.total) == (3, 7)
    go_on.set()
    ended(evaluations)
    assert evaluations.latest.result == comparison(BM25)
    assert evaluations.latest.plot == b"", "latency was not measured"
    evaluations.start("other", "", lambda phase: comparison(HYBRID))
    ended(evaluations)


def test_an_evaluation_that_fails_says_why_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    evaluations = Evaluations()

    def away(phase: Any) -> Comparison:
        raise BackendUnavailableError("search: http://user:hunter2@host is away; start it")

    evaluations.start("articles", "", away)
    ended(evaluations)
    assert evaluations.latest is not None
    assert evaluations.latest.problem[1] == "start it"
    assert "hunter2" not in evaluations.latest.problem[0]

    evaluations.start("articles", "", lambda phase: 1 / 0)  # type: ignore[arg-type, return-value]
    ended(evaluations)
    assert evaluations.latest.problem[0] == "the evaluation failed"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("systems", "name", "python", "flags"),
    [
        (
            [BM25, HYBRID], "hybrid rrf",
            "HybridSearcher(client, \"articles\", encoder, fusion='rrf')", [("fusion", "rrf")],
        ),
        (
            [BM25, HYBRID, TUNED], "hybrid, tuned",
            "HybridSearcher(client, \"articles\", encoder, fusion='l2', dense_weight=0.7)",
            [("fusion", "l2"), ("dense-weight", "0.7")],
        ),
        ([BM25], "BM25", "HybridSearcher(client, \"articles\", encoder, mode='bm25')", [("mode", "bm25")]),
        (
            [BM25, RERANKED], "BM25 + CE",
            "HybridSearcher(client, \"articles\", encoder, reranker=reranker, mode='bm25', rerank_depth=50)",
            [("mode", "bm25"), ("rerank-depth", "50")],
        ),
    ],
)  # fmt: skip
def test_the_winner_as_lines(systems: list[SystemResult], name: str, python: str, flags: list[Any]) -> None:
    winner = winner_of(comparison(*systems), MAIN_METRIC)
    assert (winner.name, winner.python, list(winner.flags)) == (name, python, flags)
    assert winner.is_tuned == (name == "hybrid, tuned")
    assert bool(winner.pipeline) == name.startswith("hybrid")


def hits() -> list[Hit]:
    legs = {
        "a": (Leg(9, 1), Leg(0.1, 3)),
        "b": (Leg(5, 2), Leg(0.9, 1)),
        "c": (None, Leg(0.5, 2)),
        "d": (Leg(1, 3), None),
    }
    return [
        Hit(doc, 0.0, rank, {}, bm25, dense, index_name="articles")
        for rank, (doc, (bm25, dense)) in enumerate(legs.items(), 1)
    ]


@pytest.mark.parametrize(
    ("weight", "order"),
    [(0.0, ["a", "b", "d", "c"]), (1.0, ["b", "c", "a", "d"]), (0.5, ["b", "a", "c", "d"])],
)
def test_a_weight_ranks_the_kept_legs_anew(weight: float, order: list[str]) -> None:
    legs = Legs.of(hits())
    assert [one.score for one in legs.bm25] == [9, 5, 1]
    assert [hit.doc_id for hit in legs.fused(Question("x", dense_weight=weight))] == order


def test_a_question_is_fetched_once() -> None:
    asked: list[Any] = []

    class Searcher:
        def search_many(self, questions: list[Question]) -> list[list[Hit]]:
            asked.extend((question.text, question.from_) for question in questions)
            return [[] if question.from_ else hits() for question in questions]

    cache, searcher, fields = LegsCache(), Searcher(), Fields("title", ("title", "body"))
    for _ in range(3):
        cache.one(searcher, "articles", "copy", fields)  # type: ignore[arg-type]
        cache.several(searcher, "articles", {"q1": "copy", "q2": "paste"}, fields)  # type: ignore[arg-type]
    once = [("copy", 0), ("copy", 100)]
    assert asked == [*once, *once, ("paste", 0), ("paste", 100)]
    cache.forget()
    cache.one(searcher, "articles", "copy", fields)  # type: ignore[arg-type]
    assert len(asked) == 8
