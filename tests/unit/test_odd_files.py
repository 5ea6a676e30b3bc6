"""Files as people have them: byte order marks, pandas' numbers, blank lines, headers of other tools."""

from __future__ import annotations

import gzip
import json

import pytest

from ce2de_os.errors import DataError
from ce2de_os.evaluation import judged_files, load_collection, load_judged, load_qrels, read_run
from ce2de_os.evaluation.passages import read_mapping
from ce2de_os.recipes.distill_toml import read_tables
from ce2de_os.records import Document, Qrel, Query, read_documents, read_qrels, read_queries

BOM = "\ufeff"
QREL = [Qrel("q1", "d1", 1)]


@pytest.fixture
def file(tmp_path):
    def write(content: str | bytes, name="file"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (lambda path: list(read_qrels(path)), "q1\td1\t1\n", QREL),
        (lambda path: list(read_qrels(path)), "q1 0 d1 1\n", QREL),
        (lambda path: list(read_qrels(path)), f"query-id\tcorpus-id\tscore\n{BOM}q1\td1\t1\n", QREL),
        (lambda path: list(read_run(path)), "q1 Q0 d1 1 2.5 t\n", ["q1"]),
        (lambda path: list(read_queries(path)), '{"_id": "q1", "text": "a"}', [Query("q1", "a")]),
        (lambda path: list(read_documents(path)), '{"_id": "d", "text": "a"}', [Document("d", "", "a")]),
        (lambda path: read_mapping(path, {"p"}), "p\td\n", {"p": "d"}),
    ],
)
def test_a_byte_order_mark_is_no_part_of_the_first_id(file, read, text, expected, packed):
    content = f"{BOM}{text}".encode()
    assert read(file(gzip.compress(content) if packed else content)) == expected


def test_a_recipe_with_a_byte_order_mark(file):
    assert read_tables(file(f"{BOM}[training]\n")) == {"training": {}}


def test_utf_16_is_named(file):
    with pytest.raises(DataError, match="got UTF-16 text, expected UTF-8; save the file again"):
        list(read_qrels(file("q1\td1\t1\n".encode("utf-16"))))
    with pytest.raises(DataError, match=":1: got a zero byte, expected UTF-8 text"):
        list(read_qrels(file("q1\td1\t1\n".encode("utf-16-le"))))


@pytest.mark.parametrize(
    "text",
    [
        "query-id\tcorpus-id\tscore\nq1\td1\t1.0\n",
        "query_id\tdoc_id\trelevance\nq1\td1\t1\n",
        "QUERY-ID\tCORPUS-ID\tSCORE\nq1\td1\t1\n",
        "qid\tpid\tlabel\nq1\td1\t1\n",
        "query-id\tcorpus-id\tscore\nq1\td1\t1\n\n \n",
        "\nquery-id\tcorpus-id\tscore\nq1\td1\t1",
        "q1\td1\t1 \n",
        "q1\td1\t1\t\n",
        "q1\td1\t+1\r\n",
        "q1\td1\t01.\n",
        "q1\t0\td1\t1\n",
        "q1  0  d1  1  \n",
    ],
)
def test_judgements_in_other_spellings(file, text):
    assert list(read_qrels(file(text))) == QREL


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1\td1\t0.5", "the grade is '0.5', expected a whole number of at most 6 digits"),
        ("q1\td1\t--1", "the grade is '--1', expected a whole number"),
        ("q1\td1\t\u00b2", "the grade is '\u00b2', expected a whole number"),
        ("q1\td1\tnan", "the grade is 'nan', expected a whole number"),
        ("q1\td1\t" + 400 * "9", "the grade is '99999"),
        ("q1\td1\t" + 5000 * "9", "the grade is '99999"),
        ("q1 d1 1", "got 1 columns between tabs, expected 'query-id<TAB>corpus-id<TAB>score'"),
        ("q1,d1,1", "got 1 columns between tabs"),
        ("q1\td1", "got 2 columns between tabs"),
        ("\td1\t1", "the id of the query is empty"),
        ("q1\t \t1", "the id of the document is empty"),
        ("doc_id\tquery_id\tscore", "the first column is 'doc_id', expected the query's id"),
    ],
)
def test_each_fault_of_a_judgement_has_its_own_text(file, line, message):
    with pytest.raises(DataError, match=f"file:1: {message}"):
        list(read_qrels(file(line + "\n")))


