"""Ranking: turn the answers to one plan into hits, step by step; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ce2de_os.records import Hit, Leg, Passage
from ce2de_os.search import answers
from ce2de_os.search.answers import Answer, FoundDocuments
from ce2de_os.search.plan import BM25, COUNT, DENSE, MAIN, Request, SearchPlan
from ce2de_os.search.rerank import blended, reordered
from ce2de_os.search.result import SearchResult, Timings
from ce2de_os.search.strategy import fuse


@dataclass(frozen=True)
class Ranking:
    """Documents in their order, with the scores of each leg.

    Attributes:
        plan: the plan of the requests.
        documents: those from rank ``plan.first`` + 1 on, as far as they were requested.
        legs: raw scores and ranks by leg, where requested or available anyway.
        logits: the second model's, of the first documents.
        weight: their share of the final order, the rest is the first stage's.
        answers: all answers, for times, failures and totals.
        counted: the answer that counts and aggregates.
    """

    plan: SearchPlan
    documents: tuple[FoundDocuments, ...]
    legs: Mapping[str, Mapping[str, Leg]]
    answers: tuple[Answer, ...]
    counted: Answer | None
    logits: tuple[float, ...] = ()
    weight: float = 1.0

    @property
    def wanted(self) -> dict[str, list[str]]:
        """The ids of the documents that are to be fetched, by index."""
        wanted: dict[str, list[str]] = {}
        for document in self.documents if self.plan.fetches else ():
            wanted.setdefault(document.index_name, []).append(document.doc_id)
        return wanted

    @property
    def texts(self) -> list[str]:
        """The text for a reranker: the best passage of each document, or its whole text."""
        return [passage.text if (passage := self.passage(one)) else self.text(one) for one in self.best]

    @property
    def best(self) -> Sequence[FoundDocuments]:
        """The documents that are to be scored again."""
        return self.documents[: self.plan.rerank_depth]

    def text(self, document: FoundDocuments) -> str:
        """Return the text of the document that was embedded."""
        whole = self.plan.question.source is True
        return self.plan.embedded_text.text_of(document.source if whole else document.values)

    def passage(self, document: FoundDocuments) -> Passage | None:
        """Return the best passage; ``None``: the document has no passages, or none was searched for."""
        if document.inner is None:
            return None
        place = _values(document.inner["_source"])
        start, end = place["start"], place["end"]
        return Passage(self.text(document)[start:end], start, end, document.inner["_score"])

    def fetched(self, fetched: Sequence[Answer]) -> Ranking:
        """Add the documents' contents; a document deleted since it was found is left out."""
        known = {one.key: one for answer in fetched for one in answers.documents_in(answer)}
        documents = tuple(
            known[one.key]._replace(score=one.score, sort=one.sort)
            for one in self.documents
            if one.key in known
        )
        return replace(self, documents=documents, answers=(*self.answers, *fetched))

    def result(self, timings: Timings) -> SearchResult:
        """Build the result for the requested page."""
        plan, question = self.plan, self.plan.question
        scores = [document.score for document in self.documents[: len(self.logits)]]
        pairs = reordered(self.documents, self.logits, blended(self.logits, scores, self.weight))
        page = pairs[question.from_ - plan.first : question.end - plan.first]
        hits = (self._hit(one, logit, rank) for rank, (one, logit) in enumerate(page, question.from_ + 1))
        return SearchResult(
            hits=tuple(hits),
            total=answers.total_in(self.counted) if self.counted and self._counts else None,
            strategy=plan.strategy,
            took_ms=max((int(answer.get("took", 0)) for answer in self.answers), default=0),
            timed_out=any(answer.get("timed_out") for answer in self.answers),
            failures=answers.failures_in(self.answers),
            reranked=len(self.logits),
            rerank_wanted=min(plan.rerank_depth, len(self.documents)),
            aggregations=self.counted.get("aggregations") if self.counted else None,
            vector_field=plan.metadata.vector_field if plan.metadata else None,
            vector_model=plan.metadata.fingerprint if plan.metadata else None,
            text=plan.embedded_text,
            target=plan.target,
            whole=question.source is True,
            timings=timings,
        )

    @property
    def _counts(self) -> bool:
        return self.plan.question.track_total_hits or self.plan.question.aggregations is not None

    def _hit(self, document: FoundDocuments, logit: float | None, rank: int) -> Hit:
        bm25, dense = (self.legs.get(name, {}).get(document.key) for name in (BM25, DENSE))
        return Hit(
            document.doc_id, document.score, rank, document.source, bm25, dense,
            index_name=document.index_name, logit=logit, passage=self.passage(document),
            highlight=document.highlight, sort=document.sort,
        )  # fmt: skip


def read(plan: SearchPlan, requests: Sequence[Request], received: Sequence[Answer]) -> Ranking:
    """Build the ranking from the answers to ``plan.requests()``."""
    by_role: dict[str, list[Answer]] = {}
    for request, answer in zip(requests, received, strict=True):
        by_role.setdefault(request.role, []).append(answer)
    legs = {name: answers.found_in(by_role[name]) for name in (BM25, DENSE) if name in by_role}
    told = {name: answers.legs(found) for name, found in legs.items()} if plan.question.explain else {}
    if plan.strategy is None:
        (main,) = by_role[MAIN]
        documents = answers.documents_in(main)
        return Ranking(plan, tuple(documents), _own_leg(plan, documents), tuple(received), main)
    if plan.strategy == "client":
        documents = _fused_here(plan, legs[BM25], legs[DENSE])
    else:
        documents = answers.documents_in(by_role[MAIN][0])
    kept = _above(documents, plan.question.min_score)[plan.first : plan.last]
    counted = by_role.get(COUNT, [None])[0]
    return Ranking(plan, tuple(kept), told, tuple(received), counted)


def _own_leg(plan: SearchPlan, documents: Sequence[FoundDocuments]) -> dict[str, dict[str, Leg]]:
    """Return the scores and ranks of a search with one leg, from its own answer; else empty."""
    if plan.question.mode == "hybrid" or plan.question.sorts:
        return {}
    ranked = enumerate(documents, plan.first + 1)
    return {plan.question.mode: {one.key: Leg(one.score, rank) for rank, one in ranked}}


def _fused_here(
    plan: SearchPlan, bm25: Sequence[FoundDocuments], dense: Sequence[FoundDocuments]
) -> list[FoundDocuments]:
    known = {document.key: document for document in (*bm25, *dense)}
    fused = fuse(plan.question, answers.scored(bm25), answers.scored(dense))
    documents = [known[one.doc_id]._replace(score=one.score) for one in fused]
    return _collapsed(documents, plan.question.collapse) if plan.question.collapse else documents


def _collapsed(documents: Sequence[FoundDocuments], field: str) -> list[FoundDocuments]:
    """Return the best document of each value; those without a value count as one value."""
    best: dict[Any, FoundDocuments] = {}
    for document in documents:
        best.setdefault(tuple(document.values.get(field, ())), document)
    return list(best.values())


def _above(documents: list[FoundDocuments], min_score: float | None) -> list[FoundDocuments]:
    return documents if min_score is None else [one for one in documents if one.score >= min_score]


def _values(source: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a passage's fields; older versions return them under the passages' own name."""
    (inner,) = source.values() if len(source) == 1 else (source,)
    return inner if isinstance(inner, Mapping) else source
