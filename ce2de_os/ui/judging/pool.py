"""Pool: what any of several systems finds for a query, in an order that favors none of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ce2de_os.errors import Ce2deError
from ce2de_os.records import Query
from ce2de_os.ui.columns import Column, View, defaults
from ce2de_os.ui.compare import Comparer, RankedHit
from ce2de_os.ui.judging.records import Judgment

DEPTH = 10
"""Hits that each system gives to the pool."""


@dataclass(frozen=True)
class Pooled:
    """A document of the pool.

    Attributes:
        row: the document as a column shows it.
        grade: this judge's grade; ``None``: none yet.
    """

    row: RankedHit
    grade: int | None


@dataclass(frozen=True)
class Pool:
    """The documents to judge for a query, and the systems that could not be asked.

    Attributes:
        documents: in an order that says nothing about their ranks.
        failures: what went wrong, and what to do, once for each reason.
    """

    documents: tuple[Pooled, ...]
    failures: tuple[tuple[str, str], ...]


def systems(has_reranker: bool) -> Sequence[Column]:
    """Return the systems whose hits are pooled."""
    return (*defaults(has_reranker), Column("rrf"))


def pool(
    comparer: Comparer,
    collection: str,
    query: Query,
    judgments: Sequence[Judgment],
    judge: str,
    has_reranker: bool,
) -> Pool:
    """Ask every system, and add the documents that were judged before."""
    view = View(collection, query.text, DEPTH, columns=tuple(systems(has_reranker)))
    answers = comparer.compare(view)
    found = {row.hit.doc_id: row for answer in answers for row in answer.rows}
    failures = dict.fromkeys((one.finding, one.action) for one in answers if one.finding)
    judged = {one.doc_id for one in judgments} - set(found)
    if judged and found:
        try:
            found |= {row.hit.doc_id: row for row in comparer.by_ids(collection, sorted(judged))}
        except Ce2deError as error:
            failures |= {error.parts: None}
    ordered = sorted(found.values(), key=lambda row: _place(query.query_id, row.hit.doc_id))
    documents = tuple(Pooled(row, graded(row, judgments, judge)) for row in ordered)
    return Pool(documents, tuple(failures))


def graded(row: RankedHit, judgments: Sequence[Judgment], judge: str) -> int | None:
    """Return a judge's grade of a hit; ``None``: none yet."""
    return next((one.grade for one in judgments if (one.doc_id, one.judge) == (row.hit.doc_id, judge)), None)


def _place(query_id: str, doc_id: str) -> str:
    return hashlib.sha256(f"{query_id}\0{doc_id}".encode("utf-8", "surrogatepass")).hexdigest()
