"""Reading, cleaning and mining the pairs of a cross-encoder's training."""

from __future__ import annotations

import gzip
import random

import pytest

from ce2de_os.distill.data.pairs import (
    PairCounts,
    TrainingPair,
    draw_negatives,
    read_pairs,
    select_pairs,
    split,
    write_pairs,
)
from ce2de_os.errors import DataError


def test_a_written_file_reads_back(tmp_path):
    pairs = [TrainingPair("red shoes", "Shoes in red.", ("Blue shoes.",)), TrainingPair("é", "ü")]
    write_pairs(tmp_path / "p.jsonl.gz", pairs)
    assert list(read_pairs(tmp_path / "p.jsonl.gz")) == pairs
    assert gzip.decompress((tmp_path / "p.jsonl.gz").read_bytes()).count(b"\n") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl.gz"]


def test_negatives_that_are_empty_or_the_positive_do_not_count(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"query": "a", "positive": "b", "negatives": ["", "b", "c"]}\n')
    assert next(read_pairs(tmp_path / "p.jsonl")).negatives == ("c",)


def test_halves_of_surrogate_pairs_become_question_marks(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(r'{"query": "a \ud83d", "positive": "b \udc00", "negatives": ["c \ud800"]}' + "\n")
    assert list(read_pairs(path)) == [TrainingPair("a ?", "b ?", ("c ?",))]


def test_titles_with_their_texts_are_pairs(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"title": "a", "text": "b", "negatives": ["b", "c"]}\n')
    assert list(read_pairs(tmp_path / "p.jsonl")) == [TrainingPair("a", "b", ("c",))]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"title": "a"}', "p.jsonl:2: missing 'text'"),
        ('{"positive": "b"}', "p.jsonl:2: missing 'query'"),
        ('{"query": "a", "positive": 3}', "p.jsonl:2: missing 'positive'"),
        ('{"query": "a", "positive": "b", "negatives": "c"}', "p.jsonl:2: 'negatives' is not a list"),
        ('{"query": "a", "positive": "b", "negatives": [1]}', "p.jsonl:2: 'negatives' is not a list"),
        ("[]", "p.jsonl:2: expected an object"),
        ("query,positive", "p.jsonl:2: not JSON"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    (tmp_path / "p.jsonl").write_text('{"query": "a", "positive": "b"}\n' + line + "\n")
    with pytest.raises(DataError, match=message):
        list(read_pairs(tmp_path / "p.jsonl"))


def test_empty_and_equal_sides_and_repeats_are_counted():
    pairs = [("a", "b"), ("", "b"), ("a", " "), ("a", "b"), ("a", "c"), ("Red shoes", " red  SHOES")]
    kept, counts = select_pairs((TrainingPair(*pair) for pair in pairs), limit=10, seed=1)
    assert kept == [TrainingPair("a", "b"), TrainingPair("a", "c")]
    assert counts == PairCounts(read=6, empty=2, repeated=1, used=2, equal=1)


def test_a_limit_draws_evenly():
    drawn = [0] * 10
    for seed in range(2000):
        kept, counts = select_pairs((TrainingPair(str(i), "x") for i in range(10)), limit=3, seed=seed)
        assert counts.used == len(kept) == 3
        for pair in kept:
            drawn[int(pair.query)] += 1
    # Binomial with n = 2000 and p = 3/10: mean 600, standard deviation sqrt(2000 * 0.3 * 0.7) = 20.5.
    assert all(abs(count - 600) < 5 * 20.5 for count in drawn)


def test_three_in_four_drawn_negatives_are_hard():
    pair = TrainingPair("q", "p", tuple(f"hard {number}" for number in range(20)))
    others = [pair, *(TrainingPair(f"o{number}", f"easy {number}") for number in range(20))]
    drawn = draw_negatives(pair, others, 8, random.Random(0))
    assert sum(text.startswith("hard") for text in drawn) == 8 - 8 // 4
    assert len(set(drawn)) == 8


def test_of_one_negative_a_step_one_in_four_is_easy():
    pair = TrainingPair("q", "p", ("hard 1", "hard 2"))
    others = [pair, *(TrainingPair(f"o{number}", f"easy {number}") for number in range(20))]
    rng = random.Random(0)
    hard = sum(draw_negatives(pair, others, 1, rng)[0].startswith("hard") for _ in range(1000))
    assert 700 < hard < 800


def test_missing_hard_negatives_are_filled_without_the_positives():
    pair = TrainingPair("q", "p")
    others = [pair, TrainingPair("q", "p2"), TrainingPair("r", "p"), TrainingPair("s", "ok")]
    assert draw_negatives(pair, others, 3, random.Random(0)) == ["ok"] * 3


def test_pairs_that_are_all_alike_are_refused():
    pairs = [TrainingPair("q", f"p{number}") for number in range(5)]
    with pytest.raises(DataError, match="same query"):
        draw_negatives(pairs[0], pairs, 2, random.Random(0))


def test_held_out_queries_are_not_trained():
    pairs = [TrainingPair(f"q{number % 10}", f"p{number}") for number in range(40)]
    trained, dev = split(pairs, held_out=3, seed=0)
    assert len(trained) + len(dev) == 40
    assert len({pair.query for pair in dev}) == 3
    assert not {pair.query for pair in dev} & {pair.query for pair in trained}
