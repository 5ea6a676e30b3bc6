"""Question: all options of a search, as one checked, immutable value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from numbers import Integral, Real
from typing import Any, Literal, TypedDict, get_args

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.fusion import RRF_K, LowerBound
from ce2de_os.index.language_fields import OTHER
from ce2de_os.languages import normalized
from ce2de_os.search.queries import Body, Filters, as_filters

Mode = Literal["hybrid", "bm25", "dense"]
Fusion = Literal["min_max", "l2", "z_score", "rrf"]

_BOOST = re.compile(r"(?:\d{1,9}\.?\d{0,9}|\.\d{1,9})(?:[eE][+-]?\d)?", re.ASCII)

CANDIDATES = 100

DENSE_WEIGHT = 0.5
"""Half and half: the best or near it on Cranfield and CISI, see ``benchmarks/cranfield_quality.py``."""

RERANK_DEPTH = 50

MOST = 10_000
"""OpenSearch's ``index.max_result_window``, and the most neighbors that k-NN looks for."""


@dataclass(frozen=True)
class Question:
    """A question and its options. Every field but ``text`` is also a keyword of `HybridSearcher.search`.

    Attributes:
        text: the question in plain words; cut after some hundred words.
        top_k: hits wanted; the size of a page.
        from_: hits to skip, for the pages after the first. Ask every page with the same ``top_k`` and
            ``candidates``: then each document of the candidates is on exactly one page, unless the index
            changes in between. Pages end where the candidates end.
        mode: ``"hybrid"``, ``"bm25"`` or ``"dense"``.
        filters: one or several OpenSearch queries that every hit must match; they do not change scores.
        language: ``"it"``, ``"it-IT"`` or ``"ita"``: only documents in this language, in both legs, and words
            only as its analyzer reads them; ``"other"``: those in none of the index's languages; ``None``:
            all documents.
        lexical: an OpenSearch query in place of the default lexical leg, a ``multi_match`` with ``text``.
        fields: the text fields that the default lexical leg searches, with OpenSearch's boosts:
            ``("title^3", "body")``; ``None``: the embedded text under the analyzer of its language where the
            index has that, else the fields that were embedded, else every text field.
        vector_field: the vector field to search; ``None``: the newest whose vectors fit the encoder.
        fusion: ``"min_max"``, ``"l2"``, ``"z_score"`` (weighted means of normalized scores) or ``"rrf"``
            (sums of reciprocal ranks).
        dense_weight: the dense leg's share, 0 to 1; the lexical leg has the rest. ``None``: 0.5 each, and for
            ``"rrf"`` plain sums without weights.
        rrf_k: the rank constant of ``"rrf"``, 1 to 10,000.
        lower_bounds: for ``"min_max"``: OpenSearch's ``lower_bounds`` of the lexical and of the dense leg.
        candidates: documents that each leg takes from each shard; at least ``top_k`` are taken.
        min_score: hits whose first-stage score is lower are left out; on the scale of ``fusion``.
        collapse: a keyword or number field; of the hits with one value only the best is kept.
        sort: OpenSearch's ``sort`` in place of the ranking: the documents that match either leg, in this
            order; their scores are 0.
        highlight: fields to highlight, or OpenSearch's ``highlight`` object; the words of the lexical leg.
        aggregations: OpenSearch's ``aggs``, over the documents that match either leg.
        source: OpenSearch's ``_source``: ``False``, fields, or ``{"includes": ..., "excludes": ...}``.
            Vectors and their hashes are never returned; the text by language and the language only if they
            are named.
        explain: whether each hit of a hybrid search has the raw score and the rank in both legs; costs two
            more searches in the same request.
        track_total_hits: whether to count the documents that match either leg; costs one more search in
            the same request.
        rerank_depth: hits that the reranker scores again; 0: none. ``None``: 50 if there is one.
        rerank_weight: its share of their final order, 0 to 1; the rest is the first stage's score, both
            min-max normalized over the hits that were scored. ``None``: 1 for a cross-encoder, 0.25 for late
            interaction.
        rerank_deadline_ms: time for that; hits not scored by then follow the scored ones in their fused
            order. ``None``: no deadline.
        timeout_ms: OpenSearch returns the hits found in this time; if nothing at all comes one second
            later, the search fails. ``None``: no timeout but the client's.
    """

    text: str
    top_k: int = 10
    from_: int = 0
    mode: Mode = "hybrid"
    filters: Filters = None
    language: str | None = None
    lexical: Mapping[str, Any] | None = None
    fields: Sequence[str] | None = None
    vector_field: str | None = None
    fusion: Fusion = "min_max"
    dense_weight: float | None = None
    rrf_k: int = RRF_K
    lower_bounds: tuple[LowerBound | None, LowerBound | None] | None = None
    candidates: int = CANDIDATES
    min_score: float | None = None
    collapse: str | None = None
    sort: Any = None
    highlight: Sequence[str] | Mapping[str, Any] | None = None
    aggregations: Mapping[str, Any] | None = None
    source: bool | Sequence[str] | Mapping[str, Any] = True
    explain: bool = False
    track_total_hits: bool = False
    rerank_depth: int | None = None
    rerank_weight: float | None = None
    rerank_deadline_ms: float | None = None
    timeout_ms: int | None = None

    def __hash__(self) -> int:
        return hash((self.text, self.mode, self.top_k, self.from_))  # filters and others may be dicts

    @property
    def filter_list(self) -> list[Body]:
        """The filters as a list of OpenSearch queries."""
        return as_filters(self.filters)

    @property
    def language_code(self) -> str | None:
        """The language as the index names it; ``None``: none was named, or it is not known."""
        return self.language if self.language in (None, OTHER) else normalized(str(self.language))

    @property
    def depth(self) -> int:
        """Documents that each leg takes from each shard: the same for every page."""
        return max(self.candidates, self.top_k)

    @property
    def end(self) -> int:
        """The rank of the page's last hit."""
        return self.from_ + self.top_k

    @property
    def weights(self) -> tuple[float, float] | None:
        """The weights of the lexical and the dense leg; ``None``: ranks are summed up unweighted."""
        if self.dense_weight is None and self.fusion == "rrf":
            return None
        dense = float(DENSE_WEIGHT if self.dense_weight is None else self.dense_weight)
        return (1 - dense, dense)  # floats: OpenSearch fails on whole numbers

    @property
    def sorts(self) -> bool:
        """Return whether the user's sort orders the hits, not the score."""
        return bool(self.sort)

    def changed(self, options: Mapping[str, Any]) -> Question:
        """Return this question with other values for some fields.

        Raises:
            ConfigError: there is no such field.
        """
        unknown = sorted(set(options) - set(self.__dataclass_fields__))
        if unknown:
            known = ", ".join(name for name in self.__dataclass_fields__ if name != "text")
            raise ConfigError(f"{unknown[0]}: no such search option; there are {known}")
        return replace(self, **options)

    def check_options(self) -> None:
        """Check everything but the text.

        Raises:
            ConfigError: a value is outside its bounds, or two options exclude each other.
            DataError: a query, filter or bound is not valid in OpenSearch.
        """
        check_choice("mode", self.mode, get_args(Mode))
        check_choice("fusion", self.fusion, get_args(Fusion))
        check_bounds("top_k", self.top_k, 1, MOST)
        check_bounds("from_", self.from_, 0, MOST - 1)
        for name in ("top_k", "from_", "candidates", "rerank_depth", "rrf_k", "timeout_ms"):
            if not isinstance(getattr(self, name), Integral | None):
                raise ConfigError(f"{name}: got {getattr(self, name)!r:.80}, expected a whole number")
        if self.end > MOST:
            raise ConfigError(
                f"from_ and top_k: got {self.from_:,} and {self.top_k:,}, expected at most {MOST:,} "
                "together; ask for fewer, or narrow the question by filters"
            )
        if self.min_score is not None:
            check_bounds("min_score", self.min_score, float("-inf"), None)
        check_bounds("rrf_k", self.rrf_k, 1, MOST)
        check_bounds("candidates", self.candidates, 1, MOST)
        for name, low, high in (
            ("dense_weight", 0, 1), ("rerank_depth", 0, MOST), ("rerank_weight", 0, 1),
            ("rerank_deadline_ms", 0, None), ("timeout_ms", 1, None),
        ):  # fmt: skip
            if getattr(self, name) is not None:
                check_bounds(name, getattr(self, name), low, high)
        as_filters(self.filters)
        _check_simple(self)
        _check_objects(self)
        if self.language is not None and self.language_code is None:
            raise ConfigError(
                f"language: got '{self.language}', expected a code such as en, it-IT or deu, or '{OTHER}'"
            )
        _check_together(self)

    def check(self) -> None:
        """Check the text and every option.

        Raises:
            ConfigError: a value is outside its bounds, or two options exclude each other.
            DataError: the text is blank, or a query, filter or bound is not valid in OpenSearch.
        """
        self.check_options()
        if not isinstance(self.text, str):
            raise DataError(f"the query: got {self.text!r:.80}, expected a string")
        if not self.text.strip() and not (self.lexical and self.mode == "bm25"):
            raise DataError("the query is empty; ask for at least one word")


