"""Hard negatives: by words, by vectors, and kept for a run that continues."""

from __future__ import annotations

import numpy as np

from ce2de_os.arrays import l2_normalize
from ce2de_os.distill.data.negatives import ALIKE, mine_negatives, mined_once
from ce2de_os.distill.data.pairs import TrainingPair


class LetterEncoder:
    """Embeds a text by the letters it has, so that texts without a common word can be alike."""

    fingerprint = "letters"

    def __init__(self) -> None:
        self.documents = 0

    def encode_queries(self, texts):
        return l2_normalize(np.array([[text.count(chr(97 + n)) for n in range(26)] for text in texts], "f4"))

    def encode_documents(self, texts):
        self.documents += len(texts)
        return self.encode_queries(texts)


def test_hard_negatives_share_words_and_are_never_a_positive():
    pairs = [
        TrainingPair("red shoes", "shoes red leather"),
        TrainingPair("red shoes", "shoes red canvas"),  # another right answer to the same query
        TrainingPair("red hat", "hat red felt"),
        TrainingPair("blue sky", "sky blue today"),
        TrainingPair("zzz", "nothing like it"),
    ]
    mined = mine_negatives(pairs)
    assert mined[0].negatives == ("hat red felt",)
    assert mined[1].negatives == ("hat red felt",)
    assert set(mined[2].negatives) == {"shoes red leather", "shoes red canvas"}
    assert mined[4].negatives == ()


def test_given_negatives_stay():
    pairs = [TrainingPair("a b", "a c", ("mine",)), TrainingPair("a d", "a e")]
    mined = mine_negatives(pairs)
    assert mined[0].negatives == ("mine",)
    assert mined[1].negatives == ("a c",)


def test_the_pool_bounds_the_hard_negatives():
    pairs = [TrainingPair("word", f"word {number}") for number in range(1)]
    pairs += [TrainingPair(f"other {number}", f"word x{number}") for number in range(20)]
    assert len(mine_negatives(pairs, pool=5)[0].negatives) == 5


def test_vectors_find_negatives_that_share_no_word():
    pairs = [TrainingPair("listen", "listen well"), TrainingPair("x", "tinsel"), TrainingPair("y", "quiz")]
    assert mine_negatives(pairs)[0].negatives == ()
    assert mine_negatives(pairs, LetterEncoder())[0].negatives == (
        "quiz",
    )  # "tinsel" is as near as an answer


def test_a_passage_as_near_as_the_answer_is_no_negative():
    encoder = LetterEncoder()
    pairs = [TrainingPair("listen", "listened"), *(TrainingPair(f"{n}", t) for n, t in enumerate(TEXTS))]
    query, *near = encoder.encode_queries(["listen", "listened", *TEXTS])
    limit = ALIKE * float(query @ near[0])
    found = mine_negatives(pairs, encoder)[0].negatives
    assert set(found) == {
        text for text, vector in zip(TEXTS, near[1:], strict=True) if query @ vector <= limit
    }
    assert 0 < len(found) < len(TEXTS)


TEXTS = ["silent", "enlist", "tile", "nest", "stone", "apple", "quiz", "lint"]


def test_words_and_vectors_take_turns():
    pairs = [
        TrainingPair("stone", "stone stone eee"),
        TrainingPair("a", "stone and many other things much further off"),
        TrainingPair("b", "tones quick"),
    ]
    found = mine_negatives(pairs, LetterEncoder())[0].negatives
    assert set(found) == {pairs[1].positive, pairs[2].positive}


def test_a_run_that_continues_mines_nothing_again(tmp_path):
    pairs = [
        TrainingPair("red shoes", "shoes red"),
        TrainingPair("red hat", "hat red"),
        TrainingPair("q", "\ud800 z"),
    ]
    first = LetterEncoder()
    mined = mined_once(pairs, first, tmp_path / "work")
    assert first.documents == len(pairs)
    assert mined[0].negatives[0] == "hat red"
    again = LetterEncoder()
    assert mined_once(pairs, again, tmp_path / "work") == mined
    assert again.documents == 0
    assert mined_once(pairs[:2], again, tmp_path / "work") == mined_once(pairs[:2], again, tmp_path / "work")
    assert again.documents == 2


def test_given_negatives_are_not_written_again(tmp_path):
    pairs = [TrainingPair("red", "red hat", ("blue hat",)), TrainingPair("blue", "blue hat", ("red hat",))]
    assert mined_once(pairs, None, tmp_path / "work") == pairs
    assert not (tmp_path / "work").exists()
