"""The records that travel between verbs, and readers for the file formats of the field.

Collections follow the BEIR layout: ``corpus.jsonl`` (``_id``, ``title``, ``text``), ``queries.jsonl``
(``_id``, ``text``) and ``qrels.tsv`` (``query-id``, ``corpus-id``, ``score``); ``.gz`` files are
read as they are.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ce2de_os.errors import DataError


class Document(NamedTuple):
    """A document of a collection."""

    doc_id: str
    title: str
    text: str


class Query(NamedTuple):
    """A query of a collection."""

    query_id: str
    text: str


class Qrel(NamedTuple):
    """A relevance judgement; ``relevance`` 0 means judged and not relevant."""

    query_id: str
    doc_id: str
    relevance: int


class ScoredDoc(NamedTuple):
    """A ranked document: a higher ``score`` is better."""

    doc_id: str
    score: float


class Leg(NamedTuple):
    """What one leg of a hybrid search said of a document: its raw score and its rank, counted from 1."""

    score: float
    rank: int


class Hit(NamedTuple):
    """A search result.

    ``bm25`` and ``dense`` are ``None`` where that leg was not asked or did not return the document among its
    candidates. ``source`` never holds vectors.
    """

    doc_id: str
    score: float
    rank: int
    source: dict[str, Any]
    bm25: Leg | None
    dense: Leg | None

    def to_json(self) -> dict[str, Any]:
        """The hit as ``--json`` prints it, its legs as objects."""
        legs = {name: leg and leg._asdict() for name, leg in (("bm25", self.bm25), ("dense", self.dense))}
        return {**self._asdict(), **legs}


def read_documents(path: Path) -> Iterator[Document]:
    """Stream a ``corpus.jsonl`` (``_id``, ``text``, optional ``title``).

    Raises:
        DataError: the file cannot be read, or a line lacks ``_id`` or ``text``; the message names both.
    """
    for place, row in _json_lines(path):
        yield Document(_text(row, "_id", place), str(row.get("title") or ""), _text(row, "text", place))


def read_queries(path: Path) -> Iterator[Query]:
    """Stream a ``queries.jsonl`` (``_id``, ``text``); raises `DataError` like `read_documents`."""
    for place, row in _json_lines(path):
        yield Query(_text(row, "_id", place), _text(row, "text", place))


def read_qrels(path: Path) -> Iterator[Qrel]:
    """Stream a ``qrels.tsv`` with its header line; raises `DataError` like `read_documents`."""
    with _open(path) as lines:
        for number, line in enumerate(lines, start=1):
            if number == 1 and line.startswith("query-id"):
                continue
            columns = line.rstrip("\n").split("\t")
            if len(columns) != 3 or not columns[2].lstrip("-").isdigit():
                raise DataError(f"{path}:{number}: expected 'query-id<TAB>corpus-id<TAB>score'")
            yield Qrel(columns[0], columns[1], int(columns[2]))


def _open(path: Path) -> TextIO:
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8")
        return path.open(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with _open(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}:{number}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: expected a JSON object, got {type(row).__name__}")
            yield f"{path}:{number}", row


def _text(row: dict[str, Any], key: str, place: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise DataError(f"{place}: missing '{key}', or it is not a string")
    return value