def test_only_the_first_line_may_be_a_header(file):
    with pytest.raises(DataError, match=":2: the grade is 'score'"):
        list(read_qrels(file("q1\td1\t1\nquery-id\tcorpus-id\tscore\n")))


def test_judgements_that_contradict_each_other(file):
    path = file("q1\td1\t1\nq1\td2\t1\nq1\td1\t0\n")
    with pytest.raises(DataError, match="document 'd1' of query 'q1' is judged 1 and 0; keep one of them"):
        load_qrels(path)
    assert load_qrels(file("q1\td1\t1\nq1\td1\t1.0\n")) == {"q1": {"d1": 1}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 Q0 d1 1 2.5", "got 5 columns, expected 'query-id Q0"),
        ("q1 Q0 d1 1 high t", "the score is 'high', expected a number in the fifth column"),
        ("q1 Q0 d1 1 1_0 t", "the score is '1_0'"),
        ("q1 Q0 d1 1 inf t", "the score is 'inf'"),
    ],
)
def test_each_fault_of_a_run_has_its_own_text(file, line, message):
    with pytest.raises(DataError, match=f"file:1: {message}"):
        read_run(file(line))


def test_blank_lines_in_a_mapping(file):
    assert read_mapping(file("p\td\n\n"), {"p"}) == {"p": "d"}


def test_ids_may_be_whole_numbers(file):
    assert list(read_queries(file('{"_id": 7, "text": "a"}'))) == [Query("7", "a")]
    assert list(read_documents(file('{"_id": 7, "title": null, "text": "a"}'))) == [Document("7", "", "a")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"_id": true, "text": "a"}', "'_id' is True, expected a string"),
        ('{"_id": 1.5, "text": "a"}', "'_id' is 1.5, expected a string"),
        ('{"_id": "", "text": "a"}', "'_id' is empty"),
        ('{"_id": "1", "text": 7}', "'text' is 7, expected a string"),
        ('{"_id": "1", "title": ["x"], "text": "a"}', r"'title' is \['x'\], expected a string"),
        ('{"_id": "1"}', "missing 'text'"),
        ("[" * 100_000, "the JSON is nested too deeply"),
    ],
)
def test_each_fault_of_a_row_has_its_own_text(file, row, message):
    with pytest.raises(DataError, match=f"file:1: {message}"):
        list(read_documents(file(row)))


def folder_of(tmp_path, **files):
    for name, text in files.items():
        path = tmp_path / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return tmp_path


QUERIES = json.dumps({"_id": "q1", "text": "a"})


@pytest.mark.parametrize(
    "names",
    [
        ("queries_jsonl", "qrels__dev_tsv"),
        ("queries_jsonl_gz", "qrels_tsv"),
        ("queries_jsonl", "qrels__test_tsv_gz"),
        ("queries_dev_jsonl_gz", "qrels_dev_tsv_gz"),
    ],
)
def test_files_of_a_judged_folder(tmp_path, names):
    queries, qrels = names
    folder = folder_of(tmp_path, **{queries: QUERIES, qrels: "q1\td1\t1\n"})
    assert load_judged(*judged_files(folder)).qrels == {"q1": {"d1": 1}}


def test_what_is_missing_in_a_folder_is_listed(tmp_path):
    folder = folder_of(tmp_path, queries_jsonl=QUERIES)
    expected = "expected qrels.tsv, qrels/test.tsv, qrels/dev.tsv, qrels.dev.tsv, or one of them with .gz"
    with pytest.raises(DataError, match=f"has no qrels.tsv; {expected}"):
        judged_files(folder)


def test_judged_queries_without_a_text_are_counted(tmp_path):
    folder = folder_of(tmp_path, queries_jsonl=QUERIES, qrels_tsv="q1\td1\t1\nq2\td1\t1\nq3\td1\t0\n")
    assert load_judged(*judged_files(folder)).without_text == ("q2",)


def test_a_document_that_comes_twice_differently(tmp_path):
    corpus = '{"_id": "d1", "text": "a"}\n{"_id": "d1", "text": "b"}\n'
    folder = folder_of(tmp_path, queries_jsonl=QUERIES, qrels_tsv="q1\td1\t1\n", corpus_jsonl=corpus)
    with pytest.raises(DataError, match="id 'd1' has two texts"):
        load_collection(folder)
