"""Everything that a question can say, on an OpenSearch of today and on an older one."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ce2de_os.fusion import LowerBound
from ce2de_os.index.vector_field import VectorField
from ce2de_os.search.question import Question
from ce2de_os.search.searcher import HybridSearcher
from tests.integration.test_search import (
    DIM,
    ENCODER,
    METADATA,
    STRATEGIES,
    WORDS,
    articles,
    assert_same_documents,
    ids,
    make_index,
)


@pytest.fixture(scope="module")
def filled(cluster):
    """A function that gives an index of so many shards; no test may change it."""
    names = {shards: f"t-{uuid.uuid4().hex[:10]}" for shards in (1, 2, 3)}
    made = {}

    def get(shards):
        if shards not in made:
            made[shards] = make_index(cluster, names[shards], articles(), shards=shards)
        return made[shards]

    yield get
    for name in made.values():
        cluster.indices.delete(index=name)


@pytest.fixture
def index(filled):
    return filled(1)


@pytest.fixture
def searcher(cluster, index):
    return HybridSearcher(cluster, index, ENCODER, candidates=30)


class WordReranker:
    """Counts how often the query's first word stands in a document; remembers what it was given."""

    def __init__(self):
        self.scored = []

    def score(self, query, documents):
        self.scored += documents
        word = query.split()[0]
        return np.array([document.split().count(word) for document in documents], dtype=np.float32)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dense_weight": 1},
        {"dense_weight": 0.2, "filters": {"term": {"lang": "de"}}},
        {"fusion": "l2"},
        {"fusion": "z_score", "dense_weight": 0.7},
        {"fusion": "rrf", "rrf_k": 10},
        {"fusion": "rrf", "dense_weight": 0.8},
        {"lower_bounds": (LowerBound(1.0), LowerBound(1.2, "clip"))},
        {"lower_bounds": (None, LowerBound(1.5))},
        {"lexical": {"match": {"body": "folder"}}},
        {"fields": ["title^4", "body"]},
    ],
    ids=str,
)
def test_both_strategies_give_the_same_ranking(cluster, filled, shards, options):
    index = filled(shards)
    automatic, here = (
        HybridSearcher(cluster, index, ENCODER, candidates=20, strategy=strategy, explain=True).search(
            "copy folder", top_k=30, **options
        )
        for strategy in STRATEGIES
    )
    assert here.strategy == "client"
    tolerance = 1e-6
    if options.get("fusion") == "rrf" and shards > 1:
        tolerance = 1 / 11 - 1 / 12  # equal scores in two shards may stand in either order
    assert [hit.score for hit in automatic] == pytest.approx([hit.score for hit in here], abs=tolerance)
    if tolerance == 1e-6:
        assert_same_documents(automatic, here)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("options", [{}, {"fusion": "rrf"}, {"mode": "bm25"}, {"mode": "dense"}], ids=str)
def test_each_document_stands_on_exactly_one_page(cluster, filled, strategy, options):
    index = filled(2)
    searcher = HybridSearcher(cluster, index, ENCODER, candidates=40, strategy=strategy, **options)
    whole = searcher.search("copy folder", top_k=40)
    pages = [searcher.search("copy folder", top_k=7, from_=start) for start in range(0, 308, 7)]

    assert [hit.doc_id for page in pages[:5] for hit in page] == ids(whole)[:35]
    paged = [hit.doc_id for page in pages for hit in page]
    assert len(paged) == len(set(paged))
    assert not pages[-1].hits  # beyond the candidates: empty, not an error
    assert [hit.rank for page in pages for hit in page] == list(range(1, len(paged) + 1))
    if options.get("mode") == "bm25":
        assert len(paged) == cluster.count(index=index, body={"query": words("copy folder")})["count"]


def words(text):
    return {"multi_match": {"query": text, "fields": ["title", "body"], "type": "most_fields"}}


