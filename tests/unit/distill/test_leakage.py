"""Evaluation documents among the training texts."""

from __future__ import annotations

import pytest

from ce2de_os.distill.data.leakage import RUN_WORDS, check_leakage
from ce2de_os.distill.data.texts import TrainingPassage
from ce2de_os.errors import DataError
from ce2de_os.evaluation import Collection

WORDS = [f"Word{number}," for number in range(60)]
JUDGED = Collection("cranfield", ["1"], [" ".join(WORDS)], ["q"], ["word3"], {"q": {"1": 1}})


def passages(*texts):
    return [TrainingPassage("a text of other words", "a"), *(TrainingPassage(text, "b") for text in texts)]


@pytest.mark.parametrize("start", range(0, 31, 6))
def test_part_of_a_document_is_found_wherever_it_begins(start):
    part = "before it " + " ".join(WORDS[start : start + 29]).lower().replace(",", "") + " after it"
    with pytest.raises(DataError, match=r"1 of 2 passages .* one of 'b' and 'cranfield': 'before it"):
        check_leakage(passages(part), [JUDGED])


def test_set_phrases_and_other_texts_pass():
    phrase = " ".join(WORDS[: RUN_WORDS - 1])
    check_leakage(passages(phrase, " ".join(reversed(WORDS))), [JUDGED])
    check_leakage(passages(" ".join(WORDS)), [])
