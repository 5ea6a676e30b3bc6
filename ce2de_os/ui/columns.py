"""Columns: the ways to rank that a view compares, as they are written in its link."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams

from ce2de_os.errors import DataError
from ce2de_os.quality.systems import FUSIONS
from ce2de_os.search.question import DENSE_WEIGHT, Question
from ce2de_os.server.search import question_of

MOST = 6
"""Columns of one view."""

MOST_CHARS = 2_000
"""Characters of a question: the link to the view holds it."""

WAYS: dict[str, str] = {"bm25": "BM25", "dense": "Vectors"} | {one: f"Hybrid, {one}" for one in FUSIONS}
"""The ways to rank: the legs alone, and each fusion of both."""

TOP_K = 10


@dataclass(frozen=True)
class Column:
    """One way to rank.

    Attributes:
        way: one of `WAYS`.
        weight: the vectors' share in a hybrid; ``""``: the fusion's default.
        rerank: whether the cross-encoder scores the best hits again.
        index: another index or alias; ``""``: the view's.
        model: another model; ``""``: the one of the settings.
    """

    way: str = "bm25"
    weight: str = ""
    rerank: bool = False
    index: str = ""
    model: str = ""

    @property
    def name(self) -> str:
        """The column's heading."""
        parts = [WAYS.get(self.way, self.way)]
        if self.is_hybrid and self.weight:
            parts[0] += f" {self.weight}"
        if self.rerank:
            parts[0] += " + CE"
        return " · ".join([*parts, *filter(None, (self.index, self.model))])

    @property
    def is_hybrid(self) -> bool:
        """Whether it fuses two legs."""
        return self.way in FUSIONS

    @property
    def options(self) -> dict[str, Any]:
        """Options of a `Question`.

        Raises:
            DataError: there is no such way, or the weight is no number.
        """
        if self.way not in WAYS:
            raise DataError(f"the ranking: got '{self.way:.40}', expected one of {', '.join(WAYS)}")
        options: dict[str, Any] = {"mode": self.way}
        if self.is_hybrid:
            options = {"mode": "hybrid", "fusion": self.way, "dense_weight": _number(self.weight)}
        return options if self.rerank else {**options, "rerank_depth": 0}

    def pairs(self) -> list[tuple[str, str]]:
        """Return its part of a link."""
        return [
            ("way", self.way), ("weight", self.weight), ("rerank", "yes" if self.rerank else ""),
            ("on", self.index), ("by", self.model),
        ]  # fmt: skip


@dataclass(frozen=True)
class View:
    """A question and its columns: all that a link says.

    Attributes:
        index: the index or alias of all columns that name no other.
        question: the question; ``""``: none was asked yet.
        top_k: hits of each column.
        filters: an OpenSearch query, or a list of them, as JSON; ``""``: none.
        columns: in their order; moves are counted from the first.
    """

    index: str
    question: str = ""
    top_k: int = TOP_K
    filters: str = ""
    columns: Sequence[Column] = field(default_factory=tuple)

    @classmethod
    def of(cls, params: QueryParams, index: str, *, has_reranker: bool) -> View:
        """Read a link; without columns it gets the usual ones.

        Raises:
            DataError: a number is none, or the question is too long.
        """
        lists = [params.getlist(name) for name in ("way", "weight", "rerank", "on", "by")]
        columns = tuple(_columns(*lists))[:MOST] or defaults(has_reranker)
        question = params.get("q", "").strip()
        if len(question) > MOST_CHARS:
            raise DataError(
                f"the question: got {len(question):,} characters, expected at most {MOST_CHARS:,}; shorten it"
            )
        view = cls(
            params.get("index", "").strip() or index,
            question,
            _top_k(params.get("k", "")),
            params.get("filter", "").strip(),
            columns,
        )
        return _edited(view, params)

    @property
    def link(self) -> str:
        """The link that shows this view again."""
        pairs = [
            ("index", self.index),
            ("q", self.question),
            ("k", str(self.top_k)),
            ("filter", self.filters),
        ]
        return "/compare?" + urlencode(
            [*pairs, *(pair for one in self.columns for pair in one.pairs())], quote_via=quote, safe=""
        )

    def asked(self, column: Column) -> Question:
        """Return the question of a column, within the limits of the HTTP service.

        Raises:
            ConfigError: an option is outside its bounds.
            DataError: a filter or a value cannot be used.
        """
        body = {"text": self.question, "top_k": self.top_k, "explain": True, **column.options}
        if self.filters:
            body["filters"] = _json(self.filters)
        question = question_of(body)
        question.check()
        return question


def defaults(has_reranker: bool) -> tuple[Column, ...]:
    """Return the columns of a view that names none: both legs, and their hybrid."""
    half = f"{DENSE_WEIGHT:g}"
    plain = (Column("bm25"), Column("dense"), Column(FUSIONS[0], half))
    return (*plain, Column(FUSIONS[0], half, rerank=True)) if has_reranker else plain


def _columns(
    ways: Sequence[str], weights: Sequence[str], reranks: Sequence[str], on: Sequence[str], by: Sequence[str]
) -> list[Column]:
    def at(values: Sequence[str], place: int) -> str:
        return values[place].strip() if place < len(values) else ""

    return [
        Column(way, at(weights, place), at(reranks, place) == "yes", at(on, place), at(by, place))
        for place, way in enumerate(ways)
    ]


def _edited(view: View, params: Mapping[str, str]) -> View:
    """Carry out the buttons that add and remove a column."""
    columns = list(view.columns)
    if "add" in params and len(columns) < MOST:
        columns.append(Column(FUSIONS[0], f"{DENSE_WEIGHT:g}"))
    remove = params.get("remove", "")
    if remove.isdecimal() and int(remove) < len(columns) > 1:
        del columns[int(remove)]
    return replace(view, columns=tuple(columns))


def _top_k(text: str) -> int:
    if not text:
        return TOP_K
    if not text.isdecimal() or not text.isascii():
        raise DataError(f"hits: got '{text:.20}', expected a whole number")
    return int(text[:6])


def _number(text: str) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise DataError(f"the vectors' share: got '{text:.20}', expected a number from 0 to 1") from None


def _json(text: str) -> Any:  # noqa: ANN401 - any JSON; the question checks it
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f'the filter is not JSON ({error}); expected an object such as {{"term": {{"lang": "en"}}}}'
        ) from None
