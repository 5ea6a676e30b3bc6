"""HybridSearcher: answer a question by words, by vectors, or by both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from opensearchpy import OpenSearch

from ce2de_os.index.client import survive_fork
from ce2de_os.search.core import SearchCore, Shared
from ce2de_os.search.question import Question, QuestionOptions
from ce2de_os.search.rerank import Reranker
from ce2de_os.search.result import SearchResult
from ce2de_os.search.steps import drive
from ce2de_os.search.strategy import Strategy
from ce2de_os.search.vectors import CACHED_QUERIES, QueryEncoder


class HybridSearcher(Shared):
    """Searches an index that ``ce2de reindex`` has filled, or any index by BM25 alone.

    A hybrid question takes the best ``candidates`` of each leg from every shard and fuses the two lists.
    Where the cluster has the hybrid query (neural-search 2.19 or later, 3.6 for RRF and z_score), a search
    pipeline fuses them; it travels in the request, so nothing is stored in the cluster. Elsewhere the same
    arithmetic runs here, with the same result.

    Nothing is sent before the first search; `warm_up` makes that one as fast as the rest. One searcher may be
    shared by threads, and by processes that are forked from this one: each has connections of its own. It
    cannot be pickled. When its alias moves to another index, the searcher notices and checks that index's
    model too; an index that carries several models' vectors is searched with the field that fits the encoder.

    ::

        searcher = HybridSearcher(client, "articles-search", OnnxEncoder(), reranker=OnnxReranker(folder))
        result = searcher.search("how do I renew a passport", top_k=5, filters={"term": {"lang": "en"}})
        for hit in result:
            print(hit.rank, hit.score, hit.doc_id, hit.source)

    Args:
        client: the connection to OpenSearch.
        index: an index or an alias; the indices behind an alias must carry vectors of one model.
        encoder: the model whose vectors the index carries; ``None`` if only ``mode="bm25"`` is used.
        reranker: a cross-encoder, or `LateInteraction`, that scores the best hits of every question again;
            ``None``: none.
        strategy: ``"pipeline"`` or ``"client"`` to force one; ``None``: a pipeline where the cluster can,
            else here.
        cached_queries: query vectors to keep for questions that come again.
        defaults: default options of questions, see `Question`.

    Raises:
        ConfigError: an argument is outside its bounds.
        DataError: a default is not valid in OpenSearch.
    """

    def __init__(
        self,
        client: OpenSearch,
        index: str,
        encoder: QueryEncoder | None = None,
        *,
        reranker: Reranker | None = None,
        strategy: Strategy | None = None,
        cached_queries: int = CACHED_QUERIES,
        **defaults: Unpack[QuestionOptions],
    ) -> None:
        survive_fork(client)
        self._client = client
        self._core = SearchCore(index, encoder, reranker, strategy, cached_queries, defaults)

    def search(self, query: str | Question, **options: Unpack[QuestionOptions]) -> SearchResult:
        """Answer one question.

        Args:
            query: the question in plain words, or a `Question`, which the searcher's defaults leave alone.
            options: see `Question`.

        Raises:
            DataError: the query is blank, or a query or filter is not valid in OpenSearch.
            ConfigError: an option is outside its bounds, two exclude each other, or one needs an encoder or
                a reranker that the searcher does not have.
            ArtifactMismatchError: the index carries no vectors of the encoder's space. (Those of another
                model of that space may be searched; the result's ``vector_model`` is its fingerprint.)
            IndexSchemaError: no such index, no vectors in it, or OpenSearch does not understand the request.
            BackendError: OpenSearch does not answer, or rejects the request.
        """
        (result,) = drive(self._client, self._core.search([self._core.question(query, options)]))
        return result

    def search_many(
        self, asked: Sequence[str | Question], **options: Unpack[QuestionOptions]
    ) -> list[SearchResult]:
        """Answer several questions in one ``_msearch``, in the order given; raise like `search`.

        If OpenSearch rejects one question, all fail.
        """
        questions = self._core.questions(asked, options)
        return drive(self._client, self._core.search(questions))

    def warm_up(self) -> None:
        """Read the index and the cluster, and run the models once; raise like `search`."""
        drive(self._client, self._core.warm_up())
