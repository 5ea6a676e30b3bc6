"""The records that the verbs share, and readers for the file formats of the field.

Collections follow the BEIR layout: ``corpus.jsonl`` (``_id``, ``title``, ``text``), ``queries.jsonl``
(``_id``, ``text``) and ``qrels.tsv`` (``query-id``, ``corpus-id``, ``score``); ``.gz`` files are
read as they are.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ce2de_os.errors import DataError


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
    """Stream a ``corpus.jsonl`` (``_id``, ``text``, optional ``title``).

    Raises:
        DataError: the file cannot be read, or a line lacks ``_id`` or ``text``; the message names both.
    """
    for place, row in json_lines(path):
        yield Document(_text(row, "_id", place), str(row.get("title") or ""), _text(row, "text", place))


def read_queries(path: Path) -> Iterator[Query]:
    """Stream a ``queries.jsonl`` (``_id``, ``text``); raises `DataError` like `read_documents`."""
    for place, row in json_lines(path):
        yield Query(_text(row, "_id", place), _text(row, "text", place))


def read_qrels(path: Path) -> Iterator[Qrel]:
    """Stream judgments: a ``qrels.tsv``, its header line or not, or TREC's four columns.

    TREC's are ``query-id 0 doc-id relevance``; the second one means nothing.

    Raises:
        DataError: like `read_documents`.
    """
    for number, line in enumerate(text_lines(path), start=1):
        if number == 1 and line.startswith("query-id"):
            continue
        columns = line.rstrip("\n").split("\t")
        if len(columns) != 3 and len(line.split()) == 4:
            query_id, _, *rest = line.split()
            columns = [query_id, *rest]
        if len(columns) != 3 or not columns[2].lstrip("-").isdigit():
            raise DataError(
                f"{path}:{number}: expected 'query-id<TAB>corpus-id<TAB>score', or TREC's "
                "'query-id 0 doc-id relevance'"
            )
        yield Qrel(columns[0], columns[1], int(columns[2]))


def text_lines(path: Path, errors: str = "strict") -> Iterator[str]:
    """Stream the lines of a UTF-8 file, ``.gz`` or not; ``errors`` is passed to ``open``.

    Raises:
        DataError: the file cannot be opened, or is damaged somewhere.
    """
    open_text = gzip.open if path.suffix == ".gz" else open
    try:
        with open_text(path, "rt", encoding="utf-8", errors=errors) as lines:
            yield from lines
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: {reason}; expected UTF-8 text, packed with gzip if named .gz") from error


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
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: expected an object, got {type(row).__name__}")
        yield f"{path}:{number}", row


def _text(row: dict[str, Any], key: str, place: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise DataError(f"{place}: missing '{key}', or it is not a string")
    return value
