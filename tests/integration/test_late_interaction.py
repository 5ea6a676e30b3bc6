"""Late interaction on real servers: stored token vectors, and the three places where they can be scored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from opensearchpy import AsyncOpenSearch, OpenSearch

from ce2de_os.arrays import Embeddings, TokenVectors
from ce2de_os.config import OpenSearchSettings
from ce2de_os.errors import ArtifactError, ConfigError
from ce2de_os.evaluation import Judged
from ce2de_os.index.metadata import fields_from
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.token_field import to_json
from ce2de_os.quality.comparison import ComparisonSettings
from ce2de_os.quality.evaluate import evaluate
from ce2de_os.reindex.job import DONE, Job
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.status import status
from ce2de_os.search.async_searcher import AsyncHybridSearcher
from ce2de_os.search.late_interaction import LateInteraction, max_sim
from ce2de_os.search.result import SearchResult
from ce2de_os.search.searcher import HybridSearcher
from tests.integration.indexes import HashEncoder, InlineQueue, create_index

FIELDS = TextSpec(("title", "body"))
QUERY = "copy the folder"
TEXTS = [
    {"title": "copy the folder", "body": "and nothing else"},
    {"title": "folder", "body": "the copy of a file"},
    {"title": "move a file", "body": "copy or move"},
    {"title": "the weather", "body": "rain in the north"},
    {"title": "copy", "body": "copy copy copy"},
    {"body": None, "number": 7},  # has no text
]


@dataclass(frozen=True)
class TokenEncoder(HashEncoder):
    """A token is a word, and its vector that of its hash."""

    fingerprint: str = "c" * 64
    token_dim: int | None = 16

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        return self.encode_documents(texts)

    def encode_documents_and_tokens(self, texts: Sequence[str]) -> tuple[Embeddings, list[TokenVectors]]:
        return self.encode_documents(texts), self.encode_document_tokens(texts)

    def encode_document_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        return [self.encode_documents(text.split()) for text in texts]

    def encode_query_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
        return self.encode_document_tokens(texts)


ENCODER = TokenEncoder()


def reindex(client: OpenSearch, source: str, encoder: Any = ENCODER, **request: Any) -> Job:
    queue = InlineQueue()
    wanted = {"text": FIELDS, "alias": f"{source}-search", "token_vectors": True, **request}
    job = start(client, JobRequest(source, **wanted), encoder, queue)
    queue.run(client, encoder)
    queue.follow(client, encoder)  # a job that is done goes on as a standing job
    return status(client, job.job_id).job


@pytest.fixture
def alias(client: OpenSearch, index_name: str) -> str:
    create_index(client, index_name, TEXTS)
    job = reindex(client, index_name)
    assert job.state == DONE, job.error
    return f"{index_name}-search"


def logits(result: SearchResult) -> dict[str, float]:
    return {hit.doc_id: hit.logit for hit in result if hit.logit is not None}


def expected_logits() -> dict[str, float]:
    """By the texts themselves; the document without text is like nothing."""
    query = ENCODER.encode_query_tokens([QUERY])[0]
    texts = [FIELDS.text_of(source) for source in TEXTS]
    found = ENCODER.encode_document_tokens(texts[:-1])
    return {**{str(place): max_sim(query, one) for place, one in enumerate(found)}, "5": 0.0}


EVERYTHING: dict[str, Any] = {"mode": "bm25", "lexical": {"match_all": {}}, "rerank_weight": 1}


@pytest.mark.parametrize("scoring", [None, "cluster", "stored", "text"])
def test_every_place_gives_the_scores_of_the_texts(client: OpenSearch, alias: str, scoring: Any) -> None:
    late = LateInteraction(ENCODER, scoring=scoring)
    result = HybridSearcher(client, alias, reranker=late).search(QUERY, **EVERYTHING)
    expected = expected_logits()
    # What is stored is rounded to 1/127.
    assert logits(result) == pytest.approx(expected, abs=1e-6 if scoring == "text" else 4e-3)
    assert [hit.doc_id for hit in result] == sorted(expected, key=lambda doc_id: -expected[doc_id])
    assert (result.reranked, result.rerank_wanted) == (6, 6)


def test_the_cluster_and_the_client_agree_on_what_is_stored(client: OpenSearch, alias: str) -> None:
    found = [
        HybridSearcher(client, alias, reranker=LateInteraction(ENCODER, scoring=scoring)).search(
            QUERY, **EVERYTHING
        )
        for scoring in ("cluster", "stored")
    ]
    assert logits(found[0]) == pytest.approx(logits(found[1]), abs=1e-6)


def test_a_share_is_mixed_with_the_first_stage(client: OpenSearch, alias: str) -> None:
    searcher = HybridSearcher(client, alias, ENCODER, reranker=LateInteraction(ENCODER))
    plain = searcher.search(QUERY, rerank_depth=0)
    assert [hit.doc_id for hit in searcher.search(QUERY, rerank_weight=0)] == [hit.doc_id for hit in plain]
    alone = searcher.search(QUERY, rerank_weight=1)
    assert [hit.doc_id for hit in alone] == sorted(logits(alone), key=lambda one: -logits(alone)[one])


def test_it_can_be_awaited(endpoints: Any, client: OpenSearch, alias: str) -> None:
    async def ask() -> SearchResult:
        settings = OpenSearchSettings(url=endpoints.opensearch_url)
        async with AsyncOpenSearch(**settings.client_kwargs()) as other:
            searcher = AsyncHybridSearcher(other, alias, reranker=LateInteraction(ENCODER))
            return await searcher.search(QUERY, **EVERYTHING)

    assert logits(asyncio.run(ask())) == pytest.approx(expected_logits(), abs=4e-3)


def test_a_deadline_that_is_over_leaves_the_order(client: OpenSearch, alias: str) -> None:
    searcher = HybridSearcher(client, alias, ENCODER, reranker=LateInteraction(ENCODER))
    result = searcher.search(QUERY, rerank_deadline_ms=0)
    assert (result.reranked, logits(result)) == (0, {})
    assert [hit.doc_id for hit in result] == [hit.doc_id for hit in searcher.search(QUERY, rerank_depth=0)]


def test_token_vectors_are_stored_but_neither_indexed_nor_returned(client: OpenSearch, alias: str) -> None:
    (mapping,) = (body["mappings"] for body in client.indices.get_mapping(index=alias).values())
    assert mapping["properties"]["ce2de_vector_tokens"] == {"type": "binary", "doc_values": True}
    assert fields_from(mapping)[0].token_dim == 16
    stored = client.get(index=alias, id="1")["_source"]["ce2de_vector_tokens"]
    (vectors,) = ENCODER.encode_document_tokens(["folder\nthe copy of a file"])
    assert stored == to_json(vectors)
    result = HybridSearcher(client, alias, ENCODER).search(QUERY)
    assert set().union(*(hit.source for hit in result)) == {"title", "body"}


def test_a_long_text_has_more_bytes_than_a_term_may(client: OpenSearch, index_name: str) -> None:
    """32,766 is the limit for values that can be searched."""
    create_index(client, index_name, [{"title": "copy " + "word " * 3000, "body": "end"}])
    assert reindex(client, index_name).state == DONE
    late = LateInteraction(ENCODER, scoring="cluster")
    result = HybridSearcher(client, f"{index_name}-search", reranker=late).search("copy end", **EVERYTHING)
    assert logits(result) == pytest.approx({"0": 1.0}, abs=4e-3)


def test_they_follow_the_text(client: OpenSearch, index_name: str) -> None:
    """In place: a changed text gets new ones, a text that is gone takes its own along, the rest stays."""
    create_index(client, index_name, TEXTS, knn=True)
    assert reindex(client, index_name, alias=None).state == DONE
    before = client.get(index=index_name, id="2")["_version"]
    client.update(index=index_name, id="0", body={"doc": {"title": "new words", "body": ""}}, refresh=True)
    client.update(index=index_name, id="1", body={"doc": {"title": None, "body": None}}, refresh=True)
    assert reindex(client, index_name, alias=None).state == DONE
    changed, gone, same = (client.get(index=index_name, id=one) for one in ("0", "1", "2"))
    assert changed["_source"]["ce2de_vector_tokens"] == to_json(
        ENCODER.encode_document_tokens(["new words"])[0]
    )
    assert gone["_source"]["ce2de_vector_tokens"] is None
    assert same["_version"] == before


def test_they_may_come_later(client: OpenSearch, index_name: str) -> None:
    """Documents whose vectors are right already get token vectors beside them."""
    create_index(client, index_name, TEXTS, knn=True)
    assert reindex(client, index_name, alias=None, token_vectors=False).state == DONE
    assert reindex(client, index_name, alias=None).state == DONE
    late = LateInteraction(ENCODER, scoring="cluster")
    result = HybridSearcher(client, index_name, ENCODER, reranker=late).search(QUERY, **EVERYTHING)
    assert logits(result) == pytest.approx(expected_logits(), abs=4e-3)


def test_they_may_not_be_left_behind(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, TEXTS, knn=True)
    assert reindex(client, index_name, alias=None).state == DONE
    with pytest.raises(ConfigError, match="which must follow the texts; add `token_vectors`"):
        reindex(client, index_name, alias=None, token_vectors=False)


def test_wrong_token_vectors_hold_the_alias(client: OpenSearch, index_name: str) -> None:
    class Changing(TokenEncoder):
        calls = 0

        def encode_document_tokens(self, texts: Sequence[str]) -> list[TokenVectors]:
            Changing.calls += 1
            return [np.roll(one, Changing.calls, axis=1) for one in super().encode_document_tokens(texts)]

    create_index(client, index_name, TEXTS)
    job = reindex(client, index_name, Changing())
    assert job.state != DONE
    assert "differs from its text encoded again" in str(job.error)


def test_an_index_without_them_is_scored_by_its_texts(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, TEXTS)
    assert reindex(client, index_name, token_vectors=False).state == DONE
    alias = f"{index_name}-search"
    result = HybridSearcher(client, alias, reranker=LateInteraction(ENCODER)).search(QUERY, **EVERYTHING)
    assert logits(result) == pytest.approx(expected_logits(), abs=1e-6)
    forced = HybridSearcher(client, alias, reranker=LateInteraction(ENCODER, scoring="cluster"))
    with pytest.raises(
        ConfigError, match="has no token vectors of this model, which scoring 'cluster' needs"
    ):
        forced.search(QUERY, **EVERYTHING)


def test_another_model_s_token_vectors_are_not_compared(client: OpenSearch, alias: str) -> None:
    late = LateInteraction(TokenEncoder(fingerprint="d" * 64), scoring="stored")
    with pytest.raises(ConfigError, match="has no token vectors of this model"):
        HybridSearcher(client, alias, reranker=late).search(QUERY, **EVERYTHING)


def test_passages_have_none_and_the_best_one_is_scored(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, TEXTS)
    passages = TextSpec(("title", "body"), passages=(16, 8))
    with pytest.raises(ConfigError, match="token vectors with passages"):
        reindex(client, index_name, text=passages)
    assert reindex(client, index_name, text=passages, token_vectors=False).state == DONE
    searcher = HybridSearcher(client, f"{index_name}-search", ENCODER, reranker=LateInteraction(ENCODER))
    (query,) = ENCODER.encode_query_tokens([QUERY])
    for hit in searcher.search(QUERY, mode="dense"):
        assert hit.passage is not None
        (vectors,) = ENCODER.encode_document_tokens([hit.passage.text])
        assert hit.logit == pytest.approx(max_sim(query, vectors))


def test_a_model_without_token_vectors_is_refused(client: OpenSearch, index_name: str) -> None:
    create_index(client, index_name, TEXTS)
    with pytest.raises(ArtifactError, match="gives no token vectors; export the student again"):
        reindex(client, index_name, HashEncoder())


def test_a_cluster_without_the_function_has_them_fetched(cluster: OpenSearch, cluster_index: str) -> None:
    """OpenSearch 2.19 does not know it; 3.6 does."""
    create_index(cluster, cluster_index, TEXTS)
    assert reindex(cluster, cluster_index).state == DONE
    searcher = HybridSearcher(cluster, f"{cluster_index}-search", reranker=LateInteraction(ENCODER))
    for _ in range(2):  # the second time it knows
        found = logits(searcher.search(QUERY, **EVERYTHING))
        assert found == pytest.approx(expected_logits(), abs=4e-3)


@pytest.mark.parametrize("scoring", ["cluster", "text"])
def test_an_evaluation_compares_each_search_with_and_without(
    client: OpenSearch, alias: str, scoring: Any
) -> None:
    judged = Judged({"q1": "move or copy", "q2": "rain in the north"}, {"q1": {"2": 1}, "q2": {"3": 1}})
    settings = ComparisonSettings(fusions=("rrf",), latency_queries=1, rerank_weight=1)
    late = LateInteraction(ENCODER, scoring=scoring)
    found = evaluate(client, alias, ENCODER, judged, reranker=late, settings=settings)
    assert [(one.name, one.reference) for one in found.systems[3:]] == [
        ("BM25 + MaxSim", "BM25"), ("dense + MaxSim", "dense"), ("hybrid rrf + MaxSim", "hybrid rrf"),
    ]  # fmt: skip
    # Each question's words stand together in one document alone.
    assert [one.figures["MRR@10"].mean for one in found.systems[3:]] == [1, 1, 1]
