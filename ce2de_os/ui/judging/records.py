"""What a person says of a result, and where that is kept."""

from __future__ import annotations

import hashlib
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import TYPE_CHECKING, Any, Protocol

from ce2de_os.errors import DataError
from ce2de_os.records import Query

if TYPE_CHECKING:
    from ce2de_os.evaluation import Judged

GRADES = {0: "wrong", 1: "related", 2: "good", 3: "exactly right"}
"""The grades that the page gives; a file may have higher ones."""

MOST_GRADE = 999_999
MOST_QUERIES = 10_000
MOST_QUERY_CHARS = 10_000
MOST_ID_BYTES = 512
_JUDGE = re.compile(r"[\w.@ -]{1,60}")
_DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class Judgment:
    """The grade that one judge gave one document for one query.

    Attributes:
        collection: the index or alias that was judged.
        query_id: the query's id in this collection.
        doc_id: the document's ``_id``.
        judge: who judged.
        grade: 0 is not relevant; ``None``: the judgment was taken back.
        at_ms: when, by the judge's clock; the newest one counts.
    """

    collection: str
    query_id: str
    doc_id: str
    judge: str
    grade: int | None
    at_ms: int

    @property
    def key(self) -> str:
        """Names the judgment; a newer one with this name takes its place."""
        parts = [self.collection, self.query_id, self.doc_id, self.judge]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:40]

    def check(self) -> None:
        """Check every value.

        Raises:
            DataError: one cannot be kept.
        """
        check_judge(self.judge)
        for name, value in (("query", self.query_id), ("document", self.doc_id)):
            if not value or len(value.encode("utf-8", "surrogatepass")) > MOST_ID_BYTES:
                raise DataError(
                    f"the {name}'s id is empty or longer than {MOST_ID_BYTES} bytes: {value!r:.60}"
                )
        grade = self.grade
        if grade is not None and (not isinstance(grade, int) or not 0 <= grade <= MOST_GRADE):
            raise DataError(f"the grade: got {grade!r:.40}, expected a whole number from 0 to {MOST_GRADE:,}")
        if not 0 < self.at_ms <= now_ms() + _DAY_MS:
            raise DataError(f"the time of a judgment: got {self.at_ms}; set the clock of this computer")


class Judgments(Protocol):
    """Where judgments are kept. Every method raises `BackendError` or `DataError` where it cannot."""

    @property
    def place(self) -> str:
        """The place, for people."""

    def queries(self, collection: str) -> list[Query]:
        """Return the queries of a collection, in the order in which they came."""

    def add_queries(self, collection: str, queries: Sequence[Query]) -> None:
        """Add queries; those with an id that is there already stay as they are."""

    def put(self, judgments: Sequence[Judgment]) -> None:
        """Keep judgments for good before this returns; older ones than those that are kept change nothing."""

    def of_query(self, collection: str, query_id: str) -> list[Judgment]:
        """Return all judges' judgments of a query, without those that were taken back."""

    def all(self, collection: str) -> Iterable[Judgment]:
        """Return all judgments of a collection, without those that were taken back."""

    def counts(self, collection: str, judge: str) -> Mapping[str, int]:
        """Count a judge's judgments by query."""


def now_ms() -> int:
    """Return this machine's time."""
    return int(time.time() * 1000)


def check_judge(name: str) -> None:
    """Raise `DataError` for a name that no judge can have."""
    if not _JUDGE.fullmatch(name) or name != name.strip():
        raise DataError(
            f"the judge: got {name!r:.80}, expected 1 to 60 letters, digits, spaces, dots, hyphens or @"
        )


def query_id_of(text: str) -> str:
    """Name a query that has no id of its own by its text."""
    return f"q-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def query_for(store: Judgments, collection: str, text: str) -> Query:
    """Return the query with this text; add it if there is none.

    Raises:
        DataError: the text is empty or too long, or there are too many queries.
    """
    found = next((query for query in store.queries(collection) if query.text == text), None)
    if found is None:
        found = Query(query_id_of(text), text)
        store.add_queries(collection, [found])
    return found


def check_queries(known: Sequence[Query], queries: Sequence[Query]) -> list[Query]:
    """Return the queries that are new.

    Raises:
        DataError: one is empty or too long, an id has two texts, or there are too many.
    """
    texts = {query.query_id: query.text for query in known}
    new = []
    for query in queries:
        if not query.text.strip() or len(query.text) > MOST_QUERY_CHARS:
            raise DataError(
                f"query '{query.query_id:.60}': got {len(query.text):,} characters, expected 1 to "
                f"{MOST_QUERY_CHARS:,}"
            )
        before = texts.get(query.query_id)
        if before is not None and before != query.text:
            raise DataError(
                f"query '{query.query_id:.60}' is '{query.text:.60}', but '{before:.60}' in what is kept; "
                "these belong to other queries: choose another collection, or other ids"
            )
        if before is None:
            texts[query.query_id] = query.text
            new.append(query)
    if len(texts) > MOST_QUERIES:
        raise DataError(
            f"got {len(texts):,} queries, expected at most {MOST_QUERIES:,}; take a sample of them"
        )
    return new


def judgment_of(row: Mapping[str, Any]) -> Judgment:
    """Read a judgment that was kept, or that a browser sent.

    Raises:
        DataError: a value is missing, or of the wrong kind.
    """
    values: dict[str, Any] = {}
    for name in ("collection", "query_id", "doc_id", "judge"):
        values[name] = row.get(name)
        if not isinstance(values[name], str):
            raise DataError(f"a judgment: {name}: got {row.get(name)!r:.60}, expected a text")
    grade, at_ms = row.get("grade"), row.get("at_ms")
    if isinstance(grade, bool) or not isinstance(grade, int | None):
        raise DataError(f"a judgment: grade: got {grade!r:.60}, expected a whole number")
    if isinstance(at_ms, bool) or not isinstance(at_ms, int):
        raise DataError(f"a judgment: at_ms: got {at_ms!r:.60}, expected a whole number")
    return Judgment(**values, grade=grade, at_ms=at_ms)


def merged(judgments: Iterable[Judgment], judge: str = "") -> dict[str, dict[str, int]]:
    """Return one grade for each query and document: one judge's, or the lower median of all judges'."""
    grades: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in judgments:
        if one.grade is not None and judge in ("", one.judge):
            grades[one.query_id, one.doc_id].append(one.grade)
    found: dict[str, dict[str, int]] = {}
    for (query_id, doc_id), several in sorted(grades.items()):
        found.setdefault(query_id, {})[doc_id] = median_low(several)
    return found


def judged(store: Judgments, collection: str, judge: str = "") -> Judged:
    """Return the queries that have a relevant document, and their judgments, for an evaluation.

    Raises:
        DataError: there is none.
    """
    from ce2de_os.evaluation import Judged  # takes two seconds, which the first page need not wait for

    qrels = {
        query_id: grades
        for query_id, grades in merged(store.all(collection), judge).items()
        if max(grades.values()) > 0
    }
    texts = {query.query_id: query.text for query in store.queries(collection)}
    queries = {query_id: text for query_id, text in texts.items() if query_id in qrels}
    if not queries:
        raise DataError(
            f"{collection}: no query has a document with a grade above 0; judge some, or import judgments"
        )
    without = tuple(query_id for query_id in qrels if query_id not in queries)
    return Judged(queries, {query_id: qrels[query_id] for query_id in queries}, without)
