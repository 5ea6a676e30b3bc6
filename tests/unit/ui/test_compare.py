"""Columns, links and moves, without a server."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.datastructures import QueryParams

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.records import Hit
from ce2de_os.search.result import SearchResult, Timings
from ce2de_os.ui import compare
from ce2de_os.ui.columns import MOST, Column, View, defaults
from ce2de_os.ui.compare import Comparer, markup
from ce2de_os.ui.models import Fields


def view_of(link: str, index: str = "articles", *, has_reranker: bool = False) -> View:
    return View.of(QueryParams(link.partition("?")[2]), index, has_reranker=has_reranker)


def test_a_link_holds_the_whole_view() -> None:
    columns = (Column("bm25"), Column("rrf", "0.3", True, "other&index", "model@ab"), Column("dense"))
    view = View("articles", 'a "question" & more', 7, '{"term": {"lang": "en"}}', columns)
    assert view_of(view.link) == view


def test_a_view_without_columns_has_the_usual_ones() -> None:
    assert [one.name for one in view_of("/compare").columns] == ["BM25", "Vectors", "Hybrid, min_max 0.5"]
    assert [one.name for one in defaults(has_reranker=True)][-1] == "Hybrid, min_max 0.5 + CE"


def test_columns_are_added_and_removed_up_to_a_limit() -> None:
    assert len(view_of("/compare?way=bm25&add=1").columns) == 2
    assert [one.way for one in view_of("/compare?way=bm25&way=dense&remove=0").columns] == ["dense"]
    assert len(view_of("/compare?way=bm25&remove=0").columns) == 1
    assert len(view_of("/compare?way=bm25&remove=9").columns) == 1
    assert len(view_of("/compare?" + "way=bm25&" * 20 + "add=1").columns) == MOST


@pytest.mark.parametrize(
    ("column", "options"),
    [
        (Column("bm25"), {"mode": "bm25", "rerank_depth": 0}),
        (Column("dense", "0.9", True), {"mode": "dense"}),
        (Column("l2", "0.9"), {"mode": "hybrid", "fusion": "l2", "dense_weight": 0.9, "rerank_depth": 0}),
        (Column("rrf"), {"mode": "hybrid", "fusion": "rrf", "dense_weight": None, "rerank_depth": 0}),
    ],
)
def test_a_column_is_the_searcher_s_options(column: Column, options: dict[str, Any]) -> None:
    assert column.options == options


@pytest.mark.parametrize("filters", ['{"script": {}}', "[", '"text"', "[" * 100_000, '{"match_all": {}}'])
def test_a_filter_is_checked_before_the_cluster_is_asked(filters: str) -> None:
    view = View("articles", "question", filters=filters, columns=(Column(),))
    with pytest.raises((DataError, ConfigError)):
        view.asked(Column())


def test_a_filter_reaches_the_question() -> None:
    view = View("articles", "question", filters='[{"term": {"lang": "en"}}]', columns=(Column(),))
    assert view.asked(Column()).filter_list == [{"term": {"lang": "en"}}]


def test_markup_of_a_document_stays_text() -> None:
    shown = markup(f"<b>{compare._OPEN}folder & {compare._CLOSE}</b>")
    assert shown == "&lt;b&gt;<mark>folder &amp; </mark>&lt;/b&gt;"


class Searchers:
    """Answers only when all columns ask at the same time."""

    def __init__(self, columns: int) -> None:
        self._all = threading.Barrier(columns, timeout=20)

    def fields(self, index: str) -> Fields:
        return Fields("title", ("title", "body"))

    def searcher(self, index: str, model: str) -> Any:
        return SimpleNamespace(search=lambda question, **options: self._search(question.mode))

    def _search(self, mode: str) -> SearchResult:
        self._all.wait()
        ids = {"bm25": "abcd", "dense": "bxa", "hybrid": "ab"}[mode]
        hits = tuple(
            Hit(doc_id, 1.0, rank, {"title": doc_id}, None, None, index_name="articles")
            for rank, doc_id in enumerate(ids, 1)
        )
        return SearchResult(
            hits, None, None, 1, False, (), 0, 0, None, None, None, TextSpec(("title",)), Timings(1, 1, 1)
        )


def test_all_columns_are_asked_at_the_same_time_and_moves_count_from_the_first() -> None:
    columns = (Column("bm25"), Column("dense"), Column("min_max"), Column("l2"))
    comparer = Comparer(Searchers(4))  # type: ignore[arg-type]
    found = comparer.compare(View("articles", "question", columns=columns))
    assert [one.finding for one in found] == [""] * 4
    assert [(row.hit.doc_id, row.move) for row in found[0].rows] == [(one, None) for one in "abcd"]
    assert [(row.hit.doc_id, row.move) for row in found[1].rows] == [("b", 1), ("x", None), ("a", -2)]
    assert found[1].rows[0].others == {0: 2, 2: 2, 3: 2}
    assert found[0].rows[3].others == {1: None, 2: None, 3: None}
