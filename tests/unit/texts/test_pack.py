"""Packing texts from files and options that are not what they should be."""

from __future__ import annotations

import json
import sys

import pack_texts
import pytest

from tests.unit.distill.tiny import write_texts


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with texts, titles and a collection."""
    monkeypatch.chdir(tmp_path)
    write_texts(tmp_path / "texts.txt", lines=40)
    (tmp_path / "titles.jsonl").write_text('{"title": "bab beg"}\n')
    (tmp_path / "pairs.jsonl").write_text('{"query": "bab beg", "positive": "bab"}\n')
    (tmp_path / "code.txt").write_text("1 2 3 4 5\n")
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "corpus.jsonl").write_text('{"_id": "1", "text": "bab beg bip"}\n')
    return tmp_path


def pack(monkeypatch, texts, *options):
    command = ["pack_texts.py", "--texts", texts, "--out", "all.passages.jsonl", *options]
    monkeypatch.setattr(sys, "argv", command)
    pack_texts.main()


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ("none.txt", [], r"none\.txt: No such file"),
        ("held", [], "held: not a plain file"),
        ("code.txt", [], "no text is left; expected prose"),
        ("texts.txt", ["--held-out", "hold"], "hold: has no corpus.jsonl to hold out"),
        ("texts.txt", ["--queries", "pairs.jsonl"], "pairs.jsonl: no row has a title"),
        ("texts.txt", ["--weight", "text=2"], "--weight: got text, expected the name of a file"),
    ],
)
def test_what_cannot_be_packed_is_one_line_and_leaves_no_file(folder, monkeypatch, texts, options, message):
    with pytest.raises(SystemExit, match=message):
        pack(monkeypatch, texts, *options)
    assert not list(folder.glob("*all.passages*"))


@pytest.mark.parametrize(
    "options",
    [
        ["--words", "0"], ["--words", "-5"], ["--query-share", "nan"], ["--query-share", "1.5"],
        ["--weight", "texts"], ["--weight", "texts=x"], ["--weight", "texts=-1"], ["--weight", "texts=inf"],
    ],
)  # fmt: skip
def test_a_wrong_number_names_its_option(folder, monkeypatch, capsys, options):
    with pytest.raises(SystemExit):
        pack(monkeypatch, "texts.txt", *options)
    assert f"error: argument {options[0]}: got '{options[1]}', expected" in capsys.readouterr().err


def test_halves_of_surrogate_pairs_are_packed_as_question_marks(folder, monkeypatch):
    (folder / "titles.jsonl").write_text(r'{"title": "bab \ud83d beg"}' + "\n")
    pack(monkeypatch, "texts.txt", "--queries", "titles.jsonl", "--held-out", "held", "--query-share", "1")
    rows = [json.loads(line) for line in (folder / "all.passages.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows if row["source"] == "titles"] == ["bab ? beg"]
