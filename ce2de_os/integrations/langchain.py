"""Ce2deRetriever for LangChain: hybrid search as a runnable; needs the extra ``langchain``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from ce2de_os.errors import ConfigError, extra_needed
from ce2de_os.integrations.hit_parts import HitParts
from ce2de_os.search.async_searcher import AsyncHybridSearcher
from ce2de_os.search.question import Question
from ce2de_os.search.result import SearchResult
from ce2de_os.search.searcher import HybridSearcher

with extra_needed("langchain"):
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from pydantic import model_validator

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun


class Ce2deRetriever(BaseRetriever):
    """The hits of a hybrid search as LangChain documents, best first.

    ::

        retriever = Ce2deRetriever(searcher=searcher, options={"top_k": 4})
        retriever.invoke("how do I copy a folder")
        retriever.invoke("copy a folder", filters={"term": {"lang": "en"}})  # options of one call

    Attributes:
        searcher: answers ``invoke`` and ``batch``; ``None``: only the awaited methods work.
        async_searcher: answers ``ainvoke`` and ``abatch``; ``None``: ``searcher`` does, in threads.
        options: options of the questions, see `ce2de_os.search.question.Question`.
        content_fields: the fields in ``page_content``; ``None``: the text that was embedded.
        metadata_fields: the fields in ``metadata``; ``None``: all others. See
            `ce2de_os.integrations.hit_parts.HitParts` for its other entries.

    Raises:
        ConfigError: there is no searcher, no such argument or option, or an option is outside its bounds.
        DataError: a list of fields is not one.
    """

    searcher: HybridSearcher | None = None
    async_searcher: AsyncHybridSearcher | None = None
    options: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it
    content_fields: list[str] | None = None
    metadata_fields: list[str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, values: Any) -> Any:  # noqa: ANN401 - pydantic's
        unknown = sorted(set(values) - set(cls.model_fields)) if isinstance(values, dict) else ()
        if unknown:
            known = ", ".join(name for name in cls.model_fields if name not in BaseRetriever.model_fields)
            raise ConfigError(f"{unknown[0]}: no such argument of Ce2deRetriever; there are {known}")
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.searcher is None and self.async_searcher is None:
            raise ConfigError("Ce2deRetriever: got no searcher; pass searcher, async_searcher, or both")
        Question("").changed(self.options).check_options()
        self._parts()
        return self

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        **options: Any,  # noqa: ANN401 - the searcher's own options
    ) -> list[Document]:
        return self._documents(self._search(query, options))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        **options: Any,  # noqa: ANN401
    ) -> list[Document]:
        if self.async_searcher is None:
            return self._documents(await asyncio.to_thread(self._search, query, options))
        return self._documents(await self.async_searcher.search(query, **{**self.options, **options}))

    def _search(self, query: str, options: Mapping[str, Any]) -> SearchResult:
        if self.searcher is None:
            raise ConfigError("Ce2deRetriever: got async_searcher alone; use ainvoke, or pass searcher too")
        return self.searcher.search(query, **{**self.options, **options})

    def _parts(self) -> HitParts:
        return HitParts.of(self.content_fields, self.metadata_fields)

    def _documents(self, result: SearchResult) -> list[Document]:
        return [
            Document(id=part.doc_id, page_content=part.content, metadata=part.metadata)
            for part in self._parts().read(result)
        ]