class TestOptions:
    def test_a_count_is_that_of_either_leg(self, searcher, cluster, index):
        matching = cluster.count(index=index, body={"query": words("copy")})["count"]
        nearest = ids(searcher.search("copy", mode="dense", top_k=30))
        lexical = set(ids(searcher.search("copy", mode="bm25", top_k=300)))
        expected = matching + len(set(nearest) - lexical)

        assert searcher.search("copy", track_total_hits=True).total == expected
        assert searcher.search("copy").total is None
        assert searcher.search("copy", mode="bm25", track_total_hits=True).total == matching

    @pytest.mark.parametrize("mode", ["hybrid", "bm25", "dense"])
    def test_aggregations_are_over_what_matches(self, searcher, mode):
        aggregations = {"by_lang": {"terms": {"field": "lang"}}}
        result = searcher.search("copy", mode=mode, aggregations=aggregations)
        counts = {bucket["key"]: bucket["doc_count"] for bucket in result.aggregations["by_lang"]["buckets"]}
        assert sum(counts.values()) == result.total
        assert set(counts) == {"en", "de"}

    @pytest.mark.parametrize("mode", ["hybrid", "bm25", "dense"])
    def test_collapse_keeps_the_best_of_each_value(self, cluster, index, mode):
        for strategy in STRATEGIES:
            searcher = HybridSearcher(cluster, index, ENCODER, strategy=strategy, mode=mode)
            whole = searcher.search("copy folder", top_k=100)
            collapsed = searcher.search("copy folder", top_k=100, collapse="lang")
            best = {hit.source["lang"]: hit.doc_id for hit in reversed(whole.hits)}
            assert {hit.source["lang"]: hit.doc_id for hit in collapsed} == best
            assert len(collapsed) == 2

    @pytest.mark.parametrize("mode", ["hybrid", "bm25", "dense"])
    def test_sort_pages_through_what_matches(self, searcher, mode):
        order = [{"lang": "asc"}, {"_doc": "asc"}]
        pages = [
            searcher.search("copy", mode=mode, top_k=9, from_=start, sort=order) for start in range(0, 302, 9)
        ]
        paged = [hit for page in pages for hit in page]
        total = searcher.search("copy", mode=mode, track_total_hits=True).total
        assert len({hit.doc_id for hit in paged}) == len(paged) == total
        assert [hit.sort[0] for hit in paged] == sorted(hit.source["lang"] for hit in paged)

    @pytest.mark.parametrize("from_", [0, 3])
    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_highlights(self, cluster, index, strategy, from_):
        searcher = HybridSearcher(cluster, index, ENCODER, strategy=strategy)
        result = searcher.search("folder", highlight=["title"], from_=from_, top_k=3)
        assert len(result) == 3
        for hit in result:
            assert ("<em>folder</em>" in str(hit.highlight)) == ("folder" in hit.source["title"])

    @pytest.mark.parametrize("strategy", STRATEGIES)
    @pytest.mark.parametrize(
        ("source", "fields"),
        [(["title"], {"title"}), (False, set()), ({"excludes": ["body"]}, {"title", "lang"}), ("*", None)],
    )
    def test_source_is_filtered_and_vectors_stay(self, cluster, cluster_index, strategy, source, fields):
        ours = {"ce2de_vector_hash": "abc", "ce2de_vector_origin": {"shard": 0, "seq_no": 7}}
        hashed = ({**document, **ours} for document in articles(10))
        index = make_index(cluster, cluster_index, hashed)
        for mode in ("hybrid", "bm25", "dense"):
            searcher = HybridSearcher(cluster, index, ENCODER, strategy=strategy)
            for hit in searcher.search("copy", mode=mode, source=source):
                assert set(hit.source) <= (fields if fields is not None else {"title", "body", "lang"})

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_min_score_cuts_the_list(self, cluster, index, strategy):
        searcher = HybridSearcher(cluster, index, ENCODER, strategy=strategy, top_k=30)
        whole = searcher.search("copy folder")
        limit = whole[10].score
        expected = [hit.doc_id for hit in whole if hit.score >= limit]
        assert ids(searcher.search("copy folder", min_score=limit)) == expected
        assert ids(searcher.search("copy folder", min_score=limit, top_k=5, from_=5)) == expected[5:10]

    def test_legs_are_told_on_demand(self, searcher):
        assert {hit.bm25 for hit in searcher.search("copy")} == {None}
        told = searcher.search("copy", explain=True)
        assert all(hit.bm25 or hit.dense for hit in told)

    def test_one_request_answers_many_questions(self, searcher):
        asked = ["copy folder", Question("sort key", mode="bm25", top_k=3), "wait a second"]
        together = searcher.search_many(asked, from_=2)
        alone = [searcher.search(one, from_=2) for one in asked]
        assert [result.hits for result in together] == [result.hits for result in alone]

    def test_threads_share_a_searcher(self, searcher):
        questions = [f"{first} {second}" for first in ("copy", "sort") for second in ("folder", "key")] * 6
        expected = {question: ids(searcher.search(question)) for question in set(questions)}
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda question: ids(searcher.search(question)), questions))
        assert found == [expected[question] for question in questions]

    def test_after_a_warm_up_nothing_is_asked_but_the_search(self, cluster, index, monkeypatch):
        searcher = HybridSearcher(cluster, index, ENCODER, reranker=WordReranker())
        searcher.warm_up()
        send, asked = cluster.transport.perform_request, []

        def watched(method, url, *args, **kwargs):
            asked.append(url)
            return send(method, url, *args, **kwargs)

        monkeypatch.setattr(cluster.transport, "perform_request", watched)
        result = searcher.search("warm up")
        assert asked
        assert {url.rpartition("/")[2] for url in asked} <= {"_search", "_msearch"}
        assert result.vector_field == "ce2de_vector"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_field_of_bytes_is_asked_with_bytes(cluster, cluster_index, strategy):
    field = VectorField(DIM, data_type="byte")
    vectors = [ENCODER.encode_queries([word]) for word in WORDS]
    properties = {"title": {"type": "text"}, "body": {"type": "text"}, "ce2de_vector": field.mapping()}
    mappings = {"_meta": METADATA.to_meta(), "properties": properties}
    body = {"settings": {"index.knn": True}, "mappings": mappings}
    cluster.indices.create(index=cluster_index, body=body)
    for word, vector in zip(WORDS, vectors, strict=True):
        document = {"title": word, "ce2de_vector": field.encode(vector)[0]}
        cluster.index(index=cluster_index, id=word, body=document)
    cluster.indices.refresh(index=cluster_index)

    searcher = HybridSearcher(cluster, cluster_index, ENCODER, strategy=strategy)
    for mode in ("dense", "hybrid"):
        assert ids(searcher.search("folder", mode=mode, top_k=1)) == ["folder"]


