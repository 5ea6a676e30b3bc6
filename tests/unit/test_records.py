from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ce2de_os.errors import DataError
from ce2de_os.records import Document, Qrel, Query, read_documents, read_qrels, read_queries

Read = Callable[[Path], Iterator[Any]]


def test_documents_queries_and_qrels(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl.gz"
    corpus.write_bytes(
        gzip.compress(b'{"_id": "1", "title": "a", "text": "b"}\n\n{"_id": "2", "text": "c"}\n')
    )
    assert list(read_documents(corpus)) == [Document("1", "a", "b"), Document("2", "", "c")]
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"_id": "q", "text": "why"}')
    assert list(read_queries(queries)) == [Query("q", "why")]
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nq\t1\t2\nq\t2\t-1\n")
    assert list(read_qrels(qrels)) == [Qrel("q", "1", 2), Qrel("q", "2", -1)]
    qrels.write_text("q 0 1 2\nq\t0\t2\t-1\n")
    assert list(read_qrels(qrels)) == [Qrel("q", "1", 2), Qrel("q", "2", -1)]


def test_of_texts_halves_of_surrogate_pairs_become_question_marks_and_ids_stay(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(r'{"_id": "\ud83d", "title": "a \ud83d", "text": "b \udc00"}')
    assert list(read_documents(path)) == [Document("\ud83d", "a ?", "b ?")]
    assert list(read_queries(path)) == [Query("\ud83d", "b ?")]


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_documents, b"{broken\n", ":1: not JSON"),
        (read_documents, b'{"_id": "1", "text": "b"}\n[1]\n', ":2: expected an object, got list"),
        (read_documents, b'{"text": "b"}', ":1: missing '_id'"),
        (read_queries, b'{"_id": "1", "text": 7}', ":1: 'text' is 7"),
        (read_documents, b'{"_id": "\xff"}', "expected UTF-8 text"),
        (read_qrels, b"q 1 2\n", ":1: got 1 columns between tabs"),
    ],
)
def test_bad_content_is_named(tmp_path: Path, read: Read, content: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"file.*{message}"):
        list(read(path))


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: No such file"):
        list(read_documents(tmp_path / "none"))
    damaged = tmp_path / "a.jsonl.gz"
    damaged.write_bytes(gzip.compress(b'{"_id": "1", "text": "b"}\n' * 99)[:-20])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz"):
        list(read_documents(damaged))
