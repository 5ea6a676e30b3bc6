"""The numbers on the page of limits are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ce2de_os import records
from ce2de_os.errors import ConfigError
from ce2de_os.search import core, queries
from ce2de_os.search.question import MOST, Question

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "limits-search.md").read_text(encoding="utf-8")


def row(begins: str) -> str:
    (found,) = [line for line in PAGE.splitlines() if line.startswith(f"| {begins}")]
    return found


@pytest.mark.parametrize("name", ["top_k", "candidates", "rerank_depth", "rrf_k"])
def test_the_bounds_of_an_option(name):
    low, high = re.search(r"([\d,]+) to ([\d,]+)", row(f"`{name}` |")).groups()
    low, high = int(low), int(high.replace(",", ""))
    for allowed in (low, high):
        Question("copy", **{name: allowed}).check()
    for beyond in (low - 1, high + 1):
        with pytest.raises(ConfigError, match=f"{name}: got {beyond}, expected {low} to {high}"):
            Question("copy", **{name: beyond}).check()


def test_the_other_numbers():
    assert f"{MOST:,}" in row("`from_` and `top_k` together")
    assert f"{queries.MAX_WORDS} over all" in row("words of a question")
    assert f"{queries.MAX_CLAUSES:,} by default" in row("clauses that an analyzer makes")
    assert f"{core._TRIES} attempts" in row("an alias that moves")
    assert f"at most {records._DIGITS} digits" in row("a grade")
    assert f"{records.LINE_CHARS:,} characters" in row("a line")
    assert f"at most {records._MOST_RATIO} times" in row("a file packed with gzip")


def test_words_are_shared_by_the_fields():
    question = "word " * 2000
    assert len(queries.clip(question, 1).split()) == queries.MAX_WORDS
    assert len(queries.clip(question, 8).split()) == queries.MAX_WORDS // 8
