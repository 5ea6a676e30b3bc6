"""Measure what it costs that a large model embeds the documents, and a small one of its space the queries."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from ce2de_os.errors import ConfigError
from ce2de_os.reindex.planning.capacity import seconds_for
from ce2de_os.reindex.planning.sample import docs_per_s

if TYPE_CHECKING:
    from ce2de_os.model.encoder import OnnxEncoder

_QUERY_WORDS = 8  # the first words of a document stand for a query
_QUERIES = 50


@dataclass(frozen=True)
class QueryModel:
    """The model that would embed the queries, compared with the model of the documents.

    Attributes:
        name: its name for people.
        fingerprint: 64 hexadecimal digits that name it.
        docs_per_s: documents of the sample that it encodes in a second on one core.
        seconds: time that encoding all documents with it instead would take the planned workers.
        query_ms: median time to encode one query on one core, in milliseconds.
        document_model_query_ms: the same for the model of the documents.
    """

    name: str
    fingerprint: str
    docs_per_s: float
    seconds: float
    query_ms: float
    document_model_query_ms: float


def check_space(documents: OnnxEncoder, queries: OnnxEncoder) -> None:
    """Raise `ConfigError` if the two models' embeddings cannot be compared."""
    if documents.space != queries.space:
        raise ConfigError(
            f"`query_artifact`: got '{queries.artifact.name}' of the vector space {queries.space[:12]}, "
            f"expected a model of {documents.space[:12]}, the space of '{documents.artifact.name}'; a "
            "student and what an export of its run with `full_depth` writes share one"
        )


def measure(
    documents: OnnxEncoder, queries: OnnxEncoder, texts: Sequence[str], vectors: float, workers: int
) -> QueryModel | None:
    """Encode the sample's ``texts`` and queries against the clock; ``None`` if no document has text.

    ``vectors`` is the number of documents to embed.
    """
    with_text = [text for text in texts if text]
    rate = docs_per_s(queries, with_text)
    if rate is None:
        return None
    asked = [" ".join(text.split()[:_QUERY_WORDS]) for text in with_text[:_QUERIES]]
    return QueryModel(
        name=queries.artifact.name,
        fingerprint=queries.artifact.fingerprint,
        docs_per_s=rate,
        seconds=seconds_for(vectors, rate, workers),
        query_ms=_query_ms(queries, asked),
        document_model_query_ms=_query_ms(documents, asked),
    )


def _query_ms(encoder: OnnxEncoder, asked: Sequence[str]) -> float:
    spent = []
    for query in asked:
        started = time.perf_counter()
        encoder.encode_queries([query])
        spent.append(time.perf_counter() - started)
    return median(spent) * 1000
