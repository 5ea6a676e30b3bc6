# ruff: noqa: RUF001 - texts in several scripts
"""Corpora and queries in another language: the file, the cache, interruptions."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.records import read_documents
from ce2de_os.translate.base import Translation
from ce2de_os.translate.cache import FILE, TranslationCache
from ce2de_os.translate.documents import corpus_originals, query_originals, survey, translate
from tests.unit.distill.tiny_translators import sentence


class Words:
    """A translator of pieces of at most ``max_tokens`` words, by a function of the piece and its place.

    The place stands for what neighbours in a batch do to the last digits of a real model.
    """

    name = "words"

    def __init__(self, say=lambda piece, place: piece, max_tokens=20, part_chars=200, identity="words"):
        self.say, self.max_tokens, self.part_chars, self.identity = say, max_tokens, part_chars, identity
        self.read = []

    def count_tokens(self, texts):
        return [len(text.split()) for text in texts]

    def translate(self, pieces):
        assert all(len(piece.split()) <= self.max_tokens for piece in pieces)
        self.read += pieces
        return [Translation(self.say(piece, place), True) for place, piece in enumerate(pieces)]


def placed(piece, place):
    return f"{piece[:-1]}-{place}."


def write_corpus(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def corpus(tmp_path):
    rng = random.Random(6)
    rows = []
    for number in range(40):
        text = " ".join(sentence(rng, rng.randint(1, 9)) for _ in range(rng.randint(0, 7)))
        title = sentence(rng, 3)[:-1] if number % 3 else ""
        rows.append({"_id": f"d{number}", "title": title, "text": f"{text} Same in all."})
    rows[7]["text"] = sentence(rng, 300)
    return write_corpus(tmp_path / "corpus.jsonl", rows)


def run(corpus, out, translator, **settings):
    return translate(corpus_originals(corpus), translator, out, out.parent / "cache", **settings)


@pytest.mark.parametrize("max_tokens", [3, 20])
def test_an_identity_translator_gives_the_corpus_back(tmp_path, corpus, max_tokens):
    translator = Words(max_tokens=max_tokens)
    report = run(corpus, tmp_path / "out.jsonl", translator)
    assert list(read_documents(tmp_path / "out.jsonl")) == list(read_documents(corpus))
    assert report.documents == 40
    assert report.translated == len(set(translator.read)) == len(translator.read)
    assert report.from_cache >= 39  # of the sentence that all have
    assert report.characters == sum(len(doc.title) + len(doc.text) for doc in read_documents(corpus))


SCRIPTS = {
    "rtl": "مرحبا بالعالم. \u202bשלום עולם\u202c! \u200f(abc)",
    "mixed": "日本語とEnglishの混在。Ελληνικά и русский 한국어. ไทย",
    "marks": "e\u0301 ñ 👩‍👩‍👧 \u200d\u2060 ﷺ \U0001d54f",
    "lines": "one\r\n\r\ntwo\u2028three\u0085four\n  - five\n\n\n",
    "broken": 'a "quote" \\ and \\u0041 <b>tag</b> \x00\x07 \u007f',
}


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_scripts_and_marks_pass_through_unharmed(tmp_path, name, suffix):
    corpus = write_corpus(tmp_path / "c.jsonl", [{"_id": "x", "title": SCRIPTS[name], "text": SCRIPTS[name]}])
    run(corpus, tmp_path / f"out.{suffix}", Words(max_tokens=2))
    (document,) = read_documents(tmp_path / f"out.{suffix}")
    assert document == ("x", SCRIPTS[name], SCRIPTS[name])


def test_lone_surrogates_stay_in_ids_and_become_question_marks_in_texts(tmp_path):
    corpus = write_corpus(
        tmp_path / "c.jsonl", [{"_id": "x\ud83d", "title": "a\ude00", "text": "b \ud83d c"}]
    )
    run(corpus, tmp_path / "out.jsonl", Words())
    assert list(read_documents(tmp_path / "out.jsonl")) == [("x\ud83d", "a?", "b ? c")]


def test_what_is_no_language_is_not_translated(tmp_path):
    rows = [{"_id": "1", "title": "", "text": ""}, {"_id": "2", "title": " ", "text": "3.14 -- 15"}]
    translator = Words()
    report = run(write_corpus(tmp_path / "c.jsonl", rows), tmp_path / "out.jsonl", translator)
    assert list(read_documents(tmp_path / "out.jsonl")) == [("1", "", ""), ("2", " ", "3.14 -- 15")]
    assert (report.documents, translator.read) == (2, [])


def test_what_was_translated_is_not_translated_again(tmp_path, corpus):
    first, again, other = Words(placed), Words(placed), Words(placed, identity="another model")
    report = run(corpus, tmp_path / "a.jsonl.gz", first)
    once = (tmp_path / "a.jsonl.gz").read_bytes()
    repeat = run(corpus, tmp_path / "b.jsonl.gz", again)
    assert (again.read, repeat.translated) == ([], 0)
    assert repeat.from_cache == report.translated + report.from_cache
    assert (tmp_path / "b.jsonl.gz").read_bytes() == once
    run(corpus, tmp_path / "c.jsonl", other)
    assert other.read == first.read
    # A grown corpus costs what is new.
    with corpus.open("a") as file:
        file.write(json.dumps({"_id": "new", "text": "Same in all. Something new."}) + "\n")
    run(corpus, tmp_path / "a.jsonl.gz", again)
    assert again.read == ["Something new."]
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).startswith(gzip.decompress(once))


def test_empty_and_endless_translations_are_counted_and_told(tmp_path, caplog):
    class Poor(Words):
        def translate(self, pieces):
            return [
                Translation("", False) if "two" in piece else Translation(piece, True) for piece in pieces
            ]

    corpus = write_corpus(tmp_path / "c.jsonl", [{"_id": "1", "text": "This is one. This is two."}])
    report = run(corpus, tmp_path / "out.jsonl", Poor())
    assert report.not_whole == 1
    assert "1 of 2 translations are empty or were stopped" in caplog.text
    assert run(corpus, tmp_path / "out.jsonl", Poor()).not_whole == 1  # from the cache too


# Interruptions


@pytest.mark.parametrize("parts", [1, 2, 5, 9])
def test_an_interrupted_run_gives_the_same_bytes(tmp_path, corpus, parts):
    run(corpus, tmp_path / "whole" / "c.jsonl.gz", Words(placed))
    left = parts

    class Stopped(Words):
        def translate(self, pieces):
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return super().translate(pieces)

    out = tmp_path / "c.jsonl.gz"
    stopped, rest = Stopped(placed), Words(placed)
    with pytest.raises(KeyboardInterrupt):
        run(corpus, out, stopped)
    assert not out.exists()
    run(corpus, out, rest)
    assert out.read_bytes() == (tmp_path / "whole" / "c.jsonl.gz").read_bytes()
    assert not {*stopped.read} & {*rest.read}


KILLED = """
import sys, time
from pathlib import Path
from ce2de_os.translate.documents import corpus_originals, translate
from tests.unit.distill.test_translate import Words, placed

