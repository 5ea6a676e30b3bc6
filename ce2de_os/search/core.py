"""SearchCore: the course of a search, written once for the sync and the async searcher."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn, Self, get_args

from opensearchpy.exceptions import ConnectionTimeout

from ce2de_os.errors import (
    ArtifactMismatchError,
    BackendError,
    BackendUnavailableError,
    ConfigError,
    DataError,
    IndexSchemaError,
)
from ce2de_os.index.client import backend_errors
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.search import answers, queries
from ce2de_os.search.answers import Answer
from ce2de_os.search.late_interaction import LATE_WEIGHT, LateInteraction
from ce2de_os.search.plan import Request, SearchPlan
from ce2de_os.search.question import Question, check_choice
from ce2de_os.search.ranking import Ranking, read
from ce2de_os.search.rerank import Reranker, score_in_time
from ce2de_os.search.result import SearchResult, Timings
from ce2de_os.search.steps import Call, Compute, Steps
from ce2de_os.search.strategy import Strategy, choose
from ce2de_os.search.target import Target, Version, embedded_in, query_vector, target_steps, version_steps
from ce2de_os.search.token_scores import StoredTokens
from ce2de_os.search.vectors import QueryEncoder, QueryVectors, Vector

_TRIES = 5  # of a search whose alias moves while it is asked
_GRACE_MS = 1000  # after `timeout_ms`, until an answer that does not come is given up


Asked = tuple[list[SearchResult], set[str]]
"""Results, and the indices that took part in the answers."""


class Shared:
    """An object with open connections: threads may use it at once, and a copy is the object itself."""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise ConfigError(
            f"{type(self).__name__}: its connections cannot be pickled; make one in each process, or fork"
        )


class SearchCore:
    """The logic of both searchers; its methods yield steps for a driver."""

    def __init__(
        self,
        index: str,
        encoder: QueryEncoder | None,
        reranker: Reranker | None,
        strategy: Strategy | None,
        cached_queries: int,
        defaults: Mapping[str, Any],
    ) -> None:
        check_choice("strategy", strategy, (None, *get_args(Strategy)))
        self._defaults = Question("").changed(defaults)
        self._defaults.check_options()
        self._index = index
        self._vectors = QueryVectors(encoder, cached_queries) if encoder else None
        self._reranker = reranker
        self._tokens = StoredTokens(reranker) if isinstance(reranker, LateInteraction) else None
        self._strategy = strategy
        self._target: Target | None = None
        self._version: tuple[Version | None] | None = None  # None: not asked yet

    def question(self, asked: str | Question, options: Mapping[str, Any]) -> Question:
        """Combine the question, the searcher's defaults and this call's options, and check the result."""
        question = asked if isinstance(asked, Question) else replace(self._defaults, text=asked)
        question = question.changed(options)
        question.check()
        if question.mode != "bm25" and self._vectors is None:
            raise ConfigError("only mode 'bm25' works without an encoder; pass one to the searcher")
        if question.rerank_depth and self._reranker is None:
            raise ConfigError(
                "`rerank_depth` needs a second model; pass a `reranker`, or use `late_interaction`"
            )
        return question

    def questions(self, asked: Sequence[str | Question], options: Mapping[str, Any]) -> list[Question]:
        """Check and complete several questions; raise like `question`, and `DataError` for a string."""
        if isinstance(asked, str):
            raise DataError(f"asked: got the string {asked!r:.80}, expected a list of questions")
        return [self.question(one, options) for one in asked]

    def search(self, questions: Sequence[Question]) -> Steps[list[SearchResult]]:
        """Ask; if the name means another index than when it was read, check that one and ask again.

        Each search of a request looks up the name anew, so an alias that moves in between could mix two
        indices in one answer; such an answer is thrown away.
        """
        if not questions:
            return []
        known = self._target or (yield from self._read_target())
        for _ in range(_TRIES):
            try:
                results, seen = yield from self._ask(known, questions)
            except (IndexSchemaError, ArtifactMismatchError):
                before, known = known, (yield from self._read_target())
                if known == before:
                    raise
                continue
            if seen <= known.indices:
                return results
            known = yield from self._read_target()
        raise BackendUnavailableError(
            f"search {self._index}: the name meant another index each of {_TRIES} times; ask again when its "
            "alias has moved"
        )

    def warm_up(self) -> Steps[None]:
        """Do in advance all work that the first search would wait for."""
        known = yield from self._read_target()
        yield from self._neural_search()
        if self._vectors is not None:
            yield Compute(partial(self._vectors.encode, ["warm up"]))
        if self._reranker is not None:
            yield Compute(partial(self._reranker.score, "warm up", ["warm up"]))
        question = replace(self._defaults, text="warm up", mode="hybrid" if known.embedded else "bm25")
        if self._vectors is None:
            question = replace(question, mode="bm25")
        yield from self.search([question])

    def _read_target(self) -> Steps[Target]:
        self._target = yield from target_steps(self._index)
        return self._target

    def _neural_search(self) -> Steps[Version | None]:
        if self._version is None:
            self._version = ((yield from version_steps()),)
        return self._version[0]

    def _ask(self, target: Target, questions: Sequence[Question]) -> Steps[Asked]:
        """Ask, with fewer words where analyzers make more of them than a query may hold."""
        for question in questions:
            target.check_fields(question)
        own = all(question.lexical is not None for question in questions)
        for words in queries.word_limits():
            try:
                return (yield from self._ask_words(target, questions, words))
            except BackendError as error:
                if own or words == 1 or not queries.is_too_long(error):
                    raise
        raise AssertionError("unreachable: the last limit raises")

    def _ask_words(self, target: Target, questions: Sequence[Question], words: int) -> Steps[Asked]:
        start = time.perf_counter()
        plans = yield from self._plans(target, questions, words)
        encoded = time.perf_counter()
        rankings = yield from self._rankings(plans)
        found = time.perf_counter()
        results = []
        for ranking in rankings:
            begun = time.perf_counter()
            ranked = yield from self._reranked(ranking)
            times = (encoded - start, found - encoded, time.perf_counter() - begun)
            results.append(ranked.result(Timings(*(1000 * seconds for seconds in times))))
        seen = answers.indices_in(answer for ranking in rankings for answer in ranking.answers)
        return results, seen

    def _plans(self, target: Target, questions: Sequence[Question], words: int) -> Steps[list[SearchPlan]]:
        texts = [queries.clip(one.text, 1) for one in questions]  # the lexical leg may have to cut more
        fields = [self._vector_field(target, question) for question in questions]
        vectors = yield from self._encode([text for text, field in zip(texts, fields, strict=True) if field])
        plans = []
        for question, text, field in zip(questions, texts, fields, strict=True):
            strategy = yield from self._choose(question)
            vector = query_vector(target, field, vectors[text]) if field else None
            plans.append(
                SearchPlan(question, target, text, strategy, vector, field, self._reranker is not None, words)
            )
        return plans

    def _vector_field(self, target: Target, question: Question) -> IndexMetadata | None:
        if question.mode == "bm25" or self._vectors is None:
            return None
        return embedded_in(target, self._vectors.space, question.vector_field, self._vectors.model)

    def _encode(self, texts: Sequence[str]) -> Steps[dict[str, Vector]]:
        if not texts or self._vectors is None:
            return {}
        known = {text: self._vectors.known(text) for text in texts}
        found = {text: vector for text, vector in known.items() if vector is not None}
        missing = [text for text in known if text not in found]
        if missing:
            encoded = yield Compute(partial(self._vectors.encode, missing))
            found |= dict(zip(missing, encoded, strict=True))
        return found

    def _choose(self, question: Question) -> Steps[Strategy | None]:
        if question.mode != "hybrid" or question.sorts:
            return None
        if self._strategy == "client":
            return "client"
        version = yield from self._neural_search()
        return choose(self._strategy, version, question)

    def _rankings(self, plans: Sequence[SearchPlan]) -> Steps[list[Ranking]]:
        """Send all plans in one request, and fetch what is still missing in a second one."""
        asked = [plan.requests() for plan in plans]
        received = yield from self._msearch(plans, asked)
        rankings = [read(*one) for one in zip(plans, asked, received, strict=True)]
        wanted = [plan.fetch_requests(one.wanted) for plan, one in zip(plans, rankings, strict=True)]
        if not any(wanted):
            return rankings
        fetched = yield from self._msearch(plans, wanted)
        return [one.fetched(new) if one.wanted else one for one, new in zip(rankings, fetched, strict=True)]

    def _msearch(
        self, plans: Sequence[SearchPlan], asked: Sequence[list[Request]]
    ) -> Steps[list[list[Answer]]]:
        """Send the requests of several plans as one multi-search; return the answers by plan."""
        action = f"search {self._index}"
        lines = [
            line for requests in asked for request in requests for line in (request.header, request.body)
        ]
        arguments: dict[str, Any] = {"body": lines}
        timeouts = [plan.question.timeout_ms for plan in plans if plan.question.timeout_ms is not None]
        if timeouts:
            arguments["params"] = {"request_timeout": (max(timeouts) + _GRACE_MS) / 1000}
        try:
            responses = (yield Call(action, "msearch", arguments, "responses"))["responses"]
        except BackendUnavailableError as error:
            if timeouts and isinstance(error.__cause__, ConnectionTimeout):
                waited = max(timeouts) + _GRACE_MS
                raise BackendUnavailableError(
                    f"{action}: no answer within {waited} ms; raise timeout_ms, or ask for less"
                ) from error
            raise
        with backend_errors(action):
            for answer in responses:
                answers.check(answer)
        return list(_split(responses, [len(requests) for requests in asked]))

    def _reranked(self, ranking: Ranking) -> Steps[Ranking]:
        if self._reranker is None or not ranking.best:
            return ranking
        plan = ranking.plan
        field = self._tokens.field_in(plan.target) if self._tokens else None
        if self._tokens and field:
            logits = yield from self._tokens.logits(plan, field, ranking.best)
        else:
            deadline_ms = plan.question.rerank_deadline_ms
            work = partial(score_in_time, self._reranker, plan.text, ranking.texts, deadline_ms)
            logits = yield Compute(work)
        weight = plan.question.rerank_weight
        if weight is None:
            weight = LATE_WEIGHT if self._tokens else 1.0
        return replace(ranking, logits=tuple(logits), weight=weight)


def _split(responses: Sequence[Answer], sizes: Sequence[int]) -> Iterator[list[Answer]]:
    start = 0
    for size in sizes:
        yield list(responses[start : start + size])
        start += size
