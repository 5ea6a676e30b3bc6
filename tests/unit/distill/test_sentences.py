# ruff: noqa: RUF001 - the punctuation of several scripts
"""Texts cut into sentences and joined again."""

from __future__ import annotations

import random

import pytest

from ce2de_os.translate.sentences import fitting, is_language, joined, sentences


def cut(text):
    return sentences(text)[1::2]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One is red. Two are blue! Is it so? Yes.", ["One is red.", "Two are blue!", "Is it so?", "Yes."]),
        ("Wings lift. 12 of them were tested.", ["Wings lift.", "12 of them were tested."]),
        ('He said "Stop." Then he left (fast). End', ['He said "Stop."', "Then he left (fast).", "End"]),
        # Abbreviations, initials and a small letter speak against an end.
        ("Dr. Smith and J. R. Doe, cf. Fig. 3, e.g. The U.S. Army", None),
        ("It rose by approx. five percent ... or so.", None),
        ("No stop at all", None),
        ("3.14 is not 3. 15", ["3.14 is not 3.", "15"]),
        # A text without capitals has ends all the same.
        ("the wing lifts . the air flows .", ["the wing lifts .", "the air flows ."]),
        # Lines and paragraphs; a line that goes on with a small letter was only wrapped.
        ("A heading\nThe text", ["A heading", "The text"]),
        ("A long line\nthat was wrapped", None),
        ("one\n\ntwo", ["one", "two"]),
        # Other scripts.
        ("这是一。这是二！「三。」四", ["这是一。", "这是二！", "「三。」", "四"]),
        ("كيف حالك؟ أنا بخير.", ["كيف حالك؟", "أنا بخير."]),
        ("यह एक है। यह दो है।", ["यह एक है।", "यह दो है।"]),
    ],
)
def test_where_sentences_end(text, pieces):
    assert cut(text) == (pieces or [text])


@pytest.mark.parametrize("text", ["", " ", "\n\t \n"])
def test_nothing_is_to_be_translated_in_blanks(text):
    assert sentences(text) == [text]
    assert joined(sentences(text), {}) == text


NASTY = " \n\t.!?。！”»)aAzZé\u0301ß12,;:-—\u200f\u202b\u00a0\u2028\u3000日本ไทยשלוםعربي👩‍👧"


def test_every_text_comes_back_whole():
    rng = random.Random(7)
    for _ in range(3000):
        text = "".join(rng.choices(NASTY, k=rng.randint(0, 60)))
        parts = sentences(text)
        assert "".join(parts) == text
        assert len(parts) % 2 == 1
        assert all(part == part.strip() != "" for part in parts[1::2])
        assert all(not part.strip() for part in parts[::2])
        assert joined(parts, {piece: piece for piece in parts[1::2]}) == text


def characters(texts):
    return [len(text) for text in texts]


def words(texts):
    return [len(text.split()) for text in texts]


@pytest.mark.parametrize(("count", "most"), [(characters, 1), (characters, 7), (words, 2)])
def test_long_sentences_are_cut_until_they_fit_and_nothing_is_lost(count, most):
    rng = random.Random(8)
    for _ in range(300):
        text = "".join(rng.choices(NASTY, k=rng.randint(1, 200))).strip()
        if not text:
            continue
        pieces = fitting(text, count, most)
        assert "".join(pieces) == text
        if count is words:
            assert max(words(pieces[::2])) <= most
        else:  # an accent stays with its letter
            assert all(len(piece) <= most + 40 for piece in pieces[::2])


def test_long_sentences_are_cut_where_a_reader_would():
    text = "The first half of it is here, and the second half of it is there"
    assert fitting(text, words, 8) == ["The first half of it is here,", " ", text[30:]]
    assert fitting("a b c d", words, 2) == ["a b", " ", "c d"]
    assert fitting("aaaabbbb", characters, 4) == ["aaaa", "", "bbbb"]
    assert fitting("e\u0301e\u0301", characters, 2) == ["e\u0301", "", "e\u0301"]
    assert fitting("short", words, 8) == ["short"]
    assert fitting("x", characters, 0) == ["x"]


def test_translations_get_a_space_where_their_script_has_one():
    parts = sentences("这是一。这是二。")
    assert joined(parts, {"这是一。": "One.", "这是二。": "Two."}) == "One. Two."
    assert joined(parts, {"这是一。": "一。", "这是二。": "二。"}) == "一。二。"
    assert joined(["", "aaaa", "", "bbbb", ""], {}) == "aaaabbbb"
    assert joined(sentences(" One.  Two.\n\nThree. "), {"One.": "一。", "Two.": ""}) == " 一。  \n\nThree. "


@pytest.mark.parametrize(("piece", "is_one"), [("a", True), ("日", True), ("3.14", False), ("---", False)])
def test_numbers_and_rulers_are_no_language(piece, is_one):
    assert is_language(piece) == is_one