class Slow(Words):
    def translate(self, pieces):
        time.sleep(0.03)
        return super().translate(pieces)

corpus, out = map(Path, sys.argv[1:])
translate(corpus_originals(corpus), Slow(placed), out, out.parent / "cache")
"""


def test_killed_processes_go_on(tmp_path, corpus):
    run(corpus, tmp_path / "whole" / "c.jsonl", Words(placed))
    out, database = tmp_path / "c.jsonl", tmp_path / "cache" / FILE
    kills = 0
    while not out.exists():
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(corpus), str(out)])
        before = known(database)
        while process.poll() is None and known(database) < before + 15:
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 3
    assert out.read_bytes() == (tmp_path / "whole" / "c.jsonl").read_bytes()


def known(database):
    if not database.exists():
        return 0
    rows = sqlite3.connect(database)
    try:
        return rows.execute("SELECT count(*) FROM translations").fetchone()[0]
    except sqlite3.OperationalError:  # not made yet
        return 0
    finally:
        rows.close()


def test_documents_do_not_pile_up_behind_one_that_waits(tmp_path, monkeypatch):
    monkeypatch.setattr("ce2de_os.translate.documents._MOST_HELD", 300)
    rows = [{"_id": str(n), "text": "Known to it."} for n in range(100)]
    corpus = write_corpus(tmp_path / "c.jsonl", rows)
    run(corpus, tmp_path / "a.jsonl", Words())
    rows.insert(1, {"_id": "new", "text": "Something new."})
    translator, written = Words(part_chars=10**6), []
    run(write_corpus(corpus, rows), tmp_path / "b.jsonl", translator, progress=lambda n, _: written.append(n))
    assert translator.read == ["Something new."]
    assert written == list(range(1, 102))


# What cannot be used


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"_id": "1", "text": "a"}\n{"_id": "1", "text": "b"}\n', "id '1' comes a second time"),
        ('{"_id": "1", "text": "a"}\n{"_id": null, "text": "b"}\n', r"c\.jsonl:2: missing '_id'"),
        ('{"_id": "1"}\n', r"c\.jsonl:1: missing 'text'"),
        ('{"_id": "1", "te', r"c\.jsonl:1: not JSON"),
        ("", "holds no documents"),
    ],
)
def test_a_broken_corpus_is_found_before_the_work(tmp_path, lines, message):
    (tmp_path / "c.jsonl").write_text(lines)
    with pytest.raises(DataError, match=message):
        survey(corpus_originals(tmp_path / "c.jsonl"))


def test_files_of_other_work_are_left_alone(tmp_path, corpus):
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    with pytest.raises(
        DataError, match=r"out\.jsonl: exists and comes from other queries, documents or sett"
    ):
        run(corpus, out, Words())
    assert out.read_text() == "mine"
    assert not (tmp_path / "out.jsonl.work").exists()
    with pytest.raises(ConfigError, match="is the file with the originals"):
        run(corpus, corpus, Words())
    with pytest.raises(ConfigError, match=r"expected a name that ends in \.jsonl or \.jsonl\.gz"):
        run(corpus, tmp_path / "out.tsv", Words())
    run(corpus, tmp_path / "b.jsonl", Words())
    with pytest.raises(DataError, match=r"b\.jsonl: exists and comes from other"):
        run(corpus, tmp_path / "b.jsonl", Words(identity="other"))
    with (tmp_path / "b.jsonl.work").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another run is writing this file"):
            run(corpus, tmp_path / "b.jsonl", Words())


def test_a_damaged_cache_is_told(tmp_path, corpus):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match=r"translations\.sqlite: the cache of translations cannot be used"):
        run(corpus, tmp_path / "out.jsonl", Words())


def test_the_cache_keeps_translators_apart(tmp_path):
    with TranslationCache(tmp_path, "a") as one, TranslationCache(tmp_path, "b") as other:
        one.add({"x": Translation("X", True), "": Translation("", False)})
        many = [str(n) for n in range(1200)]
        one.add({text: Translation(text * 2, True) for text in many})
        assert one.find(["x", "y", ""]) == {"x": ("X", True), "": ("", False)}
        assert one.find(many) == {text: (text * 2, True) for text in many}
        assert other.find(["x"]) == {}


# Queries


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.tsv", "7\tWhat is it?\n8\tWho knows\n"),
        ("q.txt", "What is it?\n\nWho knows\n"),
        (
            "q.jsonl",
            '{"_id": "7", "text": "What is it?", "source_id": "d3"}\n{"_id": "8", "text": "Who knows"}\n',
        ),
    ],
)
def test_queries_keep_their_ids(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    originals = query_originals(tmp_path / name)
    translate(originals, Words(lambda piece, _: piece.upper()), tmp_path / "q.it.jsonl", tmp_path / "cache")
    rows = [json.loads(line) for line in (tmp_path / "q.it.jsonl").read_text().splitlines()]
    ids = ["1", "3"] if name == "q.txt" else ["7", "8"]
    expected = [{"_id": ids[0], "text": "WHAT IS IT?"}, {"_id": ids[1], "text": "WHO KNOWS"}]
    if name == "q.jsonl":
        expected[0]["source_id"] = "d3"
    assert rows == expected
