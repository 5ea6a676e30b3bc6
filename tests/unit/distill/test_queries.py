"""Queries from files, logs and documents."""

from __future__ import annotations

import gzip
import json
import random

import pytest

from ce2de_os.distill.data.queries import (
    MAX_WORDS,
    QueryReport,
    queries_from_documents,
    queries_from_file,
    queries_from_log,
    write_queries,
)
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.records import Query, read_queries


def test_text_files_give_one_query_a_line(tmp_path):
    path = tmp_path / "q.txt.gz"
    path.write_bytes(gzip.compress("Copy  a\tfolder\n\nx\ncopy a folder\nStraße\nSTRASSE\n".encode()))
    found = queries_from_file(path)
    assert found.queries == [Query("1", "Copy a folder"), Query("5", "Straße")]
    assert found.report == QueryReport(read=6, empty=2, duplicated=2, kept=2)
    assert found.sources == {}


def test_tsv_files_bring_their_ids(tmp_path):
    path = tmp_path / "q.tsv"
    path.write_text("a\tone query\r\n\nb\tanother\tone\n")
    assert queries_from_file(path).queries == [Query("a", "one query"), Query("b", "another one")]


def test_beir_files_bring_ids_and_sources(tmp_path):
    path = tmp_path / "queries.jsonl"
    rows = [{"_id": "a", "text": "one query", "source_id": "d1"}, {"_id": "b", "text": "two queries"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    found = queries_from_file(path)
    assert found.queries == [Query("a", "one query"), Query("b", "two queries")]
    assert found.sources == {"a": "d1"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.tsv", "a\tone\nno tab\n", r"q\.tsv:2: expected 'id<TAB>text'"),
        ("q.tsv", "\tno id\n", r"q\.tsv:1: expected 'id<TAB>text'"),
        ("q.tsv", "a\tone\na\ttwo\n", r"q\.tsv: id 'a' means 2 different texts"),
        ("q.jsonl", '{"_id": "a"}\n', r"q\.jsonl:1: expected an object with the strings"),
        ("q.jsonl", '{"_id": "a", "text": "ok"}\n{"_id": 1\n', r"q\.jsonl:2: not JSON"),
        ("q.txt", "\n \nx\n", r"q\.txt: none of 3 texts is a query; expected one query a line"),
        ("q.txt", "", r"q\.txt: none of 0 texts is a query"),
        ("q.csv", "a,b\n", r"q\.csv: expected a name that ends in \.txt, \.tsv or \.jsonl"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        queries_from_file(path)


def test_a_sample_is_repeatable_and_keeps_the_order(tmp_path):
    path = tmp_path / "q.txt"
    path.write_text("".join(f"query number {n}\n" for n in range(200)))
    numbers = [int(query.query_id) for query in queries_from_file(path, limit=50, seed=1).queries]
    assert len(numbers) == 50
    assert numbers == sorted(numbers)
    assert numbers == [int(query.query_id) for query in queries_from_file(path, limit=50, seed=1).queries]
    other = {int(query.query_id) for query in queries_from_file(path, limit=50, seed=2).queries}
    assert other != set(numbers)
    assert len(queries_from_file(path, limit=900).queries) == 200


def test_long_texts_are_cut_and_broken_ones_repaired():
    text = "\ud800 " + " ".join(f"w{n}" for n in range(100))
    (query,) = queries_from_documents([("d", text)]).queries
    assert query.text.split() == ["?", *(f"w{n}" for n in range(MAX_WORDS - 1))]


def test_a_log_gives_the_most_frequent_queries_first(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("once\nTwice now\nthree times\ntwice  NOW\nThree times\n-\nTHREE TIMES\nalso once\n")
    found = queries_from_log(path)
    assert [query.text for query in found.queries] == ["three times", "Twice now", "once", "also once"]
    assert found.report == QueryReport(read=8, empty=1, duplicated=3, kept=4)
    limited = queries_from_log(path, limit=3)
    assert limited.queries == found.queries[:3]
    assert limited.report.kept == 3


def test_a_json_log_gives_a_field(tmp_path):
    path = tmp_path / "log.jsonl.gz"
    rows = [{"q": "copy a file", "at": 1}, {"at": 2}, {"q": None}, {"q": "Copy a file"}]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    found = queries_from_log(path, "q")
    assert [query.text for query in found.queries] == ["copy a file"]
    assert found.report == QueryReport(read=4, empty=2, duplicated=1, kept=1)
    with pytest.raises(
        DataError, match=r"none of 4 texts is a query; expected JSON lines with a text in 'z'"
    ):
        queries_from_log(path, "z")


def test_documents_are_the_sources_of_their_queries():
    texts = [("d2", "same title"), ("d1", "Same Title"), ("d3", "other title"), ("d4", "")]
    found = queries_from_documents(texts)
    assert found.sources == {"d1": "d1", "d3": "d3"}
    assert found.report == QueryReport(read=4, empty=1, duplicated=1, kept=2)


def test_documents_may_come_in_any_order():
    texts = [(f"d{n}", f"title {n % 70}") for n in range(100)]
    first = queries_from_documents(texts, limit=20)
    for seed in range(5):
        shuffled = random.Random(seed).sample(texts, len(texts))
        assert queries_from_documents(shuffled, limit=20) == first
    assert queries_from_documents(texts, limit=20, seed=14) != first


def test_documents_without_text_and_repeated_ids_are_refused():
    with pytest.raises(DataError, match="none of 2 texts is a query; expected a field with short texts"):
        queries_from_documents([("d1", ""), ("d2", "x")])
    with pytest.raises(DataError, match="id 'd1' means 2 different texts"):
        queries_from_documents([("d1", "one"), ("d1", "two")])


@pytest.mark.parametrize("read", [queries_from_file, queries_from_log])
def test_limits_below_one_are_refused(tmp_path, read):
    with pytest.raises(ConfigError, match="limit: got 0, expected at least 1"):
        read(tmp_path / "q.txt", limit=0)
    with pytest.raises(ConfigError, match="limit: got -1"):
        queries_from_documents([], limit=-1)


@pytest.mark.parametrize("name", ["queries.jsonl", "queries.jsonl.gz"])
def test_written_queries_are_read_back(tmp_path, name):
    queries = queries_from_documents([("d1", "Straßenbahn"), ("d2", 'a "quoted" title')])
    write_queries(tmp_path / "new" / name, queries)
    again = queries_from_file(tmp_path / "new" / name)
    assert (again.queries, again.sources) == (queries.queries, queries.sources)
    assert list(read_queries(tmp_path / "new" / name)) == queries.queries
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


def test_a_failed_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "queries.jsonl.gz"
    write_queries(path, queries_from_documents([("d1", "a title")]))
    before = path.read_bytes()
    broken = queries_from_documents([("d1", "a title"), ("d2", "another")])
    object.__setattr__(broken, "queries", [*broken.queries, None])
    with pytest.raises(AttributeError):
        write_queries(path, broken)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(DataError, match="cannot be written"):
        write_queries(path / "below" / "a file.jsonl", queries_from_documents([("d1", "a title")]))
