"""Judgments in the formats of BEIR, TREC, OpenSearch's Search Relevance Workbench and Quepid."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ce2de_os.errors import DataError
from ce2de_os.reading import parse_json
from ce2de_os.records import Query, read_qrels, read_queries, whole_number
from ce2de_os.ui.judging.records import query_id_of

HEADER = ["query", "docid", "rating"]
"""The columns of the CSV that Quepid and the Workbench share."""

Grades = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Format:
    """A format that the page writes.

    Attributes:
        name: for people.
        file: the name of the file.
        write: makes its text of queries by id and of grades.
    """

    name: str
    file: str
    write: Callable[[Mapping[str, str], Grades], str]


@dataclass(frozen=True)
class Upload:
    """What a file holds.

    Attributes:
        queries: queries with their texts.
        grades: query id, document and grade; the query's text is in ``queries``, or was known before.
    """

    queries: tuple[Query, ...]
    grades: tuple[tuple[str, str, int], ...]


def read_upload(name: str, content: bytes) -> Upload:
    """Read a file in any of the formats; its content says which one it is.

    Args:
        name: the file's name, for messages.
        content: JSON of the Workbench, JSON lines with queries, a CSV, or lines of BEIR or TREC.

    Raises:
        DataError: it is in none of them, or damaged.
    """
    text = _text(name, content)
    start = text.lstrip()
    if not start:
        raise DataError(f"{name}: the file is empty")
    first = start.partition("\n")[0].strip()
    if start.startswith("{") and _is_query(first):
        with _as_file(name, content) as path:
            return Upload(tuple(_renamed(name, path, lambda: read_queries(path))), ())
    if start.startswith(("{", "[")):
        return _workbench(name, parse_json(text, name))
    if [one.strip().lower() for one in next(csv.reader([first]))] == HEADER:
        return _ratings(name, text)
    with _as_file(name, content) as path:
        grades = tuple(
            (one.query_id, one.doc_id, one.relevance)
            for one in _renamed(name, path, lambda: read_qrels(path))
        )
    return Upload((), grades)


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 text (byte {error.start:,}); save it as UTF-8") from None


def _is_query(line: str) -> bool:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and "_id" in row


class _as_file:  # noqa: N801 - used as a context manager
    """Gives the readers of files the content of one."""

    def __init__(self, name: str, content: bytes) -> None:
        self._content = content

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory(prefix="ce2de-ui-")
        path = Path(self._folder.name) / "file"
        path.write_bytes(self._content)
        return path

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def _renamed(name: str, path: Path, read: Callable[[], Iterator[Any]]) -> list[Any]:
    try:
        return list(read())
    except DataError as error:
        raise DataError(str(error).replace(str(path), name)) from None


def _workbench(name: str, found: Any) -> Upload:  # noqa: ANN401 - any JSON
    """Read the Workbench's ``judgmentRatings``: the whole request, or the list alone."""
    for key in ("_source", "judgmentRatings"):
        found = found.get(key, found) if isinstance(found, dict) else found
    if not isinstance(found, list):
        raise DataError(f"{name}: JSON without a list 'judgmentRatings'; export it from the Workbench again")
    queries, grades = [], []
    for number, entry in enumerate(found, start=1):
        place = f"{name}: judgmentRatings {number}"
        if not isinstance(entry, dict) or not isinstance(entry.get("query"), str):
            raise DataError(f"{place}: got {entry!r:.60}, expected an object with 'query' and 'ratings'")
        query = Query(query_id_of(entry["query"].strip()), entry["query"].strip())
        queries.append(query)
        ratings = entry.get("ratings")
        for one in ratings if isinstance(ratings, list) else [ratings]:
            if not isinstance(one, dict) or not isinstance(one.get("docId"), str):
                raise DataError(f"{place}: got the rating {one!r:.60}, expected 'docId' and 'rating'")
            grades.append((query.query_id, one["docId"], _grade(one.get("rating"), place)))
    return Upload(tuple(dict.fromkeys(queries)), tuple(grades))


def _ratings(name: str, text: str) -> Upload:
    """Read the CSV; a query without ratings is a line with its text alone."""
    queries, grades = [], []
    rows = csv.reader(io.StringIO(text.lstrip()))
    try:
        next(rows)
        for row in rows:
            place = f"{name}:{rows.line_num}"
            if not any(row):
                continue
            if len(row) not in (1, 3) or not row[0].strip():
                raise DataError(f"{place}: got {len(row)} columns, expected {','.join(HEADER)}")
            query = Query(query_id_of(row[0].strip()), row[0].strip())
            queries.append(query)
            if len(row) == 3:
                grades.append((query.query_id, row[1], _grade(row[2], place)))
    except csv.Error as error:
        raise DataError(f"{name}:{rows.line_num}: not CSV: {error}") from None
    return Upload(tuple(dict.fromkeys(queries)), tuple(grades))


def _grade(value: object, place: str) -> int:
    grade = whole_number(str(value)) if isinstance(value, str | int | float) else None
    if grade is None or grade < 0:
        raise DataError(f"{place}: the rating is {value!r:.40}, expected a whole number of at least 0")
    return grade


def _qrels(queries: Mapping[str, str], grades: Grades) -> str:
    lines = [
        f"{query}\t{doc}\t{grade}\n" for query, judged in grades.items() for doc, grade in judged.items()
    ]
    return "query-id\tcorpus-id\tscore\n" + "".join(lines)


def _queries(queries: Mapping[str, str], grades: Grades) -> str:
    rows = ({"_id": query_id, "text": text} for query_id, text in queries.items())
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def _trec(queries: Mapping[str, str], grades: Grades) -> str:
    for name in [*grades, *(doc for judged in grades.values() for doc in judged)]:
        if len(name.split()) != 1:
            raise DataError(f"the id '{name:.60}' has white space in it; TREC's files cannot hold it")
    return "".join(
        f"{query} 0 {doc} {grade}\n" for query, judged in grades.items() for doc, grade in judged.items()
    )


def _csv(queries: Mapping[str, str], grades: Grades) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    for text, doc, grade in _by_text(queries, grades):
        writer.writerow([text, doc, grade])
    return file.getvalue()


def _workbench_json(queries: Mapping[str, str], grades: Grades) -> str:
    entries: dict[str, list[dict[str, str]]] = {}
    for text, doc, grade in _by_text(queries, grades):
        entries.setdefault(text, []).append({"docId": doc, "rating": str(grade)})
    body = {
        "name": "ce2de",
        "description": "Judgments made with ce2de ui",
        "type": "IMPORT_JUDGMENT",
        "judgmentRatings": [{"query": text, "ratings": ratings} for text, ratings in entries.items()],
    }
    return json.dumps(body, ensure_ascii=False, indent=1) + "\n"


def _by_text(queries: Mapping[str, str], grades: Grades) -> Sequence[tuple[str, str, int]]:
    missing = next((query_id for query_id in grades if query_id not in queries), None)
    if missing is not None:
        raise DataError(f"query '{missing:.60}' has judgments but no text; import its queries.jsonl too")
    return [(queries[query], doc, grade) for query, judged in grades.items() for doc, grade in judged.items()]


FORMATS = {
    "qrels": Format("BEIR, judgments", "qrels.tsv", _qrels),
    "queries": Format("BEIR, queries", "queries.jsonl", _queries),
    "trec": Format("TREC qrels", "qrels.txt", _trec),
    "csv": Format("Quepid or Workbench, CSV", "ratings.csv", _csv),
    "workbench": Format("Workbench, JSON", "judgments.json", _workbench_json),
}
