"""The records that the verbs share, and readers for the file formats of the field.

Collections follow the BEIR layout: ``corpus.jsonl`` (``_id``, ``title``, ``text``), ``queries.jsonl``
(``_id``, ``text``) and ``qrels.tsv`` (``query-id``, ``corpus-id``, ``score``); files packed with gzip are
read as they are.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ce2de_os.errors import DataError
from ce2de_os.reading import plain_file, readable

_BOM = "\ufeff"
_GZIP = b"\x1f\x8b"
LINE_CHARS = 100_000_000
"""Most characters of a line; OpenSearch takes no larger document, unless it is configured to."""

_SAFE_BYTES = 16_000_000  # to unpack whatever the ratio
_MOST_RATIO = 250  # of a file's unpacked to its packed size; gzip can reach 1,030
_DIGITS = 6  # of a grade: what every tool of the field adds up without an overflow
_WHOLE = re.compile(rf"\s*([+-]?[0-9]{{1,{_DIGITS}}})(?:\.0*)?\s*")
# Letters and digits of what people call the columns of judgments.
_GRADE_NAMES = frozenset({
    "score", "relevance", "rel", "grade", "label", "judgment", "judgement", "rating", "qrel",
    "relevancescore", "relevancegrade", "relevancelabel",
})  # fmt: skip
_DOCUMENT_NAMES = frozenset({
    "corpusid", "docid", "docno", "doc", "document", "documentid", "did", "pid", "passageid",
})  # fmt: skip


class Document(NamedTuple):
    """A document of a collection."""

    doc_id: str
    title: str
    text: str

    @property
    def whole(self) -> str:
        """Title and text, joined by ``". "``; the text alone where there is no title."""
        return f"{self.title}. {self.text}".removeprefix(". ")


class Query(NamedTuple):
    """A query of a collection."""

    query_id: str
    text: str


class Qrel(NamedTuple):
    """A relevance judgment; ``relevance`` 0 means judged and not relevant."""

    query_id: str
    doc_id: str
    relevance: int


class ScoredDoc(NamedTuple):
    """A ranked document: a higher ``score`` is better."""

    doc_id: str
    score: float


class Leg(NamedTuple):
    """The result of one leg of a hybrid search for a document: its raw score and its rank, counted from 1."""

    score: float
    rank: int


class Passage(NamedTuple):
    """The part of a document that fits a query best.

    ``start`` and ``end`` are character offsets into the document's text: the values of the embedded fields,
    one to a line. ``score`` is the dense leg's.
    """

    text: str
    start: int
    end: int
    score: float


class Hit(NamedTuple):
    """A search result.

    Attributes:
        doc_id: the document's id.
        score: the score that ranked it: fused, or the one leg's; 0 where the user's own sort did.
        rank: its place, counted from 1 over all pages.
        source: its fields; never vectors.
        bm25: the result of the lexical leg; ``None`` if it did not run, or did not return the document
            among its candidates.
        dense: the same of the dense leg.
        index_name: the physical index that holds it.
        logit: the reranker's, where it scored the hit; it then ranks before ``score``, or both together do.
        passage: the passage that fits best, where the index has passages.
        highlight: marked snippets by field, if requested.
        sort: the values that it was sorted by, where the user gave a sort.
    """

    doc_id: str
    score: float
    rank: int
    source: dict[str, Any]
    bm25: Leg | None
    dense: Leg | None
    index_name: str = ""
    logit: float | None = None
    passage: Passage | None = None
    highlight: Mapping[str, list[str]] | None = None
    sort: list[Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the hit as JSON values, its legs and its passage as objects."""
        parts = {name: getattr(self, name) for name in ("bm25", "dense", "passage")}
        return {**self._asdict(), **{name: part and part._asdict() for name, part in parts.items()}}


def read_documents(path: Path) -> Iterator[Document]:
    """Stream a ``corpus.jsonl`` (``_id``, ``text``, optional ``title``); an ``_id`` may be a whole number.

    Raises:
        DataError: the file cannot be read, or a line lacks ``_id`` or ``text``; the message names both.
    """
    for place, row in json_lines(path):
        title = "" if row.get("title") is None else _text(row, "title", place)
        yield Document(id_in(row, place), readable(title), readable(_text(row, "text", place)))


def read_queries(path: Path) -> Iterator[Query]:
    """Stream a ``queries.jsonl`` (``_id``, ``text``); raises `DataError` like `read_documents`."""
    for place, row in json_lines(path):
        yield Query(id_in(row, place), readable(_text(row, "text", place)))


def read_qrels(path: Path) -> Iterator[Qrel]:
    """Stream judgments: a ``qrels.tsv``, its header line or not, or TREC's four columns.

    TREC's are ``query-id 0 doc-id relevance``; the second one means nothing. Blank lines are skipped.

    Raises:
        DataError: the file cannot be read, or a line has other columns or a grade that is no whole number.
    """
    first = True
    for number, line in enumerate(text_lines(path), start=1):
        if not line.strip():
            continue
        query_id, doc_id, grade = _judgment_columns(line, f"{path}:{number}")
        if not (first and _is_header(query_id, grade, f"{path}:{number}")):
            yield Qrel(query_id, doc_id, _grade(grade, f"{path}:{number}"))
        first = False