class TestReRanking:
    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_the_best_hits_are_scored_again(self, cluster, index, strategy):
        plain = HybridSearcher(cluster, index, ENCODER, strategy=strategy).search("copy folder", top_k=40)
        reranker = WordReranker()
        searcher = HybridSearcher(cluster, index, ENCODER, reranker=reranker, strategy=strategy)
        result = searcher.search("copy folder", top_k=40, rerank_depth=25)

        counts = {hit.doc_id: text_of(hit).split().count("copy") for hit in plain}
        assert ids(result)[:25] == sorted(ids(plain)[:25], key=lambda doc_id: -counts[doc_id])
        assert ids(result)[25:] == ids(plain)[25:]
        assert [hit.logit for hit in result[:25]] == [counts[hit.doc_id] for hit in result[:25]]
        assert {hit.logit for hit in result[25:]} == {None}
        assert (result.reranked, result.rerank_wanted) == (25, 25)
        assert reranker.scored == [text_of(hit) for hit in plain[:25]]

    def test_pages_are_cut_out_of_the_new_order(self, cluster, index):
        searcher = HybridSearcher(cluster, index, ENCODER, reranker=WordReranker(), rerank_depth=20)
        whole = ids(searcher.search("copy folder", top_k=48))
        pages = [ids(searcher.search("copy folder", top_k=12, from_=start)) for start in (0, 12, 24, 36)]
        assert [doc_id for page in pages for doc_id in page] == whole

    @pytest.mark.parametrize("source", [False, ["lang"]])
    def test_the_texts_are_read_whatever_is_returned(self, cluster, index, source):
        reranker = WordReranker()
        searcher = HybridSearcher(cluster, index, ENCODER, reranker=reranker)
        searcher.search("copy folder", top_k=3, source=source, rerank_depth=3)
        plain = HybridSearcher(cluster, index, ENCODER).search("copy folder", top_k=3)
        assert reranker.scored == [text_of(hit) for hit in plain]

    def test_no_time_at_all_leaves_the_fused_order(self, cluster, index):
        searcher = HybridSearcher(cluster, index, ENCODER, reranker=WordReranker())
        result = searcher.search("copy folder", rerank_deadline_ms=0)
        assert ids(result) == ids(searcher.search("copy folder", rerank_depth=0))
        assert (result.reranked, result.rerank_wanted) == (0, 50)


def text_of(hit):
    return f"{hit.source['title']}\n{hit.source['body']}"