class QuestionOptions(TypedDict, total=False):
    """The keywords of `HybridSearcher.search`; see `Question` for their meaning."""

    top_k: int
    from_: int
    mode: Mode
    filters: Filters
    language: str | None
    lexical: Mapping[str, Any] | None
    fields: Sequence[str] | None
    vector_field: str | None
    fusion: Fusion
    dense_weight: float | None
    rrf_k: int
    lower_bounds: tuple[LowerBound | None, LowerBound | None] | None
    candidates: int
    min_score: float | None
    collapse: str | None
    sort: Any
    highlight: Sequence[str] | Mapping[str, Any] | None
    aggregations: Mapping[str, Any] | None
    source: bool | Sequence[str] | Mapping[str, Any]
    explain: bool
    track_total_hits: bool
    rerank_depth: int | None
    rerank_weight: float | None
    rerank_deadline_ms: float | None
    timeout_ms: int | None


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Raise `ConfigError` unless ``value`` is one of ``choices``."""
    if value not in choices:
        expected = ", ".join(repr(choice) for choice in choices)
        raise ConfigError(f"{name}: got {value!r}, expected one of {expected}")


def check_bounds(name: str, value: float, low: float, high: float | None) -> None:
    """Raise `ConfigError` unless ``value`` is between ``low`` and ``high`` (``None``: no limit)."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise ConfigError(f"{name}: got {value!r:.80}, expected a number")
    if not low <= value or (high is not None and value > high):  # NaN fails the first comparison
        expected = f"at least {low}" if high is None else f"{low} to {high}"
        raise ConfigError(f"{name}: got {value}, expected {expected}")