def text_lines(path: Path, errors: str = "strict") -> Iterator[str]:
    """Stream the lines of a UTF-8 file, packed with gzip or not; a byte order mark is left out.

    ``errors`` is what ``open`` makes of bytes that are not UTF-8.

    Raises:
        DataError: the file cannot be opened, is no plain file, is damaged somewhere, is no UTF-8 text, has
            a line of more than `LINE_CHARS`, or unpacks to far more than texts do.
    """
    try:
        with plain_file(path) as raw, _unpacked(path, raw) as binary:
            if binary.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise DataError(f"{path}: got UTF-16 text, expected UTF-8; save the file again as UTF-8")
            with io.TextIOWrapper(binary, encoding="utf-8", errors=errors) as lines:
                read = iter(partial(lines.readline, LINE_CHARS + 1), "")
                for number, line in enumerate(read, start=1):
                    if errors == "strict" and "\0" in line:
                        raise DataError(f"{path}:{number}: got a zero byte, expected UTF-8 text")
                    if len(line) > LINE_CHARS:
                        raise DataError(
                            f"{path}:{number}: got a line of more than {LINE_CHARS:,} characters; split it"
                        )
                    yield line.removeprefix(_BOM)  # files put together have more than one
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: {reason}; expected UTF-8 text, packed with gzip or not") from error


def json_lines(path: Path, errors: str = "strict") -> Iterator[tuple[str, dict[str, Any]]]:
    """Stream the objects of a JSON-lines file, each with its place ``file:line``; blank lines are skipped.

    Raises:
        DataError: the file cannot be read, or a line holds no JSON object.
    """
    for number, line in enumerate(text_lines(path, errors), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: not JSON: {error}") from error
        except RecursionError as error:
            raise DataError(f"{path}:{number}: the JSON is nested too deeply") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: expected an object, got {type(row).__name__}")
        yield f"{path}:{number}", row


def id_in(row: Mapping[str, Any], place: str) -> str:
    """Return the ``_id`` of a row; a whole number becomes its digits.

    Raises:
        DataError: there is none, or it is empty or of another kind; the message begins with ``place``.
    """
    value = row.get("_id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(row, "_id", place, may_be_empty=False)


def whole_number(text: str) -> int | None:
    """Read a whole number, also written as ``1.0`` or ``+1``; ``None``: it is none, or too large."""
    found = _WHOLE.fullmatch(text)
    return int(found[1]) if found else None


@contextmanager
def _unpacked(path: Path, raw: io.BufferedReader) -> Iterator[io.BufferedReader[Any]]:
    """Unpack what gzip has packed; it is known by how it begins."""
    if raw.peek(2)[:2] != _GZIP:
        yield raw
        return
    with io.BufferedReader(_Unpacked(path, raw)) as unpacked:
        yield unpacked


class _Unpacked(io.RawIOBase):
    """Reads a gzip file as long as it unpacks to what texts do."""

    def __init__(self, path: Path, packed: io.BufferedReader) -> None:
        self._path, self._packed = path, packed
        self._file, self._size = gzip.GzipFile(fileobj=packed), 0

    def readable(self) -> bool:
        """Return that it is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Fill ``buffer``."""
        read = self._file.readinto(buffer)
        self._size += read
        if self._size > _SAFE_BYTES and self._size > _MOST_RATIO * self._packed.tell():
            raise DataError(
                f"{self._path}: unpacks to more than {_MOST_RATIO} times its size, as no text does; "
                "unpack it first if it is right"
            )
        return read


def _judgment_columns(line: str, place: str) -> tuple[str, str, str]:
    """Split a line into the ids of query and document and the grade."""
    columns = line.rstrip().split("\t")
    if len(columns) not in (3, 4) and len(line.split()) == 4:
        columns = line.split()
    if len(columns) not in (3, 4):
        raise DataError(
            f"{place}: got {len(columns)} columns between tabs, expected "
            "'query-id<TAB>corpus-id<TAB>score', or TREC's 'query-id 0 doc-id relevance'"
        )
    query_id, doc_id, grade = columns[0], *columns[-2:]
    if not query_id.strip() or not doc_id.strip():
        raise DataError(f"{place}: the id of the {'document' if query_id.strip() else 'query'} is empty")
    return query_id, doc_id, grade.strip()


def _is_header(first: str, last: str, place: str) -> bool:
    """Return whether a line names the columns; an order that is not ours is refused."""
    if _plain_name(last) not in _GRADE_NAMES:
        return False
    if _plain_name(first) in _DOCUMENT_NAMES:
        raise DataError(f"{place}: the first column is '{first}', expected the query's id; change the order")
    return True


def _grade(text: str, place: str) -> int:
    grade = whole_number(text)
    if grade is None:
        raise DataError(
            f"{place}: the grade is '{text:.40}', expected a whole number of at most {_DIGITS} digits"
        )
    return grade


def _plain_name(name: str) -> str:
    return "".join(char for char in name.lower() if char.isalnum())


def _text(row: Mapping[str, Any], key: str, place: str, *, may_be_empty: bool = True) -> str:
    if row.get(key) is None:
        raise DataError(f"{place}: missing '{key}', expected a string")
    value = row[key]
    if not isinstance(value, str):
        raise DataError(f"{place}: '{key}' is {value!r:.40}, expected a string")
    if not value and not may_be_empty:
        raise DataError(f"{place}: '{key}' is empty, expected a string")
    return value
