"""SearchResult: the hits of one question, and how they were found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

from ce2de_os.index.text_spec import TextSpec
from ce2de_os.records import Hit
from ce2de_os.search.target import Target


class Timings(NamedTuple):
    """The time of each step, in milliseconds, as the caller sees it.

    ``search_ms`` is the time until OpenSearch's answer, the network included; in `search_many` all
    questions share it, and ``encode_ms`` too.
    """

    encode_ms: float
    search_ms: float
    rerank_ms: float


@dataclass(frozen=True)
class SearchResult(Sequence[Hit]):
    """The answer to one question; iterating, indexing and ``len`` mean its hits.

    Attributes:
        hits: best first.
        total: documents that match, where they were counted: with ``track_total_hits`` or ``aggregations``.
        strategy: how the legs were fused: ``"pipeline"`` or ``"client"``; ``None``: there was nothing to
            join.
        took_ms: OpenSearch's own time.
        timed_out: whether ``timeout_ms`` passed before every document was looked at.
        failures: shards that did not answer, each with its reason: ``"articles-v2[0]: ..."``.
        reranked: hits that the reranker scored.
        rerank_wanted: hits that it should have scored; more than ``reranked`` when the deadline came first.
        aggregations: OpenSearch's answer to ``aggregations``.
        vector_field: the vector field that was searched; ``None``: none was.
        vector_model: fingerprint of the model that embedded the documents there; it may be another one of the
            searcher's vector space.
        text: how a hit's text is made of its fields: the embedded ones, or where no vectors were searched
            the fields for BM25.
        timings: where the time went.
        target: what was searched, where it is known; for comparing names of fields.
        whole: whether the hits were asked for with all of their fields.
    """

    hits: tuple[Hit, ...]
    total: int | None
    strategy: str | None
    took_ms: int
    timed_out: bool
    failures: tuple[str, ...]
    reranked: int
    rerank_wanted: int
    aggregations: Mapping[str, Any] | None
    vector_field: str | None
    vector_model: str | None
    text: TextSpec
    timings: Timings
    target: Target | None = None
    whole: bool = True

    @property
    def is_partial(self) -> bool:
        """Return whether better documents may be missing, because of a failed shard or the timeout."""
        return self.timed_out or bool(self.failures)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "hits": [hit.to_json() for hit in self.hits],
            "total": self.total,
            "strategy": self.strategy,
            "took_ms": self.took_ms,
            "timed_out": self.timed_out,
            "failures": list(self.failures),
            "reranked": self.reranked,
            "rerank_wanted": self.rerank_wanted,
            "aggregations": self.aggregations,
            "vector_field": self.vector_field,
            "vector_model": self.vector_model,
            "timings": self.timings._asdict(),
        }

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    @overload
    def __getitem__(self, position: int) -> Hit: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, position: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[position]
