"""Translations: how they fit their originals, parallel text, and translated collections."""

from __future__ import annotations

import gzip
import json
import logging

import pytest

from ce2de_os.distill.data.texts import TrainingPassage
from ce2de_os.distill.data.translations import (
    Coverage,
    check_coverage,
    parallel_documents,
    parallel_source,
    read_parallel,
    read_translation,
    translated_collection,
)
from ce2de_os.errors import DataError
from ce2de_os.evaluation import Collection
from ce2de_os.records import Document


def write(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def test_a_translation_is_read_by_id_without_blank_documents(tmp_path):
    rows = [{"_id": "a", "title": "Uno", "text": ""}, {"_id": "b", "text": "due"}, {"_id": "c", "text": " "}]
    path = write(tmp_path / "it.jsonl", rows)
    assert read_translation(path) == {"a": Document("a", "Uno", ""), "b": Document("b", "", "due")}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"it\.jsonl: holds no document"),
        ([{"_id": "a", "text": ""}], r"it\.jsonl: holds no document"),
        ([{"_id": "a", "text": "x"}] * 2, r"it\.jsonl: document 'a' comes twice"),
        ([{"text": "x"}], r"it\.jsonl:1: missing '_id'"),
    ],
)
def test_broken_translations_are_refused(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read_translation(write(tmp_path / "it.jsonl", rows))


ORIGINALS = {f"d{number}" for number in range(6)}


def check(translated, skip):
    return check_coverage(ORIGINALS, set(translated), ("documents", "it"), "it.jsonl", skip=skip)


def test_a_complete_translation_fits():
    assert check(ORIGINALS, skip=False) == Coverage("documents", "it", 6, 0, 0)


@pytest.mark.parametrize(
    ("translated", "message"),
    [
        (["d4", "d5"], r"it\.jsonl: 4 documents have no translation \(d0, d1, d2, …\); complete it, or set"),
        ([*ORIGINALS, "x"], r"it\.jsonl: 1 translations have no original \(x\)"),
        (["d0", "x"], r"5 documents have no translation .*; 1 translations have no original \(x\)"),
    ],
)
def test_differences_are_refused_or_counted(translated, message, caplog):
    with pytest.raises(DataError, match=message):
        check(translated, skip=False)
    with caplog.at_level(logging.WARNING):
        found = check(translated, skip=True)
    assert found.missing == len(ORIGINALS - set(translated))
    assert found.unknown == len(set(translated) - ORIGINALS)
    assert caplog.records[-1].action == "check_translations"


@pytest.mark.parametrize("skip", [True, False])
def test_a_translation_of_something_else_is_always_refused(skip):
    with pytest.raises(DataError, match="none of its 1 ids is among those of the 6 documents"):
        check(["x"], skip=skip)


def test_titles_texts_and_whole_documents_are_pairs():
    originals = {"a": Document("a", "One", "first  text"), "b": Document("b", "", "second")}
    translated = {
        "a": Document("a", "Uno", "primo\ntesto"),
        "b": Document("b", "Due", "secondo"),
        "x": Document("x", "", "niente"),
    }
    assert parallel_documents(originals, translated, "it") == [
        TrainingPassage("Uno", "it", "One"),
        TrainingPassage("primo testo", "it", "first text"),
        TrainingPassage("Uno. primo testo", "it", "One. first text"),
        TrainingPassage("Due. secondo", "it", "second"),
    ]


def test_a_file_of_pairs(tmp_path):
    path = tmp_path / "subtitles.tsv.gz"
    path.write_bytes(gzip.compress(b"one\tuno\n\nOne  two\tuno due\none\tuno\n\tvuoto\n"))
    source = parallel_source(path, "it")
    assert source == "subtitles (it)"
    assert read_parallel(path, source) == [
        TrainingPassage("uno", source, "one"),
        TrainingPassage("uno due", source, "One two"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("one\tuno\nno tab\n", r"p\.tsv:2: expected 'original<TAB>translation'"),
        ("a\tb\tc\n", r"p\.tsv:1: expected"),
        ("\n", r"p\.tsv: holds no pair"),
    ],
)
def test_broken_pairs_name_the_line(tmp_path, content, message):
    (tmp_path / "p.tsv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_parallel(tmp_path / "p.tsv", "p")


JUDGED = Collection(
    "judged", ["a", "b", "c"], ["One", "Two", "Three"], ["q1", "q2"], ["first", "third"],
    {"q1": {"a": 1, "b": 0}, "q2": {"a": 0, "c": 2}},
)  # fmt: skip


def test_a_collection_of_translations_keeps_the_queries_that_can_be_answered():
    translated = {"b": Document("b", "", "due"), "a": Document("a", "Uno", "uno")}
    assert translated_collection(JUDGED, translated, "it") == Collection(
        "judged (it)", ["a", "b"], ["Uno. uno", "due"], ["q1"], ["first"], {"q1": {"a": 1, "b": 0}}
    )
    with pytest.raises(DataError, match="no query has a relevant document among its translations into 'it'"):
        translated_collection(JUDGED, {"b": translated["b"]}, "it")