class TestPassages:
    METADATA = METADATA.__class__("parts", ("title", "body"), ENCODER.space, DIM, "w", "a", passages=True)
    SENTENCES = ("copy every file", "wait for one second", "choice of a random key")

    @pytest.fixture
    def index(self, cluster, cluster_index):
        method = {"name": "hnsw", "engine": "lucene", "space_type": "innerproduct"}
        vector = {"type": "knn_vector", "dimension": DIM, "method": method}
        part = {"vector": vector, "start": {"type": "integer"}, "end": {"type": "integer"}}
        properties = {
            "title": {"type": "text"},
            "body": {"type": "text"},
            "parts": {"type": "nested", "properties": part},
        }
        cluster.indices.create(
            index=cluster_index,
            body={
                "settings": {"index.knn": True, "number_of_shards": 2, "number_of_replicas": 0},
                "mappings": {"_meta": self.METADATA.to_meta(), "properties": properties},
            },
        )
        for number in range(12):
            order = [self.SENTENCES[(number + turn) % 3] for turn in range(3)]
            document = {"title": f"note {number}", "body": "\n".join(order)}
            text = f"{document['title']}\n{document['body']}"
            document["parts"] = [
                {
                    "vector": ENCODER.encode_queries([sentence])[0].tolist(),
                    "start": text.index(sentence),
                    "end": text.index(sentence) + len(sentence),
                }
                for sentence in order
            ]
            cluster.index(index=cluster_index, id=str(number), body=document)
        cluster.indices.refresh(index=cluster_index)
        return cluster_index

    @pytest.mark.parametrize("strategy", STRATEGIES)
    @pytest.mark.parametrize("mode", ["hybrid", "dense"])
    @pytest.mark.parametrize("source", [True, False])
    def test_hits_tell_the_passage_that_fits(self, cluster, index, strategy, mode, source):
        searcher = HybridSearcher(cluster, index, ENCODER, strategy=strategy, mode=mode, source=source)
        result = searcher.search("wait one second", top_k=12)
        assert len(result) == 12
        assert {hit.passage.text for hit in result} == {"wait for one second"}
        for hit in result:
            assert "parts" not in hit.source
            if source:
                assert text_of(hit)[hit.passage.start : hit.passage.end] == hit.passage.text

    def test_both_strategies_rank_passages_alike(self, cluster, index):
        automatic, here = (
            HybridSearcher(cluster, index, ENCODER, strategy=strategy).search(
                "wait key", explain=True, top_k=12
            )
            for strategy in STRATEGIES
        )
        assert [hit.score for hit in automatic] == pytest.approx([hit.score for hit in here], abs=1e-6)
        assert_same_documents(automatic, here)

    def test_the_cross_encoder_reads_passages(self, cluster, index):
        reranker = WordReranker()
        searcher = HybridSearcher(cluster, index, ENCODER, reranker=reranker)
        searcher.search("random choice", top_k=3, rerank_depth=5)
        assert reranker.scored == ["choice of a random key"] * 5

    def test_filters_hold_for_passages_too(self, cluster, index):
        searcher = HybridSearcher(cluster, index, ENCODER, mode="dense")
        only = {"ids": {"values": ["3", "7"]}}
        assert sorted(ids(searcher.search("wait one second", filters=only))) == ["3", "7"]

    def test_bm25_needs_none(self, cluster, index):
        result = HybridSearcher(cluster, index).search("wait", mode="bm25")
        assert {hit.passage for hit in result} == {None}
        assert all("parts" not in hit.source for hit in result)


class TestAsync:
    """The async driver; everything else is shared with the sync one."""

    def run(self, url, use):
        from opensearchpy import AsyncOpenSearch

        async def main():
            async with AsyncOpenSearch([url]) as client:
                return await use(client)

        return asyncio.run(main())

    def test_the_same_answers(self, cluster_url, searcher, index):
        from ce2de_os.search.async_searcher import AsyncHybridSearcher

        async def use(client):
            other = AsyncHybridSearcher(client, index, ENCODER, candidates=30)
            await other.warm_up()
            many = await other.search_many(["copy folder", "sort key"], explain=True)
            return await other.search("copy folder", explain=True), many

        one, many = self.run(cluster_url, use)
        expected = searcher.search_many(["copy folder", "sort key"], explain=True)
        assert one.hits == expected[0].hits
        assert [result.hits for result in many] == [result.hits for result in expected]

    def test_many_at_once(self, cluster_url, searcher, index):
        from ce2de_os.search.async_searcher import AsyncHybridSearcher

        async def use(client):
            other = AsyncHybridSearcher(client, index, ENCODER, candidates=30, reranker=WordReranker())
            return await asyncio.gather(*(other.search("copy folder", rerank_depth=5) for _ in range(20)))

        results = self.run(cluster_url, use)
        assert len({tuple(ids(result)) for result in results}) == 1

    def test_errors_are_the_same(self, cluster_url, index):
        from ce2de_os.errors import IndexSchemaError
        from ce2de_os.search.async_searcher import AsyncHybridSearcher

        async def use(client):
            other = AsyncHybridSearcher(client, index, ENCODER)
            with pytest.raises(IndexSchemaError, match=r"unknown query \[trem\]"):
                await other.search("copy", filters={"trem": {"lang": "en"}})

        self.run(cluster_url, use)
