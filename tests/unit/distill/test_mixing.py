"""How the languages of documents are mixed in batches, and how many candidates are drawn."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.data.languages import MIXINGS
from ce2de_os.distill.training.batches import TrainingSet, batches
from ce2de_os.distill.training.mixing import usable_languages
from ce2de_os.distill.training.ranking import ranking_batches, ranking_set
from ce2de_os.errors import DataError
from ce2de_os.records import ScoredDoc

LANGUAGES = ("it", "de", "fr")
QUERIES, DOCUMENTS, DEPTH = 12, 40, 10


def joined(mixing="entries", missing=lambda language, doc: False, ways=4, languages=LANGUAGES):
    """Twelve queries with ten candidates each; a document's text is ``[language, document]``."""
    rng = np.random.default_rng(1)
    documents = {
        language: {
            f"d{doc}": [number, doc] for doc in range(DOCUMENTS) if not missing(language, doc)
        }
        for number, language in enumerate(languages)
    }  # fmt: skip
    scores = {
        f"q{query}": [ScoredDoc(f"d{doc}", -float(rank)) for rank, doc in enumerate(drawn)]
        for query, drawn in enumerate(rng.permutation(DOCUMENTS)[:DEPTH] for _ in range(QUERIES))
    }
    queries = {query: [100 + int(query[1:])] for query in scores}
    return ranking_set(queries, documents, scores, {}, ways, mixing)


def drawn(data, mixing, count=60, **settings):
    return list(islice(ranking_batches(data, 4, 4, seed=3, mixing=mixing, **settings), count))


def test_passages_have_languages_of_their_own():
    seen = drawn(joined("passages"), "passages")
    assert any(len(set(row)) > 1 for batch in seen for row in batch.languages.tolist())
    counts = np.bincount(np.concatenate([batch.languages.ravel() for batch in seen]))
    assert counts.min() > 0.8 * counts.mean()  # none is preferred


def test_an_entry_has_one_language():
    seen = drawn(joined(), "entries")
    assert all(len(set(row)) == 1 for batch in seen for row in batch.languages.tolist())
    assert all(len(batch.queries) == len(set(batch.queries)) == 4 for batch in seen)
    assert {row[0] for batch in seen for row in batch.languages.tolist()} == {0, 1, 2}


def test_round_robin_repeats_a_query_in_every_language():
    seen = list(islice(ranking_batches(joined(), 6, 4, seed=3, mixing="round-robin"), 40))
    for batch in seen:
        pairs = list(zip(batch.queries, batch.languages[:, 0].tolist(), strict=True))
        assert len(set(batch.queries)) == 2  # six sets are two queries in three languages
        assert sorted(pairs) == sorted((row, number) for row in set(batch.queries) for number in range(3))
        assert all(len(set(row)) == 1 for row in batch.languages.tolist())


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize(
    "missing",
    [
        lambda language, doc: False,
        lambda language, doc: language != "it" and doc % 2 == 0,
        lambda language, doc: language == "fr" and doc > 20,
    ],
    ids=["complete", "half", "little French"],
)
def test_every_batch_holds_two_languages_and_only_what_is_translated(mixing, missing):
    data = joined(mixing, missing, ways=3)
    for batch in islice(ranking_batches(data, 4, 3, seed=3, mixing=mixing), 80):
        assert len(np.unique(batch.languages)) >= 2
        texts = data.texts(batch)[len(batch.queries) :]
        expected = np.stack([batch.languages.ravel(), batch.documents.ravel()], axis=1)
        # A document's place is the order of first mention, its text its own number.
        numbers = [next(ids[row][1] for ids in data.documents.values() if ids[row]) for row in expected[:, 1]]
        assert [text[0] for text in texts] == expected[:, 0].tolist()
        assert [text[1] for text in texts] == numbers


