"""Reading OpenSearch's answers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from opensearchpy.exceptions import TransportError

from ce2de_os.records import Leg, ScoredDoc

logger = logging.getLogger(__name__)

Answer = Mapping[str, Any]


class Found(NamedTuple):
    """A document in an answer; ``source`` is empty where it was not asked for."""

    index_name: str
    doc_id: str
    routing: str | None
    score: float
    source: dict[str, Any]

    @property
    def key(self) -> str:
        """Tells documents apart behind an alias, where two indices may hold the same id."""
        return f"{self.doc_id} {self.index_name}"


def found_in(answers: Iterable[Answer]) -> list[Found]:
    """The documents of several answers, best first; equal scores stay in the order of the answers."""
    hits = [hit for answer in answers for hit in answer["hits"]["hits"]]
    documents = [
        Found(hit["_index"], hit["_id"], hit.get("_routing"), hit["_score"], hit.get("_source", {}))
        for hit in hits
    ]
    return sorted(documents, key=lambda document: -document.score)


def scored(documents: Sequence[Found]) -> list[ScoredDoc]:
    """The documents as a run for fusion, under their keys."""
    return [ScoredDoc(document.key, document.score) for document in documents]


def legs(documents: Sequence[Found]) -> dict[str, Leg]:
    """Raw score and rank of each document of one leg, under its key."""
    return {document.key: Leg(document.score, rank) for rank, document in enumerate(documents, start=1)}


def check(answer: Answer) -> None:
    """Raise the error that an item of ``_msearch`` holds, and log shards that did not answer.

    ``_msearch`` answers 200 even where each of its searches failed; so this runs inside ``backend_errors``.

    Raises:
        TransportError: OpenSearch's own, with its status and reason.
    """
    if "error" in answer:
        raise TransportError(answer.get("status", 500), "search failed", {"error": answer["error"]})
    shards = answer.get("_shards", {})
    if answer.get("timed_out") or shards.get("failed"):
        logger.warning(
            "The results are not complete: %s of %s shards failed",
            shards.get("failed"),
            shards.get("total"),
            extra={"action": "search", "timed_out": answer.get("timed_out")},
        )
