"""AsyncHybridSearcher: `HybridSearcher` for applications with an event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from ce2de_os.search.core import SearchCore
from ce2de_os.search.question import Question, QuestionOptions
from ce2de_os.search.rerank import Reranker
from ce2de_os.search.result import SearchResult
from ce2de_os.search.steps import drive_async
from ce2de_os.search.strategy import Strategy
from ce2de_os.search.vectors import CACHED_QUERIES, QueryEncoder

if TYPE_CHECKING:
    from opensearchpy import AsyncOpenSearch  # there only with aiohttp


class AsyncHybridSearcher:
    """Like `HybridSearcher`, with an ``AsyncOpenSearch`` and methods to be awaited.

    The models run in threads, so that they do not block the event loop. The client needs aiohttp, which
    comes with the extra ``async``.
    """

    def __init__(
        self,
        client: AsyncOpenSearch,
        index: str,
        encoder: QueryEncoder | None = None,
        *,
        reranker: Reranker | None = None,
        strategy: Strategy | None = None,
        cached_queries: int = CACHED_QUERIES,
        **defaults: Unpack[QuestionOptions],
    ) -> None:
        self._client = client
        self._core = SearchCore(index, encoder, reranker, strategy, cached_queries, defaults)

    async def search(self, query: str | Question, **options: Unpack[QuestionOptions]) -> SearchResult:
        """Answer one question, see `HybridSearcher.search`."""
        question = self._core.question(query, options)
        (result,) = await drive_async(self._client, self._core.search([question]))
        return result

    async def search_many(
        self, asked: Sequence[str | Question], **options: Unpack[QuestionOptions]
    ) -> list[SearchResult]:
        """Answer several questions in one ``_msearch``, see `HybridSearcher.search_many`."""
        questions = self._core.questions(asked, options)
        return await drive_async(self._client, self._core.search(questions))

    async def warm_up(self) -> None:
        """Read the index and the cluster, and run the models once; raise like `search`."""
        await drive_async(self._client, self._core.warm_up())
