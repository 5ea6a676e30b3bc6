"""Search documents in memory, for collections that are not in OpenSearch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import bm25s

from ce2de_os.arrays import Embeddings
from ce2de_os.distill.data.candidates import Retrieve
from ce2de_os.errors import DataError
from ce2de_os.evaluation import Collection, Runs, exact_search
from ce2de_os.records import Query, ScoredDoc

_STOP_WORDS = frozenset(["da", "de", "en", "es", "fr", "it", "ko", "nl", "no", "pt", "ru", "sv", "tr", "zh"])


def bm25_retriever(doc_ids: Sequence[str], texts: Sequence[str], language: str = "en") -> Retrieve:
    """Create a BM25 search with the stop words of ``language`` and without stemming.

    Only documents that share a word are found. A language that is not known has no stop words.

    Raises:
        DataError: no document has a word.
    """
    stopwords = language if language in _STOP_WORDS else None
    words = bm25s.tokenize(list(texts), stopwords=stopwords, show_progress=False)
    if not any(words.ids):
        raise DataError(f"none of {len(texts):,} documents has a word to search for; expected prose")
    index = bm25s.BM25()
    index.index(words, show_progress=False)

    def retrieve(queries: Sequence[Query], top_k: int) -> Runs:
        asked = bm25s.tokenize(
            [query.text for query in queries], stopwords=stopwords, show_progress=False, return_ids=False
        )
        found, scores = index.retrieve(asked, k=min(top_k, len(doc_ids)), show_progress=False)
        return {
            query.query_id: [
                ScoredDoc(doc_ids[row], float(score))
                for row, score in zip(rows, row_scores, strict=True) if score > 0
            ]
            for query, rows, row_scores in zip(queries, found, scores, strict=True)
        }  # fmt: skip

    return retrieve


def dense_retriever(
    doc_ids: Sequence[str], embeddings: Embeddings, embed: Callable[[Sequence[str]], Embeddings]
) -> Retrieve:
    """Create an exact search by inner product; equal scores are ordered as in ``doc_ids``.

    Args:
        doc_ids: the documents.
        embeddings: embeddings of the documents, ``(B, D)`` float32.
        embed: returns embeddings of queries, such as ``OnnxEncoder.encode_queries``.
    """

    def retrieve(queries: Sequence[Query], top_k: int) -> Runs:
        texts = [query.text for query in queries]
        found = Collection("", list(doc_ids), [], [query.query_id for query in queries], texts, {})
        return exact_search(found, embeddings, embed(texts), top_k)

    return retrieve