def _check_simple(question: Question) -> None:
    for name in ("collapse", "vector_field"):
        value = getattr(question, name)
        if value is not None and (not isinstance(value, str) or not value):
            raise DataError(f"{name}: got {value!r:.80}, expected the name of one field")
    for name in ("explain", "track_total_hits"):
        if not isinstance(getattr(question, name), bool):
            raise DataError(f"{name}: got {getattr(question, name)!r:.80}, expected True or False")


def _check_objects(question: Question) -> None:
    for name, example in (("lexical", {"match": {"title": "folder"}}), ("aggregations", {"by_lang": "..."})):
        value = getattr(question, name)
        if value is not None and (not isinstance(value, Mapping) or not value):
            raise DataError(f"{name}: got {value!r:.80}, expected an OpenSearch object such as {example}")
    if question.fields is not None and (not question.fields or not _is_names(question.fields)):
        raise DataError(f"fields: got {question.fields!r:.80}, expected a list such as ['title^3', 'body']")
    for name in question.fields or ():
        if "^" in name and not _BOOST.fullmatch(name.partition("^")[2]):
            raise DataError(f"fields: got '{name:.80}', expected a boost as in 'title^3' or 'title^0.5'")
    marked = question.highlight
    if not (marked is None or isinstance(marked, Mapping) or _is_names(marked)):
        raise DataError(f"highlight: got {marked!r:.80}, expected a list such as ['body']")
    _check_source(question.source)
    if question.lower_bounds is not None:
        _check_bounds_of_legs(question.lower_bounds)


def _is_names(value: object) -> bool:
    """Return whether a value is a list of names."""
    several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return several and all(isinstance(one, str) and one for one in value)  # type: ignore[attr-defined]


def _check_source(source: object) -> None:
    lists = [source]
    if isinstance(source, Mapping):
        lists = [source.get(key, []) for key in ("includes", "excludes")]
        lists += [None] if set(source) - {"includes", "excludes"} else []
    if not isinstance(source, bool) and not all(isinstance(one, str) or _is_names(one) for one in lists):
        raise DataError(
            f"source: got {source!r:.80}, expected True, False, a list such as ['title'], or "
            "{'includes': [...], 'excludes': [...]}"
        )


def _check_bounds_of_legs(bounds: object) -> None:
    pair = bounds if isinstance(bounds, tuple | list) else ()
    if len(pair) != 2 or not all(one is None or isinstance(one, LowerBound) for one in pair):
        raise DataError(f"lower_bounds: got {bounds!r:.80}, expected two, each ce2de_os.LowerBound or None")
    for bound in filter(None, pair):
        if bound.mode not in ("apply", "clip") or not _is_number(bound.min_score):
            raise DataError(
                f"lower_bounds: got {bound!r:.80}, expected a number and the mode 'apply' or 'clip'"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(float(value))


def _check_together(question: Question) -> None:
    if question.lower_bounds is not None and question.fusion != "min_max":
        raise ConfigError(f"lower_bounds: only fusion 'min_max' has them, got fusion '{question.fusion}'")
    if question.sorts and question.rerank_depth:
        raise ConfigError("sort and rerank_depth exclude each other: leave one of them out")
    if question.sorts and question.min_score is not None and question.mode == "hybrid":
        raise ConfigError("sort and min_score exclude each other in mode 'hybrid': sorted hits have no score")
    if question.rerank_deadline_ms is not None and question.from_:
        raise ConfigError(
            "rerank_deadline_ms: the hits scored in time may differ from page to page, so that hits would be "
            "missing or come twice; leave it out together with from_, or ask for a larger top_k"
        )
