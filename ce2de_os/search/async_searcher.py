"""AsyncHybridSearcher: `HybridSearcher` for applications with an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar, Unpack

from ce2de_os.errors import ConfigError
from ce2de_os.search.core import SearchCore, Shared
from ce2de_os.search.question import Question, QuestionOptions
from ce2de_os.search.rerank import Reranker
from ce2de_os.search.result import SearchResult
from ce2de_os.search.steps import Steps, drive_async
from ce2de_os.search.strategy import Strategy
from ce2de_os.search.vectors import CACHED_QUERIES, QueryEncoder

if TYPE_CHECKING:
    from opensearchpy import AsyncOpenSearch  # there only with aiohttp

T = TypeVar("T")


class AsyncHybridSearcher(Shared):
    """Like `HybridSearcher`, with an ``AsyncOpenSearch`` and methods to be awaited.

    The models run in threads, so that the event loop is not kept waiting. The client needs aiohttp, which
    comes with the extra ``async``. Client and searcher belong to the event loop of the first search: make
    both anew for each ``asyncio.run``. A search that is canceled leaves the searcher as it was.
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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._core = SearchCore(index, encoder, reranker, strategy, cached_queries, defaults)

    async def search(self, query: str | Question, **options: Unpack[QuestionOptions]) -> SearchResult:
        """Answer one question, see `HybridSearcher.search`."""
        question = self._core.question(query, options)
        (result,) = await self._drive(self._core.search([question]))
        return result

    async def search_many(
        self, asked: Sequence[str | Question], **options: Unpack[QuestionOptions]
    ) -> list[SearchResult]:
        """Answer several questions in one ``_msearch``, see `HybridSearcher.search_many`."""
        questions = self._core.questions(asked, options)
        return await self._drive(self._core.search(questions))

    async def warm_up(self) -> None:
        """Read the index, look at the cluster, and run the models once; raises like `search`."""
        await self._drive(self._core.warm_up())

    async def _drive(self, steps: Steps[T]) -> T:
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            raise ConfigError(
                "AsyncHybridSearcher: got another event loop than that of its first search, to which its "
                "connections belong; make client and searcher anew in each asyncio.run"
            )
        return await drive_async(self._client, steps)
