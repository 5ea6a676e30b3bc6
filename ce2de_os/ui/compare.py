"""Compare: ask all columns at the same time, and say where each document moved."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from ce2de_os.errors import Ce2deError
from ce2de_os.index.documents import document_text
from ce2de_os.records import Hit
from ce2de_os.search.question import Question, QuestionOptions
from ce2de_os.search.result import SearchResult, Timings
from ce2de_os.ui.columns import Column, View
from ce2de_os.ui.errors import said
from ce2de_os.ui.models import Fields, Searchers

MOST_CHARS = 400
"""Characters of a document's text, where no word of it is marked."""

TITLE_CHARS = 200
MOST_IDS = 1000
FRAGMENT = {"fragment_size": 160, "number_of_fragments": 2}
HIGHLIGHT_CHARS = 200_000
"""Characters of a field in which words are marked; OpenSearch fails on more than a million."""

# Around marked words in OpenSearch's answer; no document can contain them.
_OPEN, _CLOSE = (f"{secrets.token_hex(8)}{sign}" for sign in "()")


@dataclass(frozen=True)
class RankedHit:
    """A hit as a column shows it.

    Attributes:
        hit: the hit.
        title: its title, words marked.
        texts: snippets of its text, words marked.
        others: its rank in each other column, by the column's number; ``None``: it is not there.
        move: places that it rose against the first column; ``None``: it is not there, or this is the first.
    """

    hit: Hit
    title: Markup
    texts: tuple[Markup, ...]
    others: Mapping[int, int | None]
    move: int | None = None

    @property
    def key(self) -> str:
        """The same for one document in all columns."""
        return f"{self.hit.index_name}/{self.hit.doc_id}"


@dataclass(frozen=True)
class ColumnAnswer:
    """The answer of one column.

    Attributes:
        column: what was asked.
        rows: best first.
        finding: what went wrong; ``""``: nothing.
        action: what to do about it.
        notes: what the reader must know about the answer.
        timings: where the time went; ``None``: there is no answer.
        total_ms: from the question to the answer.
    """

    column: Column
    rows: tuple[RankedHit, ...] = ()
    finding: str = ""
    action: str = ""
    notes: tuple[str, ...] = ()
    timings: Timings | None = None
    total_ms: float = 0.0


class Comparer:
    """Asks the columns of a view at the same time."""

    def __init__(self, searchers: Searchers, threads: int = 16) -> None:
        self._searchers = searchers
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="column")

    def compare(self, view: View) -> list[ColumnAnswer]:
        """Return the answer of each column, in their order; a column that fails says why."""
        if not view.question:
            return [ColumnAnswer(column) for column in view.columns]
        found = list(self._threads.map(lambda column: self._ask(view, column), view.columns))
        return with_moves(found)

    def by_ids(self, index: str, doc_ids: Sequence[str]) -> list[RankedHit]:
        """Return documents by their ids, as far as the index has them; at most 1,000.

        Raises:
            BackendError: OpenSearch does not answer, or rejects the request.
        """
        fields = self._searchers.fields(index)
        wanted = list(doc_ids)[:MOST_IDS]
        question = Question(
            "", mode="bm25", top_k=MOST_IDS, lexical={"ids": {"values": wanted}}, rerank_depth=0
        )
        found = self._searchers.searcher(index, "").search(question, source=fields.all)
        return [row_of(hit, fields) for hit in found]

    def _ask(self, view: View, column: Column) -> ColumnAnswer:
        try:
            index = column.index or view.index
            question = view.asked(column)
            fields = self._searchers.fields(index)
            searcher = self._searchers.searcher(index, column.model)
            begun = time.perf_counter()
            result = searcher.search(question, **asked_for(fields))
            total_ms = 1000 * (time.perf_counter() - begun)
        except Ce2deError as error:
            return ColumnAnswer(column, (), *said(error))
        rows = tuple(row_of(hit, fields) for hit in result)
        return ColumnAnswer(column, rows, notes=_notes(result), timings=result.timings, total_ms=total_ms)


def with_moves(rankings: Sequence[ColumnAnswer]) -> list[ColumnAnswer]:
    """Add to each row its ranks in the other columns, and its move against the first."""
    ranks = [{row.key: row.hit.rank for row in one.rows} for one in rankings]

    def moved(number: int, row: RankedHit) -> RankedHit:
        others = {place: ranks[place].get(row.key) for place in range(len(ranks)) if place != number}
        before = ranks[0].get(row.key)
        return replace(row, others=others, move=before - row.hit.rank if number and before else None)

    return [
        replace(one, rows=tuple(moved(number, row) for row in one.rows))
        for number, one in enumerate(rankings)
    ]


def asked_for(fields: Fields) -> QuestionOptions:
    """Return what a column asks of each hit: the fields that it shows, and where to mark words."""
    highlight = {
        "fields": {name: {} for name in fields.all},
        "pre_tags": [_OPEN], "post_tags": [_CLOSE],
        "max_analyzer_offset": HIGHLIGHT_CHARS, **FRAGMENT,
    }  # fmt: skip
    return {"highlight": highlight, "source": fields.all}


def row_of(hit: Hit, fields: Fields) -> RankedHit:
    """Make what a page shows of a hit."""
    marked = hit.highlight or {}
    title = marked.get(fields.title) or [document_text(hit.source, [fields.title])[:TITLE_CHARS]]
    texts = [text for name in fields.texts if name != fields.title for text in marked.get(name, ())]
    if not texts and hit.passage is None:
        others = [name for name in fields.texts if name != fields.title]
        texts = [document_text(hit.source, others)[:MOST_CHARS]]
    shown = tuple(markup(text) for text in texts[:3] if text)
    return RankedHit(hit, markup(" … ".join(title)) or Markup.escape(hit.doc_id), shown, {})


def markup(text: str) -> Markup:
    """Escape a text of a document, and mark the words that OpenSearch marked."""
    return escape(text).replace(escape(_OPEN), Markup("<mark>")).replace(escape(_CLOSE), Markup("</mark>"))


def _notes(result: SearchResult) -> tuple[str, ...]:
    notes = []
    if result.timed_out:
        notes.append("not complete: the time was over")
    notes += [f"not complete: {failure}" for failure in result.failures]
    if result.reranked < result.rerank_wanted:
        notes.append(f"{result.reranked} of {result.rerank_wanted} hits were scored again in time")
    return tuple(notes)
