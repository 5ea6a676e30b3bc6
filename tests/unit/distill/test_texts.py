"""Reading texts and cutting passages."""

from __future__ import annotations

import gzip
import json
import random
import time

import pytest

from ce2de_os.distill.data.texts import (
    cut_passages,
    is_prose,
    packed_passages,
    power_shares,
    read_lines,
    sample_passages,
)
from ce2de_os.errors import DataError


def test_text_files_are_cleaned_and_repeats_left_out(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"The  first\tline\n\nthe first line\n0x1f: 12 34 56 78\nThe second\n"))
    assert list(read_lines(path)) == ["The first line", "The second"]


def test_jsonl_gives_titles_and_texts(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [{"_id": "1", "title": "A title", "text": "Its text"}, {"body": "Only a body"}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert list(read_lines(path)) == ["A title", "Its text", "Only a body"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("{broken\n", r"a\.jsonl:1: not JSON"), ('{"text": "ok"}\n[1]\n', r"a\.jsonl:2: expected an object")],
)
def test_bad_jsonl_names_file_and_line(tmp_path, content, message):
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        list(read_lines(path))


def test_halves_of_surrogate_pairs_become_question_marks(tmp_path):
    """They are what is left of an emoji that a program has cut; no tokenizer takes them."""
    path = tmp_path / "a.jsonl"
    path.write_text(r'{"title": "a title \ud83d", "text": "some text \udc00"}' + "\n")
    assert list(read_lines(path)) == ["a title ?", "some text ?"]
    packed = tmp_path / "a.passages.jsonl"
    packed.write_text(r'{"text": "some text \udc00", "source": "a", "query": false}' + "\n")
    assert [passage.text for passage in packed_passages(packed, 10)] == ["some text ?"]


def test_missing_and_corrupt_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt: No such file"):
        list(read_lines(tmp_path / "none.txt"))
    (tmp_path / "bad.txt.gz").write_bytes(b"\x1f\x8bnot gzip")
    with pytest.raises(DataError, match=r"bad\.txt\.gz"):
        list(read_lines(tmp_path / "bad.txt.gz"))


@pytest.mark.parametrize(
    ("line", "prose"),
    [("A sentence, with commas.", True), ("ab", False), ("x = y[0] + z[1] * 3", False), ("你好世界", True)],
)
def test_is_prose(line, prose):
    assert is_prose(line) is prose


def test_passages_lose_no_word_and_keep_the_order():
    lines = [" ".join(f"w{line}x{word}" for word in range(40)) for line in range(20)]
    passages = list(cut_passages(iter(lines), random.Random(1)))
    assert " ".join(passages) == " ".join(lines)
    lengths = [len(passage.split()) for passage in passages]
    assert max(lengths) <= 170
    assert min(lengths) < 10 < 60 < max(lengths)  # query-like and document-like ones


def test_a_book_in_one_line_is_cut_in_linear_time():
    begun = time.process_time()
    passages = list(cut_passages(iter(["word " * 999_999 + "word"]), random.Random(1)))
    assert sum(passage.count("word") for passage in passages) == 1_000_000
    assert time.process_time() - begun < 10  # with a copy of the rest for each passage: minutes


def test_shares_follow_the_power_of_the_size():
    # 1000 ** 0.7 / (1000 ** 0.7 + 8000 ** 0.7)
    expected = 900 * 1 / (1 + 8**0.7)
    shares = power_shares({"small": 1000, "large": 8000}, 900)
    assert shares["small"] == int(expected)
    assert sum(shares.values()) == pytest.approx(900, abs=1)


def test_a_source_that_is_too_small_passes_its_share_on():
    assert power_shares({"tiny": 10, "large": 5000}, 2000) == {"tiny": 10, "large": 1990}


def test_shares_never_exceed_the_sizes():
    assert power_shares({"a": 10, "b": 20, "empty": 0}, 10**6) == {"a": 10, "b": 20, "empty": 0}


def test_sample_is_repeatable_and_mixes_the_sources(tmp_path):
    for name in ("a", "b"):
        lines = [f"{name} line number {'x' * n} with a few more words to fill it" for n in range(200)]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    first, second = sample_passages(paths, 500, seed=3), sample_passages(paths, 500, seed=3)
    assert first == second
    assert {passage.source for passage in first} == {"a", "b"}


def test_files_of_equal_names_in_several_folders_are_all_read(tmp_path):
    paths = [tmp_path / folder / "corpus.jsonl" for folder in ("one", "two")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(json.dumps({"text": f"a text of folder {path.parent.name}"}) + "\n")
    found = sample_passages([*paths, paths[0]], max_words=1000, seed=1)
    text = " ".join(passage.text for passage in found)
    assert text.count("folder one") == text.count("folder two") == 1
    assert {passage.source for passage in found} == set(map(str, paths))


def test_texts_without_prose_are_refused(tmp_path):
    (tmp_path / "numbers.txt").write_text("1 2 3\n4 5 6\n")
    with pytest.raises(DataError, match="no usable text"):
        sample_passages([tmp_path / "numbers.txt"], 100, seed=0)
