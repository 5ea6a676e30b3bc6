"""Judgments in a local file: one JSON object a line, only ever appended to."""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.reading import parse_json, read_bytes
from ce2de_os.records import Query
from ce2de_os.ui.judging.records import Judgment, check_queries, judgment_of

MOST_BYTES = 2**30
FORMAT = "ce2de judgments 1"


class FileJudgments:
    """Keeps the judgments of one collection in a file, made with the first of them, and in memory.

    The first line names the collection. A last line that was cut by a crash does not count.

    Raises:
        ConfigError: another process uses the file.
        DataError: it cannot be read, or is no file of judgments.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._collection: str | None = None
        self._cut = False  # whether the file ends in the middle of a line
        self._queries: dict[str, Query] = {}
        self._judgments: dict[str, Judgment] = {}
        self._lock = Lock()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{path}: another 'ce2de ui' uses this file; stop it, or name another file"
            ) from None
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from error
        self._load()

    @property
    def place(self) -> str:
        """The file."""
        return str(self._path)

    def queries(self, collection: str) -> list[Query]:
        """Return the queries, in the order in which they came."""
        self._check(collection)
        return list(self._queries.values())

    def add_queries(self, collection: str, queries: Sequence[Query]) -> None:
        """Add queries; those with an id that is there already stay as they are."""
        with self._lock:
            self._check(collection)
            new = check_queries(list(self._queries.values()), queries)
            self._append(collection, [{"query_id": one.query_id, "text": one.text} for one in new])
            self._queries |= {one.query_id: one for one in new}

    def put(self, judgments: Sequence[Judgment]) -> None:
        """Write judgments to the disk; older ones than those that are kept change nothing."""
        with self._lock:
            for one in judgments:
                self._check(one.collection)
            new = [one for one in judgments if self._is_new(one)]
            if new:
                self._append(new[0].collection, [_row(one) for one in new])
            for one in new:
                self._judgments[one.key] = one

    def of_query(self, collection: str, query_id: str) -> list[Judgment]:
        """Return all judges' judgments of a query."""
        return [one for one in self.all(collection) if one.query_id == query_id]

    def all(self, collection: str) -> Iterable[Judgment]:
        """Return all judgments."""
        self._check(collection)
        return [one for one in list(self._judgments.values()) if one.grade is not None]

    def counts(self, collection: str, judge: str) -> Mapping[str, int]:
        """Count a judge's judgments by query."""
        return Counter(one.query_id for one in self.all(collection) if one.judge == judge)

    def _check(self, collection: str) -> None:
        if self._collection not in (None, collection):
            raise DataError(
                f"{self._path}: holds judgments of '{self._collection}', not of '{collection:.100}'; "
                "name another file in `judgments`"
            )

    def _is_new(self, judgment: Judgment) -> bool:
        kept = self._judgments.get(judgment.key)
        return kept is None or (kept.at_ms <= judgment.at_ms and kept != judgment)

    def _append(self, collection: str, rows: Sequence[Mapping[str, Any]]) -> None:
        head = [] if self._collection else [{"format": FORMAT, "collection": collection}]
        text = "".join(f"{json.dumps(row)}\n" for row in (*head, *rows))
        try:
            if os.fstat(self._file).st_size and self._cut:
                text = f"\n{text}"  # ends the line that a crash left
                self._cut = False
            _write(self._file, text.encode())
        except OSError as error:
            raise DataError(f"{self._path}: cannot be written ({error.strerror})") from error
        self._collection = collection

    def _load(self) -> None:
        content = read_bytes(self._path, MOST_BYTES)
        self._cut = bool(content) and not content.endswith(b"\n")
        lines = content.split(b"\n")[:-1]
        for number, line in enumerate(lines, start=1):
            try:
                row = parse_json(line.decode("utf-8"), f"{self._path}:{number}")
            except (DataError, UnicodeDecodeError):
                if number == 1:
                    raise self._no_judgments() from None
                continue  # cut by a crash, and ended when the next one was written
            self._take(row, number)

    def _take(self, row: Any, number: int) -> None:  # noqa: ANN401 - any JSON
        if number == 1:
            if (
                not isinstance(row, dict)
                or row.get("format") != FORMAT
                or not isinstance(row.get("collection"), str)
            ):
                raise self._no_judgments()
            self._collection = row["collection"]
        elif isinstance(row, dict) and isinstance(row.get("text"), str):
            query = Query(str(row.get("query_id")), row["text"])
            self._queries.setdefault(query.query_id, query)
        elif isinstance(row, dict):
            judgment = judgment_of({**row, "collection": self._collection})
            if self._is_new(judgment):
                self._judgments[judgment.key] = judgment

    def _no_judgments(self) -> DataError:
        return DataError(f"{self._path}: not a file of judgments that 'ce2de ui' wrote; name another file")


def _row(judgment: Judgment) -> dict[str, Any]:
    names = ("query_id", "doc_id", "judge", "grade", "at_ms")
    return {name: getattr(judgment, name) for name in names}


def _write(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]
    os.fsync(file)
