"""Plan: the requests for ``_msearch`` of one question to one target; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ce2de_os.errors import ConfigError
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.search import queries
from ce2de_os.search.queries import Body
from ce2de_os.search.question import MOST, RERANK_DEPTH, Question
from ce2de_os.search.strategy import Strategy, pipeline_body
from ce2de_os.search.target import Target


class Request(NamedTuple):
    """One search of an ``_msearch``; ``role`` is the use of its answer."""

    role: str
    header: Body
    body: Body


MAIN, BM25, DENSE, COUNT = "main", "bm25", "dense", "count"


@dataclass(frozen=True)
class SearchPlan:
    """A question with everything that its requests need.

    Attributes:
        question: the question with its options.
        target: the indices.
        text: the question's text, cut after some hundred words.
        strategy: how to fuse the legs; ``None``: there is one leg, or the user's own sort.
        vector: the text's vector, as the vector field takes it; ``None`` in mode ``"bm25"``.
        metadata: the vector field; ``None`` in mode ``"bm25"``.
        reranks: whether a reranker is at hand.
        words: the most words that the default lexical leg searches.
    """

    question: Question
    target: Target
    text: str
    strategy: Strategy | None
    vector: list[float] | None
    metadata: IndexMetadata | None
    reranks: bool
    words: int = queries.MAX_WORDS

    @property
    def rerank_depth(self) -> int:
        """Hits to score again; pages beyond them need no scoring."""
        if not self.reranks or self.question.sorts:
            return 0
        depth = RERANK_DEPTH if self.question.rerank_depth is None else self.question.rerank_depth
        return depth if self.question.from_ < depth else 0

    @property
    def first(self) -> int:
        """Number of best hits that are not needed; re-ranking needs all."""
        return 0 if self.rerank_depth else self.question.from_

    @property
    def last(self) -> int:
        """The rank of the last hit that is needed."""
        return max(self.question.end, self.rerank_depth)

    @property
    def passages(self) -> bool:
        """Return whether hits show their best passage."""
        return self.metadata is not None and self.metadata.passages

    @property
    def fetches(self) -> bool:
        """Return whether the first answer holds ids only, and the documents are fetched in a second request.

        The pages after the first do so, because OpenSearch fails where such a page would be empty.
        """
        joined = self.strategy is not None and (self.strategy == "client" or self.question.from_ > 0)
        return joined or self.passages

    @property
    def lexical(self) -> Body:
        """The lexical leg without its filters."""
        if self.question.lexical is not None:
            return dict(self.question.lexical)
        question = self.question
        return self.target.lexical(self.text, question.fields, question.language_code, self.words)

    @property
    def filters(self) -> list[Body]:
        """The filters that every hit must match, in both legs."""
        language = self.question.language_code
        return self.question.filter_list + ([self.target.language_filter(language)] if language else [])

    @property
    def legs(self) -> dict[str, Body]:
        """The legs that the mode asks for, by name."""
        filters = self.filters
        legs = {BM25: queries.filtered(self.lexical, filters)}
        if self.vector is not None and self.metadata is not None:
            field, passages = self.metadata.vector_field, self.metadata.passages
            legs[DENSE] = queries.dense_query(self.vector, field, self.question.depth, filters, passages)
        return legs if self.question.mode == "hybrid" else {self.question.mode: legs[self.question.mode]}

    @property
    def header(self) -> Body:
        """The ``preference``: the same question goes to the same copies of shards, so that pages agree."""
        digest = hashlib.sha256(self.text.encode()).hexdigest()[:16]
        return {"index": self.target.name, "preference": f"ce2de-{digest}"}

    def requests(self) -> list[Request]:
        """Build the requests of the first round."""
        if self.strategy is None:
            return [Request(MAIN, self.header, self._single_body())]
        joined = [] if self.strategy == "client" else [Request(MAIN, self.header, self._joined_body())]
        beside = self._leg_requests() if self.strategy == "client" or self.question.explain else []
        return [*joined, *beside, *self._count_requests()]

    def fetch_requests(self, found: Mapping[str, Sequence[str]]) -> list[Request]:
        """Build one search per index for the documents with these ids; searches highlight and find passages.

        After collapsing on the client each document has a value of its own, so collapsing again changes
        nothing; but OpenSearch then rejects a field that it cannot collapse by, as in the other modes.
        """
        extra = {**self._contents(), **self._timeout(), **self._collapse()}
        return [
            Request(
                MAIN,
                {**self.header, "index": index},
                {**extra, "query": self._fetch_query(ids), "size": len(ids)},
            )
            for index, ids in found.items()
        ]

    def _single_body(self) -> Body:
        legs = list(self.legs.values())
        question = self.question
        body: Body = {"query": legs[0] if len(legs) == 1 else queries.either(legs), **self._counts()}
        body |= {"from": self.first, "size": self.last - self.first, **self._timeout()}
        body |= {"_source": False} if self.fetches else self._contents()
        optional = {"sort": question.sort, "min_score": question.min_score}
        body |= {name: value for name, value in optional.items() if value is not None}
        return body | self._collapse()

    def _collapse(self) -> Body:
        field = self.question.collapse
        return {} if field is None else {"collapse": {"field": field}}

    def _joined_body(self) -> Body:
        contents = {"_source": False} if self.fetches else self._contents()
        body = pipeline_body(self.question, list(self.legs.values()))
        return {**body, **contents, **self._timeout(), "size": self.last, "track_total_hits": False}

    def _leg_requests(self) -> list[Request]:
        """Build the requests of both legs, shard by shard.

        A pipeline normalizes over the best ``depth`` documents of every shard. One search over all shards
        would return the best of all together, a different lowest score, and with it different fused scores.
        """
        # Behind an alias, `_shards:0` means shard 0 of each index.
        size = self.question.depth * len(self.target.indices)
        if size > MOST:
            raise ConfigError(
                f"candidates: got {self.question.depth:,} of each of {len(self.target.indices)} indices, "
                f"expected at most {MOST:,} of all; ask for fewer, or leave strategy and explain out"
            )
        headers = [self.header]
        if self.target.shards > 1:
            # OpenSearch allows no other preference with a shard's number; primaries are the same each time.
            shards = (f"_shards:{number}|_primary_first" for number in range(self.target.shards))
            headers = [{"index": self.target.name, "preference": preference} for preference in shards]
        extra: Body = {"size": size, "_source": False, "track_total_hits": False, **self._timeout()}
        if self.question.collapse is not None:
            extra["docvalue_fields"] = [self.question.collapse]
        return [
            Request(name, header, {"query": query, **extra})
            for name, query in self.legs.items()
            for header in headers
        ]

    def _count_requests(self) -> list[Request]:
        if not self.question.track_total_hits and self.question.aggregations is None:
            return []
        body: Body = {"query": queries.either(list(self.legs.values())), "size": 0, **self._timeout()}
        return [Request(COUNT, self.header, {**body, **self._counts()})]

    def _counts(self) -> Body:
        counts: Body = {
            "track_total_hits": self.question.track_total_hits or bool(self.question.aggregations)
        }
        if self.question.aggregations is not None:
            counts["aggs"] = dict(self.question.aggregations)
        return counts

    def _contents(self) -> Body:
        """Return the part of the request that selects the content of a hit."""
        contents: Body = {"_source": self._source()}
        if self.question.highlight is not None:
            contents["highlight"] = self._highlight(self.question.highlight)
        if (self.rerank_depth or self.passages) and self.embedded_text.fields:
            contents["fields"] = list(self.embedded_text.fields)
        return contents

    @property
    def embedded_text(self) -> TextSpec:
        """The text that passages are cut from, and which a reranker reads."""
        return self.metadata.text if self.metadata else TextSpec(self.target.text_fields)

    def _source(self) -> Any:  # noqa: ANN401 - False or an object
        asked = self.question.source
        if asked is False:
            return False
        if asked is True:
            return {"excludes": self._hidden([])}
        if not isinstance(asked, Mapping):
            includes = _listed(asked)
            return {"includes": includes, "excludes": self._hidden(includes)}
        hidden = self._hidden(_listed(asked.get("includes", [])))
        return {**asked, "excludes": [*_listed(asked.get("excludes", [])), *hidden]}

    def _hidden(self, named: Sequence[str]) -> list[str]:
        """Return the fields that ``_source`` leaves out when these fields are requested by name."""
        asked = {name.partition(".")[0] for name in named}
        return [*self.target.hidden, *(aside for aside in self.target.asides if aside not in asked)]

    def _highlight(self, asked: Sequence[str] | Mapping[str, Any]) -> Body:
        own = dict(asked) if isinstance(asked, Mapping) else {"fields": {field: {} for field in asked}}
        return {"highlight_query": self._highlighted, **own}

    @property
    def _highlighted(self) -> Body:
        """The lexical leg; where it searches the text by language, also the fields that this was made of."""
        question, target = self.question, self.target
        if question.lexical is not None or question.fields or not target.languages:
            return self.lexical
        return queries.either([self.lexical, target.lexical(self.text, target.text_fields, words=self.words)])

    def _fetch_query(self, doc_ids: Sequence[str]) -> Body:
        query: Body = {"filter": [queries.by_ids(doc_ids)]}
        if self.passages and self.vector is not None and self.metadata is not None:
            query["should"] = [queries.best_passage(self.vector, self.metadata.vector_field, doc_ids)]
        return {"bool": query}

    def _timeout(self) -> Body:
        return {"timeout": f"{self.question.timeout_ms}ms"} if self.question.timeout_ms else {}


def _listed(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
