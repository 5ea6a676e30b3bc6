"""Re-ranking: the hits scored in time stands first, the rest keeps its order."""

from types import SimpleNamespace

import numpy as np
import pytest

from ce2de_os.search import rerank
from ce2de_os.search.rerank import CHUNK, blended, reordered, score_in_time


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The clock of the deadlines, in seconds: only scoring takes time, however busy the machine is."""
    clock = SimpleNamespace(now_s=1000.0)
    monkeypatch.setattr(rerank, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    return clock


class LengthReranker:
    """Prefers long texts; calls take ``pauses_s`` of ``clock``, the last one again and again."""

    def __init__(self, clock, *pauses_s):
        self.clock = clock
        self.pauses_s = list(pauses_s)
        self.calls = []

    def score(self, query, documents):
        self.calls.append(len(documents))
        self.clock.now_s += self.pauses_s.pop(0) if len(self.pauses_s) > 1 else self.pauses_s[0]
        return np.array([len(document) for document in documents], dtype=np.float32)


def test_without_a_deadline_all_are_scored_at_once(clock):
    reranker = LengthReranker(clock, 0.05)
    assert score_in_time(reranker, "q", ["a", "bbb", "cc"], None) == [1.0, 3.0, 2.0]
    assert reranker.calls == [3]


def test_with_a_deadline_the_first_ones_are_scored_in_chunks(clock):
    reranker = LengthReranker(clock, 0.05)
    assert len(score_in_time(reranker, "q", ["text"] * 100, 180)) == 3 * CHUNK
    assert reranker.calls == [CHUNK] * 3


@pytest.mark.parametrize(
    ("pauses_s", "calls"),
    [((0.05,), 3), ((0.02, 0.1, 0.02), 2), ((0.1, 0.02), 1), ((0.03, 0.06, 0.02), 4)],
)
def test_the_deadline_is_kept_once_it_is_known_how_long_a_chunk_takes(clock, pauses_s, calls):
    reranker = LengthReranker(clock, *pauses_s)
    score_in_time(reranker, "q", ["text"] * 100, 180)
    assert len(reranker.calls) == calls, (
        "none is begun that would end too late if it took as long as the slowest"
    )
    assert clock.now_s - 1000 <= 0.18


@pytest.mark.parametrize(("deadline_ms", "scored"), [(0, 0), (1, CHUNK), (60_000, 20)])
def test_no_time_little_time_enough_time(clock, deadline_ms, scored):
    reranker = LengthReranker(clock, 0.002)
    assert len(score_in_time(reranker, "q", ["text"] * 20, deadline_ms)) == scored


@pytest.mark.parametrize("deadline_ms", [None, 50])
def test_nothing_to_score(clock, deadline_ms):
    assert score_in_time(LengthReranker(clock, 0.05), "q", [], deadline_ms) == []


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([], [("a", None), ("b", None), ("c", None), ("d", None)]),
        ([-1.0, 2.0], [("b", 2.0), ("a", -1.0), ("c", None), ("d", None)]),
        ([1.0, 1.0, 3.0], [("c", 3.0), ("a", 1.0), ("b", 1.0), ("d", None)]),
    ],
)
def test_scored_ones_first_then_the_rest_in_order(logits, expected):
    assert reordered(["a", "b", "c", "d"], logits, logits) == expected


def test_keys_order_and_logits_are_told():
    assert reordered(["a", "b", "c"], [1.0, 5.0], [0.9, 0.1]) == [("a", 1.0), ("b", 5.0), ("c", None)]


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (1, [-4.0, 2.0, 0.0]),  # as they are
        # scores 8, 4, 6 become 1, 0 and 1/2; logits -4, 2, 0 become 0, 1 and 2/3; the least is 0.001
        (0.25, [0.75 + 0.25 * 0.001, 0.75 * 0.001 + 0.25, 0.75 / 2 + 0.25 * 2 / 3]),
        (0, [1.0, 0.001, 0.5]),
    ],
)
def test_logits_and_first_scores_are_mixed(weight, expected):
    assert blended([-4.0, 2.0, 0.0], [8.0, 4.0, 6.0], weight) == pytest.approx(expected)


def test_nothing_to_mix():
    assert blended([], [], 0.5) == []
