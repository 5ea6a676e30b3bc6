"""Joining scores with texts, and the batches drawn from them."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from ce2de_os.distill.training.ranking import ranking_batches, ranking_set
from ce2de_os.errors import DataError
from ce2de_os.records import ScoredDoc

QUERIES = {"q1": [2, 11, 3], "q2": [2, 12, 3]}
DOCUMENTS = {f"d{n}": [2, 20 + n, 3] for n in range(5)}
SCORES = {
    "q1": [ScoredDoc("d0", 1.0), ScoredDoc("d3", 9.0), ScoredDoc("d1", 2.0)],
    "q2": [ScoredDoc("d4", 5.0), ScoredDoc("d2", 7.0), ScoredDoc("d0", 6.0)],
}


def joined(positives=None, minimum=2, scores=SCORES):
    return ranking_set(QUERIES, {"en": DOCUMENTS}, scores, positives or {}, minimum)


def test_the_known_positive_comes_first_else_the_best_scored():
    data = joined({"q1": "d1"})
    assert data.candidates[0].tolist() == [1, 3, 0]
    assert data.logits[0].tolist() == [2.0, 9.0, 1.0]
    assert data.candidates[1].tolist() == [2, 0, 4]
    assert data.logits[1].tolist() == [7.0, 6.0, 5.0]


def test_a_positive_that_is_no_candidate_does_not_count():
    assert joined({"q1": "d4"}).candidates[0].tolist() == [3, 1, 0]


def test_queries_with_few_candidates_are_left_out():
    scores = {**SCORES, "q2": SCORES["q2"][:1]}
    assert joined(scores=scores).queries == [QUERIES["q1"]]
    with pytest.raises(DataError, match="no query has the 4 scored candidates"):
        joined(minimum=4)


@pytest.mark.parametrize(
    ("scores", "named"),
    [({"q9": SCORES["q1"]}, "q9"), ({"q1": [*SCORES["q1"], ScoredDoc("d77", 0.0)]}, "d77")],
)
def test_ids_without_a_text_are_counted_and_named(scores, named):
    with pytest.raises(DataError, match=f"name 1 ids without a text, the first is '{named}'"):
        joined(scores=scores)


def test_batches_keep_the_positive_and_draw_the_others_anew():
    data = joined()
    seen = set()
    for batch in islice(ranking_batches(data, queries=2, candidates=2, seed=0), 40):
        assert sorted(batch.queries) == [0, 1]
        for row, documents, logits in zip(batch.queries, batch.documents, batch.logits, strict=True):
            assert documents[0] == data.candidates[row][0]
            place = data.candidates[row].tolist().index(documents[1])
            assert place > 0
            assert logits[1] == data.logits[row][place]
            seen.add((row, documents[1].item()))
    assert seen == {(0, 1), (0, 0), (1, 0), (1, 4)}  # every negative had its turn


def test_batches_depend_on_the_arguments_only():
    first, second = (
        [batch.documents.tolist() for batch in islice(ranking_batches(joined(), 1, 3, seed=4), 10)]
        for _ in range(2)
    )
    assert first == second
    other = [batch.documents.tolist() for batch in islice(ranking_batches(joined(), 1, 3, seed=5), 10)]
    assert first != other


def test_more_queries_than_there_are_make_one_batch_of_all():
    batch = next(ranking_batches(joined(), queries=64, candidates=3, seed=0))
    assert sorted(batch.queries) == [0, 1]
    assert batch.documents.shape == (2, 3)
    assert batch.logits.dtype == np.float32
