"""The OpenSearch integrations of LangChain and Haystack, with a sentence-transformers encoder, to be timed.

They are imported only when asked for; see the module `benchmarks.query_latency` for how to install them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from opensearchpy import OpenSearch
from sentence_transformers import SentenceTransformer

from ce2de_os.distill.config import DEFAULT_TEACHER
from ce2de_os.distill.models.hub import locate

TOP_K = 10
PIPELINE = "benchmark_query_latency"

Ask = Callable[[str], int]
"""Asks one question, and returns how many documents came."""


class CountingEncoder:
    """all-MiniLM-L6-v2 on sentence-transformers, on one thread; counts what it encodes."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self._model = SentenceTransformer(locate(DEFAULT_TEACHER), device="cpu")
        self.encoded = 0

    def encode(self, text: str) -> list[float]:
        """Encode one text, and count it."""
        self.encoded += 1
        vector: list[float] = self._model.encode(
            text, normalize_embeddings=True, show_progress_bar=False
        ).tolist()
        return vector


def langchain_ways(client: OpenSearch, url: str, index: str, encoder: CountingEncoder) -> dict[str, Ask]:
    """Dense and hybrid search of ``OpenSearchVectorSearch``, which has no BM25 of its own."""
    warnings.simplefilter("ignore")  # langchain-community announces its end
    from langchain_community.vectorstores import OpenSearchVectorSearch
    from langchain_core.embeddings import Embeddings

    class Wrapped(Embeddings):
        def embed_query(self, text: str) -> list[float]:
            return encoder.encode(text)

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [encoder.encode(text) for text in texts]

    store = OpenSearchVectorSearch(url, index, Wrapped(), engine="lucene")
    store.configure_search_pipelines(PIPELINE, 0.5, 0.5)
    hybrid = {"search_type": "hybrid_search", "search_pipeline": PIPELINE}
    return {
        "dense": lambda text: len(store.similarity_search(text, k=TOP_K)),
        "hybrid": lambda text: len(store.similarity_search(text, k=TOP_K, **hybrid)),
    }


def haystack_ways(url: str, index: str, encoder: CountingEncoder) -> dict[str, Ask]:
    """BM25, dense and hybrid retrievers; the hybrid one asks twice and joins by RRF in Python."""
    import haystack
    from haystack_integrations.components.retrievers.opensearch import (
        OpenSearchBM25Retriever,
        OpenSearchEmbeddingRetriever,
        OpenSearchHybridRetriever,
    )
    from haystack_integrations.document_stores.opensearch import OpenSearchDocumentStore

    @haystack.component
    class Embedder:
        @haystack.component.output_types(embedding=list[float])
        def run(self, text: str) -> dict[str, Any]:
            return {"embedding": encoder.encode(text)}

    store = OpenSearchDocumentStore(hosts=url, index=index, embedding_dim=384, create_index=False)
    bm25 = OpenSearchBM25Retriever(document_store=store, top_k=TOP_K)
    dense = OpenSearchEmbeddingRetriever(document_store=store, top_k=TOP_K)
    hybrid = OpenSearchHybridRetriever(store, embedder=Embedder(), top_k=TOP_K)

    def by_vector(text: str) -> int:
        return len(dense.run(query_embedding=encoder.encode(text))["documents"])

    return {
        "BM25": lambda text: len(bm25.run(query=text)["documents"]),
        "dense": by_vector,
        "hybrid": lambda text: len(hybrid.run(query=text)["documents"]),
    }


def encoded_each(ways: dict[str, Ask], encoder: CountingEncoder, texts: Sequence[str]) -> dict[str, float]:
    """How many times each way encodes one question."""
    counts = {}
    for name, ask in ways.items():
        before = encoder.encoded
        for text in texts:
            ask(text)
        counts[name] = (encoder.encoded - before) / len(texts)
    return counts
