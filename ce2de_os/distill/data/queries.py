"""Read the queries for training: from a file, a query log, or a field of the documents themselves."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.records import Query, id_in, json_lines, text_lines
from ce2de_os.writing import replacing

MIN_CHARS = 2
MAX_WORDS = 64
"""Most words of a query; the rest of a longer text is cut."""


@dataclass(frozen=True)
class QueryReport:
    """Counts of the texts that were read.

    Attributes:
        read: all texts.
        empty: those with fewer than two characters.
        duplicated: repeats of another one, upper and lower case being the same.
        kept: queries that are left, after the limit.
    """

    read: int
    empty: int
    duplicated: int
    kept: int


@dataclass(frozen=True)
class QuerySet:
    """Queries, and the document that each was taken from.

    Attributes:
        queries: distinct queries with distinct ids.
        sources: query id to the ``doc_id`` of its source, for queries that were taken from a document.
        report: the counts.
    """

    queries: list[Query]
    sources: dict[str, str]
    report: QueryReport


class _Row(NamedTuple):
    query_id: str
    text: str
    source_id: str | None = None


@dataclass
class _Distinct:
    """Usable texts by their folded form, each in its first spelling, with their counts."""

    rows: dict[str, _Row] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    read: int = 0
    empty: int = 0

    def add(self, row: _Row) -> None:
        self.read += 1
        text = _clean(row.text)
        if len(text) < MIN_CHARS:
            self.empty += 1
            return
        row, key = row._replace(text=text), text.casefold()
        self.times[key] += 1
        # Documents of a live index have no fixed order; the first source by name is the same every time.
        self.rows[key] = min(self.rows.get(key, row), row, key=lambda one: one.source_id or "")


def queries_from_file(path: Path, limit: int | None = None, seed: int = 13) -> QuerySet:
    """Read ``.txt`` (one query a line), ``.tsv`` (``id<TAB>text``) or ``.jsonl`` (BEIR), ``.gz`` or not.

    With a ``limit`` a random sample of that size is kept, in the order of the file. A query's id in a
    ``.txt`` file is the number of its line.

    Raises:
        DataError: the file cannot be read, holds no query, or gives two texts the same id.
        ConfigError: ``limit`` is below 1.
    """
    _check_limit(limit)
    distinct = _distinct(_file_rows(path))
    chosen = set(_by_lot(distinct.rows.values(), seed)[:limit])
    rows = [row for row in distinct.rows.values() if row in chosen]
    return _query_set(distinct, rows, str(path), _EXPECTED)


def query_texts(path: Path) -> dict[str, str]:
    """Read the text of each query of a file as `queries_from_file` does, repeats included, blanks not.

    Raises:
        DataError: the file cannot be read, holds no query, or gives two texts the same id.
    """
    texts: dict[str, str] = {}
    for row in _file_rows(path):
        text = _clean(row.text)
        if len(text) < MIN_CHARS:
            continue
        if texts.setdefault(row.query_id, text) != text:
            raise DataError(f"{path}: id '{row.query_id}' means 2 different texts; give each its own id")
    if not texts:
        raise DataError(f"{path}: none of its texts is a query; {_EXPECTED}")
    return texts


def queries_from_log(path: Path, field_name: str | None = None, limit: int | None = None) -> QuerySet:
    """Read a query log and keep the most frequent queries, most frequent first.

    Args:
        path: text lines, or JSON lines if ``field_name`` is given; ``.gz`` or not.
        field_name: the key that holds the query; rows without a string there count as empty.
        limit: queries to keep; ``None`` keeps all.

    Raises:
        DataError: the file cannot be read, or holds no query.
        ConfigError: ``limit`` is below 1.
    """
    _check_limit(limit)
    distinct = _distinct(_log_rows(path, field_name))
    rows = [distinct.rows[key] for key, _ in distinct.times.most_common(limit)]
    expected = _EXPECTED if field_name is None else f"expected JSON lines with a text in '{field_name}'"
    return _query_set(distinct, rows, str(path), expected)


def queries_from_documents(
    texts: Iterable[tuple[str, str]], limit: int | None = None, seed: int = 13
) -> QuerySet:
    """Make queries of a field of the documents, such as their titles.

    The order is random but depends on the texts and the seed only, not on the order in which an index returns
    its documents. Where several documents have the same text, the first by ``doc_id`` is its source.

    A query's id is that of its source. ``limit`` is the size of the random sample; ``None`` keeps all.

    Raises:
        DataError: there is no usable text, or a ``doc_id`` comes with two texts.
        ConfigError: ``limit`` is below 1.
    """
    _check_limit(limit)
    distinct = _distinct(_Row(doc_id, text, doc_id) for doc_id, text in texts)
    rows = _by_lot(distinct.rows.values(), seed)[:limit]
    return _query_set(distinct, rows, "documents", "expected a field with short texts, such as a title")


def write_queries(path: Path, queries: QuerySet) -> None:
    """Write a ``queries.jsonl`` of the BEIR layout, with ``source_id`` where a query has a source."""
    with replacing(path) as file:
        for query in queries.queries:
            row = {"_id": query.query_id, "text": query.text}
            if query.query_id in queries.sources:
                row["source_id"] = queries.sources[query.query_id]
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


_EXPECTED = f"expected one query a line, of at least {MIN_CHARS} characters"


def _clean(text: str) -> str:
    """Return one line of at most 64 words; lone surrogates become question marks."""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split()[:MAX_WORDS])


def _distinct(rows: Iterable[_Row]) -> _Distinct:
    distinct = _Distinct()
    for row in rows:
        distinct.add(row)
    return distinct


def _by_lot(rows: Iterable[_Row], seed: int) -> list[_Row]:
    def lot(row: _Row) -> bytes:
        return hashlib.blake2b(f"{seed} {row.text.casefold()}".encode(), digest_size=16).digest()

    return sorted(rows, key=lot)


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise ConfigError(f"limit: got {limit}, expected at least 1")


def _query_set(distinct: _Distinct, rows: list[_Row], where: str, expected: str) -> QuerySet:
    if not rows:
        raise DataError(f"{where}: none of {distinct.read:,} texts is a query; {expected}")
    names = Counter(row.query_id for row in distinct.rows.values())
    name, times = names.most_common(1)[0]
    if times > 1:
        raise DataError(f"{where}: id '{name}' means {times} different texts; give each its own id")
    duplicated = distinct.times.total() - len(distinct.rows)
    return QuerySet(
        [Query(row.query_id, row.text) for row in rows],
        {row.query_id: row.source_id for row in rows if row.source_id is not None},
        QueryReport(distinct.read, distinct.empty, duplicated, len(rows)),
    )


def _file_rows(path: Path) -> Iterator[_Row]:
    kind = Path(path.name.removesuffix(".gz")).suffix
    readers = {".txt": _text_rows, ".tsv": _tsv_rows, ".jsonl": _beir_rows}
    if kind not in readers:
        raise DataError(f"{path}: expected a name that ends in .txt, .tsv or .jsonl, with or without .gz")
    return readers[kind](path)


def _text_rows(path: Path) -> Iterator[_Row]:
    for number, line in enumerate(text_lines(path, errors="replace"), start=1):
        yield _Row(str(number), line)


def _tsv_rows(path: Path) -> Iterator[_Row]:
    for number, line in enumerate(text_lines(path), start=1):
        query_id, tab, text = line.rstrip("\r\n").partition("\t")
        if line.strip() and not (tab and query_id):
            raise DataError(f"{path}:{number}: expected 'id<TAB>text'")
        yield _Row(query_id, text)


def _beir_rows(path: Path) -> Iterator[_Row]:
    for place, row in json_lines(path):
        text, source_id = row.get("text"), row.get("source_id")
        if not isinstance(text, str):
            raise DataError(f"{place}: expected an object with the strings '_id' and 'text'")
        yield _Row(id_in(row, place), text, source_id if isinstance(source_id, str) else None)


def _log_rows(path: Path, field_name: str | None) -> Iterator[_Row]:
    if field_name is None:
        yield from _text_rows(path)
        return
    for number, (_, row) in enumerate(json_lines(path, errors="replace"), start=1):
        text = row.get(field_name)
        yield _Row(str(number), text if isinstance(text, str) else "")