@pytest.mark.parametrize("mixing", MIXINGS)
def test_a_query_of_another_language_joins_those_of_one(mixing):
    """All queries but the last are Italian only; every batch holds some German still."""
    queries = {f"q{number}": [number + 1] for number in range(30)}
    documents = {"it": {f"d{n}": [1] for n in range(3)}, "de": {f"d{n}": [2] for n in range(3, 6)}}
    italian = [ScoredDoc(f"d{n}", 0.0) for n in range(3)]
    german = [ScoredDoc(f"d{n}", 0.0) for n in range(3, 6)]
    scores = {query: german if query == "q29" else italian for query in queries}
    data = ranking_set(queries, documents, scores, {}, 2, mixing)
    for batch in islice(ranking_batches(data, 4, 2, seed=0, mixing=mixing), 50):
        assert set(batch.languages.ravel().tolist()) == {0, 1}
        assert 29 in batch.queries


def test_one_query_at_a_time_has_one_language_at_a_time():
    batch = next(ranking_batches(joined(), 1, 4, seed=0, mixing="entries"))
    assert len(np.unique(batch.languages)) == 1


@pytest.mark.parametrize(
    ("mixing", "languages"),
    [("entries", [0]), ("round-robin", [0]), ("passages", [0, 1])],
)
def test_what_is_enough_depends_on_the_strategy(mixing, languages):
    there = np.array([[True, True, False, True], [False, False, True, False]])
    assert usable_languages(there, 3, mixing) == languages
    assert usable_languages(there, 4, mixing) == (languages if mixing == "passages" else [])


def test_queries_with_too_few_translated_candidates_are_left_out_and_counted(caplog):
    data = joined(missing=lambda language, doc: doc % 3 == LANGUAGES.index(language), ways=8)
    assert 0 < len(data.queries) < QUERIES
    assert f"{QUERIES - len(data.queries)} of {QUERIES} queries are left out" in caplog.text
    assert sum(data.counts().values()) == 2 * DEPTH * len(data.queries)  # each lacks one of three languages


def test_a_language_without_enough_translations_is_named():
    with pytest.raises(DataError, match="no query has the 4 scored candidates in 'fr'"):
        joined(missing=lambda language, doc: language == "fr" and doc > 3)


def test_the_positive_is_that_of_the_language():
    """The best candidate is not there in Italian; the second best is its positive."""
    documents = {"it": {"b": [1], "c": [1]}, "de": {"a": [2], "b": [2]}}
    scores = {f"q{n}": [ScoredDoc("c", 1.0), ScoredDoc("a", 3.0), ScoredDoc("b", 2.0)] for n in range(4)}
    data = ranking_set({query: [9] for query in scores}, documents, scores, {}, 2)
    for batch in islice(ranking_batches(data, 4, 2, seed=0), 20):
        for languages, logits in zip(batch.languages.tolist(), batch.logits.tolist(), strict=True):
            assert logits == ([2.0, 1.0] if languages[0] == 0 else [3.0, 2.0])


@pytest.mark.parametrize("keep_positive", [True, False])
def test_all_are_drawn_at_random_where_no_loss_needs_the_positive(keep_positive):
    seen = drawn(joined(languages=("en",)), "entries", keep_positive=keep_positive)
    best = [row[0] == 0.0 for batch in seen for row in batch.logits.tolist()]
    held = [0.0 in row for batch in seen for row in batch.logits.tolist()]
    if keep_positive:
        assert all(best)
    else:
        assert 0.3 < np.mean(held) < 0.5  # 4 of 10
        assert 0.05 < np.mean(best) < 0.16  # 1 of 10


@pytest.mark.parametrize(
    ("losses", "needed"),
    [({"kl": 1.0}, False), ({"l2": 1.0}, False), ({"contrastive": 1.0, "kl": 0.2}, True)],
)
def test_losses_that_need_the_positive(losses, needed):
    assert DistillConfig(losses=losses).needs_positive is needed


def plain(found):
    return [
        (batch.ranking.queries, batch.ranking.documents.tolist(), batch.ranking.languages.tolist())
        for batch in found
    ]


@pytest.mark.parametrize("mixing", MIXINGS)
def test_batches_depend_on_seed_and_step_only(mixing):
    data = TrainingSet([], np.empty((0, 4), dtype=np.float16), 0, ranking=joined(mixing))
    config = DistillConfig(losses={"kl": 1.0}, batch_queries=4, candidates=4, mixing=mixing)
    unbroken = plain(islice(batches(data, config, 0), 40))
    assert plain(islice(batches(data, config, 25), 15)) == unbroken[25:]
    assert plain(islice(batches(data, replace(config, seed=5), 0), 40)) != unbroken
