"""LangChain's own runnables over a real OpenSearch."""

from __future__ import annotations

import asyncio
import copy

import pytest
from langchain_core.runnables import RunnableLambda
from opensearchpy import AsyncOpenSearch

from ce2de_os.errors import ConfigError, DataError, IndexSchemaError
from ce2de_os.integrations.langchain import Ce2deRetriever
from ce2de_os.search.async_searcher import AsyncHybridSearcher
from ce2de_os.search.searcher import HybridSearcher
from tests.integration.test_search import ENCODER, articles, ids, make_index

QUESTIONS = ["copy folder", "wait a second"]
TITLES = RunnableLambda(lambda documents: [document.page_content.split("\n")[0] for document in documents])


@pytest.fixture
def searcher(client, index_name):
    return HybridSearcher(client, make_index(client, index_name, articles(40)), ENCODER)


def test_documents_carry_the_embedded_text_and_where_they_stand(searcher):
    expected = searcher.search("copy folder", top_k=3)

    documents = Ce2deRetriever(searcher=searcher, options={"top_k": 3}).invoke("copy folder")

    assert [document.id for document in documents] == ids(expected)
    for document, hit in zip(documents, expected, strict=True):
        assert document.page_content == f"{hit.source['title']}\n{hit.source['body']}"
        told = {"lang": hit.source["lang"], "id": hit.doc_id, "score": hit.score, "rank": hit.rank}
        assert document.metadata == told


def test_in_a_chain_and_in_a_batch(searcher):
    chain = Ce2deRetriever(searcher=searcher, options={"top_k": 2}) | TITLES
    expected = [[hit.source["title"] for hit in searcher.search(one, top_k=2)] for one in QUESTIONS]
    assert chain.invoke(QUESTIONS[0]) == expected[0]
    assert chain.batch(QUESTIONS) == expected


def test_options_of_one_call_go_before_the_retriever_s(searcher):
    retriever = Ce2deRetriever(searcher=searcher, options={"top_k": 2, "mode": "bm25"})
    documents = retriever.invoke("copy folder", top_k=5, filters={"term": {"lang": "de"}})
    assert [document.metadata["lang"] for document in documents] == ["de"] * 5


def test_fields_can_be_chosen(searcher):
    retriever = Ce2deRetriever(searcher=searcher, content_fields=["body"], metadata_fields=["title"])
    (document, *_) = retriever.invoke("copy folder")
    assert set(document.metadata) == {"title", "id", "score", "rank"}
    assert document.metadata["title"] not in document.page_content.split("\n")


def test_awaited_with_a_sync_searcher(searcher):
    retriever = Ce2deRetriever(searcher=searcher)
    expected = retriever.invoke("copy folder", top_k=2)
    assert asyncio.run(retriever.ainvoke("copy folder", top_k=2)) == expected


def test_awaited_with_an_async_searcher(searcher, endpoints, index_name):
    expected = (Ce2deRetriever(searcher=searcher, options={"top_k": 2}) | TITLES).batch(QUESTIONS)

    async def main():
        async with AsyncOpenSearch([endpoints.opensearch_url]) as client:
            asynchronous = AsyncHybridSearcher(client, index_name, ENCODER)
            retriever = Ce2deRetriever(async_searcher=asynchronous, options={"top_k": 2})
            with pytest.raises(ConfigError, match="use ainvoke"):
                retriever.invoke("copy folder")
            return await (retriever | TITLES).abatch(QUESTIONS)

    assert asyncio.run(main()) == expected


def test_mistakes_are_told_as_by_the_searcher(searcher):
    with pytest.raises(ConfigError, match="got no searcher"):
        Ce2deRetriever()
    with pytest.raises(ConfigError, match="topk: no such search option"):
        Ce2deRetriever(searcher=searcher, options={"topk": 2})
    with pytest.raises(ConfigError, match="search_kwargs: no such argument of Ce2deRetriever; there are sea"):
        Ce2deRetriever(searcher=searcher, search_kwargs={"k": 2})
    with pytest.raises(ConfigError, match="top_k: got -2"):
        Ce2deRetriever(searcher=searcher, options={"top_k": -2})
    for name in ("content_fields", "metadata_fields"):
        with pytest.raises(IndexSchemaError, match=f"{name}: t-.* has no field 'boddy'; did you mean 'body'"):
            Ce2deRetriever(searcher=searcher, **{name: ["boddy"]}).invoke("copy")
    with pytest.raises(DataError, match="no hit has the fields of the text"):
        Ce2deRetriever(searcher=searcher).invoke("copy", source=["lang"])
    with pytest.raises(DataError, match="the query is empty"):
        Ce2deRetriever(searcher=searcher).invoke(" ")
    with pytest.raises(IndexSchemaError, match=r"unknown query \[trem\]"):
        Ce2deRetriever(searcher=searcher).invoke("copy", filters={"trem": {"lang": "de"}})


def test_a_copy_shares_the_searcher(searcher):
    retriever = Ce2deRetriever(searcher=searcher)
    assert retriever.model_copy(deep=True).searcher is searcher
    assert copy.deepcopy(retriever).invoke("copy folder") == retriever.invoke("copy folder")
