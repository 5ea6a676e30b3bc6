"""Translations made elsewhere: checks, and the file."""

from __future__ import annotations

import gzip
import json

import pytest

from ce2de_os.errors import DataError
from ce2de_os.records import read_documents
from ce2de_os.translate.documents import corpus_originals, query_originals
from ce2de_os.translate.imported import import_translations

DOCUMENTS = {"a": "One.", "b": "Two.", "c": "Three.", "d": ""}
TRANSLATED = {"a": "Uno.", "b": "Due.", "c": "Tre."}


@pytest.fixture
def originals(tmp_path):
    rows = [{"_id": key, "title": "", "text": text} for key, text in DOCUMENTS.items()]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return corpus_originals(tmp_path / "c.jsonl")


def tsv(rows):
    return "".join(f"{key}\t{text}\n" for key, text in rows.items())


def run(tmp_path, originals, content, name="t.tsv", **settings):
    (tmp_path / name).write_text(content)
    return import_translations(originals, tmp_path / name, tmp_path / "out.jsonl", **settings)


def imported(tmp_path):
    return {doc.doc_id: doc.text for doc in read_documents(tmp_path / "out.jsonl")}


def test_a_tsv_in_any_order_becomes_a_corpus_in_the_order_of_the_originals(tmp_path, originals):
    written = []
    content = tsv(dict(reversed(TRANSLATED.items()))) + "\n"
    report = run(tmp_path, originals, content, progress=lambda n, size: written.append((n, size)))
    assert list(imported(tmp_path).items()) == [*TRANSLATED.items(), ("d", "")]
    assert (report.documents, report.skipped, report.unchanged, report.untitled) == (4, 0, 0, 0)
    assert report.characters == written[-1][1] == sum(map(len, DOCUMENTS.values()))
    assert [count for count, _ in written] == [1, 2, 3, 4]


def test_json_lines_with_titles(tmp_path, caplog):
    rows = [{"_id": key, "title": f"On {key}", "text": text} for key, text in DOCUMENTS.items()]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = [
        {"_id": "a", "title": "Di a", "text": "Uno\ud83d."}, {"_id": "b", "text": "שתיים \u200f2."},
        {"_id": "c", "title": "Di c", "text": "Tre.", "more": 1}, {"_id": "d", "title": "Di d"},
    ]  # fmt: skip
    content = "".join(json.dumps(row) + "\n" for row in found)
    report = run(tmp_path, corpus_originals(tmp_path / "c.jsonl"), content, "t.jsonl")
    assert [*read_documents(tmp_path / "out.jsonl")] == [
        ("a", "Di a", "Uno?."), ("b", "", "שתיים \u200f2."), ("c", "Di c", "Tre."), ("d", "Di d", ""),
    ]  # fmt: skip
    assert report.untitled == 1
    assert "the titles of 1 documents have no translation" in caplog.text


def test_queries_and_gzip(tmp_path):
    (tmp_path / "q.tsv").write_text("1\twho\n2\twhat\n")
    with gzip.open(tmp_path / "t.tsv.gz", "wt") as file:
        file.write("1\tchi\n2\tche cosa\n")
    import_translations(
        query_originals(tmp_path / "q.tsv"), tmp_path / "t.tsv.gz", tmp_path / "q.it.jsonl.gz"
    )
    with gzip.open(tmp_path / "q.it.jsonl.gz", "rt") as file:
        assert [json.loads(line) for line in file] == [
            {"_id": "1", "text": "chi"}, {"_id": "2", "text": "che cosa"},
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            tsv(TRANSLATED | {"x": "X", "y": "Y", "z": "Z", "zz": "Z"}),
            r"translates 4 ids \(x, y, z, …\) that are",
        ),
        (
            tsv(TRANSLATED | {"x": "X"}),
            r"translates 1 id \(x\) that are not in .*c\.jsonl; give the documents",
        ),
        (tsv(TRANSLATED) + "a\tuno\n", r"t\.tsv:4: id 'a' comes a second time"),
        (
            tsv({"b": "Due."}),
            r"t\.tsv: 2 ids \(a, c\) of .*c\.jsonl have no translation; translate them too, or",
        ),
        (tsv(TRANSLATED | {"b": "  "}), r"1 id \(b\) of .* have no translation"),
        (tsv(TRANSLATED) + "no tab\n", r"t\.tsv:4: expected 'id<TAB>text'"),
        (tsv(TRANSLATED) + "\tno id\n", r"t\.tsv:4: expected 'id<TAB>text'"),
        ("", r"3 ids \(a, b, c\) of .* have no translation"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path, originals, content, message):
    with pytest.raises(DataError, match=message):
        run(tmp_path, originals, content)
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"_id": "a", "text": 3}\n', r"t\.jsonl:1: expected an object with the strings '_id' and 'text'"),
        ('{"_id": 1, "text": "x"}\n', r"t\.jsonl:1: expected an object"),
        ('{"_id": "a"}\n', r"t\.jsonl:1: expected an object"),
        ('{"_id": "a", "text": "x"', r"t\.jsonl:1: not JSON"),
    ],
)
def test_broken_json_lines_are_told(tmp_path, originals, content, message):
    with pytest.raises(DataError, match=message):
        run(tmp_path, originals, content, "t.jsonl")


def test_other_files_are_told(tmp_path, originals):
    with pytest.raises(DataError, match=r"t\.csv: expected a name that ends in \.tsv or \.jsonl"):
        run(tmp_path, originals, "a,b\n", "t.csv")
    with pytest.raises(DataError, match="No such file"):
        import_translations(originals, tmp_path / "none.tsv", tmp_path / "out.jsonl")


def test_documents_without_translation_can_be_left_out(tmp_path, originals):
    report = run(tmp_path, originals, tsv({"b": "Due."}), skip_missing=True)
    assert imported(tmp_path) == {"b": "Due.", "d": ""}
    assert (report.documents, report.skipped) == (2, 2)


def test_none_at_all_is_an_error_even_so(tmp_path, originals):
    with pytest.raises(DataError, match="holds no translation of a text in"):
        run(tmp_path, originals, "", skip_missing=True)


@pytest.mark.parametrize(("same", "warned"), [("a", False), ("ab", True)])
def test_translations_that_are_the_originals_are_told(tmp_path, originals, caplog, same, warned):
    report = run(tmp_path, originals, tsv(TRANSLATED | {key: DOCUMENTS[key] for key in same}))
    assert report.unchanged == len(same)
    assert ("2 of 3 translations are equal to the original" in caplog.text) == warned
