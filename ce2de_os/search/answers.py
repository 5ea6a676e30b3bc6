"""Read OpenSearch's answers: turn plain dictionaries into documents and legs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from opensearchpy.exceptions import TransportError

from ce2de_os.index.client import reason
from ce2de_os.records import Leg, ScoredDoc

logger = logging.getLogger(__name__)

Answer = Mapping[str, Any]


class FoundDocuments(NamedTuple):
    """A document in an answer; parts that were not requested are empty.

    ``values`` are requested field values outside of the source; ``inner`` is the best inner hit.
    """

    index_name: str
    doc_id: str
    score: float
    source: dict[str, Any]
    values: Mapping[str, Any] = {}
    highlight: Mapping[str, list[str]] | None = None
    sort: list[Any] | None = None
    inner: Answer | None = None

    @property
    def key(self) -> str:
        """Unique key behind an alias, where two indices may hold the same id."""
        return f"{self.doc_id} {self.index_name}"


def documents_in(answer: Answer) -> list[FoundDocuments]:
    """Return the documents of one answer, in its order."""
    return [_found(hit) for hit in answer["hits"]["hits"]]


def found_in(answers: Iterable[Answer]) -> list[FoundDocuments]:
    """Return the documents of several answers, best first; equal scores keep the order of the answers."""
    documents = [document for answer in answers for document in documents_in(answer)]
    return sorted(documents, key=lambda document: -document.score)


def _found(hit: Answer) -> FoundDocuments:
    inner = [found for answer in hit.get("inner_hits", {}).values() for found in answer["hits"]["hits"]]
    return FoundDocuments(
        hit["_index"],
        hit["_id"],
        hit.get("_score") or 0.0,  # a sorted hit has none
        hit.get("_source", {}),
        hit.get("fields", {}),
        hit.get("highlight"),
        hit.get("sort"),
        inner[0] if inner else None,
    )


def indices_in(answers: Iterable[Answer]) -> set[str]:
    """Return the indices that the documents of some answers come from."""
    return {hit["_index"] for answer in answers for hit in answer["hits"]["hits"]}


def scored(documents: Sequence[FoundDocuments]) -> list[ScoredDoc]:
    """Convert documents to a run for fusion, under their keys."""
    return [ScoredDoc(document.key, document.score) for document in documents]


def legs(documents: Sequence[FoundDocuments]) -> dict[str, Leg]:
    """Return the raw score and rank of each document of one leg, under its key."""
    return {document.key: Leg(document.score, rank) for rank, document in enumerate(documents, start=1)}


def total_in(answer: Answer) -> int | None:
    """Return how many documents match; ``None`` if OpenSearch did not count them all."""
    total = answer["hits"].get("total")
    return total["value"] if total and total["relation"] == "eq" else None


def failures_in(answers: Iterable[Answer]) -> tuple[str, ...]:
    """Return each shard that did not answer, with its reason."""
    told: dict[str, None] = {}
    for answer in answers:
        shards = answer.get("_shards", {})
        for failure in shards.get("failures", []):
            told[f"{failure.get('index')}[{failure.get('shard')}]: {reason(failure.get('reason'))}"] = None
        if _silent(shards) and not shards.get("failures"):
            told[f"{_silent(shards)} of {shards['total']} shards did not answer"] = None
    return tuple(told)


def _silent(shards: Mapping[str, Any]) -> int:
    """Count the shards that did not answer; one without an active copy is no failure to OpenSearch."""
    total = int(shards.get("total", 0))
    return max(int(shards.get("failed", 0)), total - int(shards.get("successful", total)))


def check(answer: Answer) -> None:
    """Raise the error that an item of ``_msearch`` holds, and log shards that did not answer.

    ``_msearch`` answers 200 even where each of its searches failed; so this runs inside ``backend_errors``.

    Raises:
        TransportError: OpenSearch's own, with its status and reason.
    """
    if "error" in answer:
        raise TransportError(answer.get("status", 500), "search failed", {"error": answer["error"]})
    shards = answer.get("_shards", {})
    if answer.get("timed_out") or _silent(shards):
        logger.warning(
            "The results are not complete: %s of %s shards failed",
            _silent(shards),
            shards.get("total"),
            extra={"action": "search", "timed_out": answer.get("timed_out")},
        )
