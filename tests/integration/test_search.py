"""Searching a real OpenSearch: both strategies, filters, aliases, and everything a user can get wrong."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import numpy as np
import pytest
from opensearchpy import OpenSearch, helpers

from ce2de_os.arrays import l2_normalize
from ce2de_os.errors import ArtifactMismatchError, ConfigError, IndexSchemaError
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.records import Leg
from ce2de_os.search.searcher import HybridSearcher
from ce2de_os.search.steps import drive
from ce2de_os.search.target import version_steps

DIM = 16
STRATEGIES = (None, "client")  # None: the pipeline, which this cluster has
WORDS = ["copy", "move", "delete", "folder", "file", "path", "wait", "sleep", "second", "random", "choice"]
WORDS += ["list", "sort", "key", "disk", "space"]


class WordEncoder:
    """Each word has a fixed direction, a text is the sum of its words: small, real and repeatable."""

    space = "a" * 64

    def encode_queries(self, texts):
        return l2_normalize(np.stack([self._sum(text) for text in texts]))

    def _sum(self, text):
        vectors = [self._direction(word) for word in text.lower().split()]
        return np.sum(vectors, axis=0, dtype=np.float32)

    @staticmethod
    def _direction(word):
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
        return np.random.default_rng(seed).normal(size=DIM).astype(np.float32)


ENCODER = WordEncoder()
METADATA = IndexMetadata("ce2de_vector", ("title", "body"), ENCODER.space, DIM, "words", "articles")


def articles(count=300, seed=3):
    rng = random.Random(seed)
    for number in range(count):
        title = " ".join(rng.choices(WORDS, k=4))
        yield {
            "_id": f"doc-{number:03d}",
            "title": title,
            "body": " ".join(rng.choices(WORDS, k=rng.randint(5, 40))),
            "lang": "en" if number % 3 else "de",
            "ce2de_vector": ENCODER.encode_queries([title])[0].tolist(),
        }


def make_index(client: OpenSearch, name, documents=(), metadata=METADATA, shards=1, dim=DIM):
    method = {"name": "hnsw", "engine": "lucene", "space_type": "innerproduct"}
    properties = {
        "title": {"type": "text"},
        "body": {"type": "text"},
        "lang": {"type": "keyword"},
        "ce2de_vector": {"type": "knn_vector", "dimension": dim, "method": method},
    }
    meta = {"_meta": metadata.to_meta()} if metadata else {}
    settings = {"index.knn": True, "number_of_shards": shards, "number_of_replicas": 0}
    client.indices.create(
        index=name, body={"settings": settings, "mappings": {**meta, "properties": properties}}
    )
    helpers.bulk(client, [{**document, "_index": name} for document in documents], refresh=True)
    return name


@pytest.fixture
def index(client, index_name):
    return make_index(client, index_name, articles())


def ids(hits):
    return [hit.doc_id for hit in hits]


class TestModes:
    def test_bm25_hits_carry_that_leg_only(self, client, index):
        hits = HybridSearcher(client, index).search("copy folder", top_k=5, mode="bm25")

        assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
        assert [hit.bm25 for hit in hits] == [Leg(hit.score, hit.rank) for hit in hits]
        assert {hit.dense for hit in hits} == {None}

    def test_dense_finds_the_nearest_vectors(self, client, index):
        documents = list(articles())
        vectors = np.array([document["ce2de_vector"] for document in documents])
        products = vectors @ ENCODER.encode_queries(["copy folder"])[0]
        nearest = [documents[position]["_id"] for position in np.argsort(-products)[:5]]

        hits = HybridSearcher(client, index, ENCODER).search("copy folder", top_k=5, mode="dense")

        assert ids(hits) == nearest
        # OpenSearch's score of a positive inner product is 1 + product.
        assert hits[0].score == pytest.approx(1 + products.max(), abs=1e-5)
        assert hits[0].dense == Leg(hits[0].score, 1)

    @pytest.mark.parametrize("mode", ["hybrid", "bm25", "dense"])
    def test_vectors_are_never_returned(self, client, index, mode):
        for strategy in STRATEGIES:
            searcher = HybridSearcher(client, index, ENCODER, strategy=strategy)
            for hit in searcher.search("copy folder", mode=mode):
                assert set(hit.source) == {"title", "body", "lang"}

    def test_a_document_without_vector_is_found_by_its_words(self, client, index):
        client.index(index=index, id="plain", body={"title": "unheard"}, refresh=True)

        (hit,) = HybridSearcher(client, index, ENCODER).search("unheard", top_k=1, explain=True)

        assert (hit.doc_id, hit.dense) == ("plain", None)
        assert hit.bm25 is not None

    def test_the_version_is_read_from_the_cluster(self, client):
        major, minor, *_ = client.info()["version"]["number"].split(".")
        assert drive(client, version_steps()) == (int(major), int(minor))


@pytest.mark.parametrize("fusion", ["min_max", "rrf"])
class TestStrategiesAgree:
    """The client's arithmetic against OpenSearch's own; a tie at the cut is the cluster's choice."""

    QUESTIONS = ("copy folder", "wait a second", "random choice list", "sort key", "disk space file path")

    def both(self, client, index, fusion, question, **options):
        rankings = []
        for strategy in STRATEGIES:
            searcher = HybridSearcher(
                client, index, ENCODER, fusion=fusion, strategy=strategy, candidates=20, dense_weight=0.6
            )
            rankings.append(searcher.search(question, top_k=40, explain=True, **options))
        return rankings

    @pytest.mark.parametrize("question", QUESTIONS)
    def test_on_one_shard(self, client, index, fusion, question):
        pipeline, here = self.both(client, index, fusion, question)

        assert [hit.score for hit in pipeline] == pytest.approx([hit.score for hit in here], abs=1e-6)
        assert_same_documents(pipeline, here)

    def test_with_a_filter(self, client, index, fusion):
        pipeline, here = self.both(client, index, fusion, "copy folder", filters={"term": {"lang": "de"}})

        assert {hit.source["lang"] for hit in (*pipeline, *here)} == {"de"}
        assert_same_documents(pipeline, here)

    def test_with_an_empty_leg(self, client, index, fusion):
        pipeline, here = self.both(client, index, fusion, "unheard words")

        assert {hit.bm25 for hit in (*pipeline, *here)} == {None}
        assert_same_documents(pipeline, here)

    def test_where_nothing_matches(self, client, index, fusion):
        answers = self.both(client, index, fusion, "copy", filters={"term": {"lang": "xx"}})
        assert [answer.hits for answer in answers] == [(), ()]

    def test_one_match_alone_gets_the_highest_score(self, client, index, fusion):
        only = {"ids": {"values": ["doc-007"]}}
        pipeline, here = self.both(client, index, fusion, "copy folder file list", filters=only)

        assert pipeline.hits == here.hits
        assert ids(here) == ["doc-007"]


def assert_same_documents(left, right):
    """Equal up to the order of equal scores, and of those at the cut."""
    cut = left[-1].score + 1e-6
    left_legs, right_legs = (
        {hit.doc_id: (hit.bm25, hit.dense, hit.source) for hit in hits if hit.score > cut}
        for hits in (left, right)
    )
    assert left_legs.keys() == right_legs.keys()
    for doc_id, (*legs, source) in left_legs.items():
        *other_legs, other_source = right_legs[doc_id]
        assert source == other_source
        for leg, other in zip(legs, other_legs, strict=True):
            assert (leg is None) == (other is None)
            # Two requests may add up a dot product in another order, and two neighbours change places.
            if leg is not None:
                assert leg.score == pytest.approx(other.score, abs=1e-6)
                assert abs(leg.rank - other.rank) <= 1


def test_min_max_agrees_on_several_shards(client, index_name):
    index = make_index(client, index_name, articles(), shards=3)
    pipeline, here = (
        HybridSearcher(client, index, ENCODER, strategy=strategy, candidates=15).search(
            "copy folder", top_k=30
        )
        for strategy in STRATEGIES
    )
    assert [hit.score for hit in pipeline] == pytest.approx([hit.score for hit in here], abs=1e-6)
    assert_same_documents(pipeline, here)


def test_rrf_on_several_shards_ranks_over_all_of_them(client, index_name):
    """OpenSearch 2.19.1 counts ranks per shard; whatever the cluster, ours are over all shards."""
    index = make_index(client, index_name, articles(), shards=3)

    searcher = HybridSearcher(client, index, ENCODER, fusion="rrf", candidates=30)
    hits = searcher.search("copy folder", top_k=20, explain=True)

    for hit in hits:
        ranks = [leg.rank for leg in (hit.bm25, hit.dense) if leg]
        # Equal scores in two shards may stand in either order; that moves a sum by up to 1/61 - 1/62.
        assert hit.score == pytest.approx(sum(1 / (60 + rank) for rank in ranks), abs=1 / 61 - 1 / 62)


@pytest.mark.parametrize("strategy", STRATEGIES)
class TestHybrid:
    def test_scores_follow_from_the_legs(self, client, index, strategy):
        searcher = HybridSearcher(client, index, ENCODER, fusion="rrf", rrf_k=10, strategy=strategy)
        for hit in searcher.search("copy folder", explain=True):
            ranks = [leg.rank for leg in (hit.bm25, hit.dense) if leg]
            assert hit.score == pytest.approx(sum(1 / (10 + rank) for rank in ranks), abs=1e-6)

    def test_the_weight_decides_which_leg_leads(self, client, index, strategy):
        def best(mode, **options):
            searcher = HybridSearcher(client, index, ENCODER, strategy=strategy, **options)
            return ids(searcher.search("copy folder", top_k=3, mode=mode))

        assert best("hybrid", dense_weight=0) == best("bm25")
        assert best("hybrid", dense_weight=1) == best("dense")

    def test_legs_are_those_of_the_single_modes(self, client, index, strategy):
        searcher = HybridSearcher(client, index, ENCODER, strategy=strategy)
        bm25 = {hit.doc_id: hit.bm25 for hit in searcher.search("copy folder", top_k=100, mode="bm25")}
        for hit in searcher.search("copy folder", explain=True):
            assert (hit.bm25 and hit.bm25.score) == (bm25.get(hit.doc_id) and bm25[hit.doc_id].score)

    def test_top_k_may_exceed_candidates_and_documents(self, client, index, strategy):
        searcher = HybridSearcher(client, index, ENCODER, strategy=strategy, candidates=5)
        hits = searcher.search("copy folder", top_k=1000)
        assert len(set(ids(hits))) == len(hits) == 300

    def test_a_document_with_routing(self, client, index, strategy):
        document = {"title": "unheard", "ce2de_vector": ENCODER.encode_queries(["unheard"])[0].tolist()}
        client.index(index=index, id="routed", body=document, routing="r1", refresh=True)
        (hit,) = HybridSearcher(client, index, ENCODER, strategy=strategy).search("unheard", top_k=1)
        assert (hit.doc_id, hit.source) == ("routed", {"title": "unheard"})


class TestAliases:
    def test_the_same_id_in_two_indices_is_two_hits(self, client, index_name):
        documents = list(articles(20))
        for suffix in ("a", "b"):
            make_index(client, f"{index_name}-{suffix}", documents)
        client.indices.put_alias(index=f"{index_name}-*", name=f"{index_name}-all")

        for strategy in STRATEGIES:
            hits = HybridSearcher(client, f"{index_name}-all", ENCODER, strategy=strategy).search(
                "copy", top_k=40
            )
            assert sorted(ids(hits)) == sorted(2 * [document["_id"] for document in documents])
            assert all(hit.source for hit in hits)

    def test_indices_with_other_models_are_not_mixed(self, client, index_name):
        make_index(client, f"{index_name}-a")
        make_index(client, f"{index_name}-b", metadata=replace(METADATA, fingerprint="b" * 64))
        with pytest.raises(IndexSchemaError, match=r"but .*-b has vectors of words"):
            HybridSearcher(client, f"{index_name}-*", ENCODER).search("copy")

    @pytest.mark.parametrize("mode", ["hybrid", "dense"])
    def test_an_alias_that_moves_to_another_model_is_noticed(self, client, index_name, mode):
        alias, old, new = (f"{index_name}-{suffix}" for suffix in ("search", "old", "new"))
        make_index(client, old, articles(20))
        client.indices.put_alias(index=old, name=alias)
        searcher = HybridSearcher(client, alias, ENCODER)
        assert searcher.search("copy", mode=mode)

        make_index(client, new, articles(20), metadata=replace(METADATA, fingerprint="b" * 64))
        move(client, alias, old, new)
        with pytest.raises(ArtifactMismatchError):
            searcher.search("copy", mode=mode)

    def test_an_alias_that_moves_to_the_same_model_just_works(self, client, index_name):
        alias, old, new = (f"{index_name}-{suffix}" for suffix in ("search", "old", "new"))
        make_index(client, old, articles(20))
        client.indices.put_alias(index=old, name=alias)
        searcher = HybridSearcher(client, alias, ENCODER)
        searcher.search("copy")

        make_index(client, new, articles(30), shards=2)
        move(client, alias, old, new)
        client.indices.delete(index=old)
        assert len(searcher.search("copy", top_k=50)) == 30


def move(client, alias, old, new):
    actions = [
        {"remove": {"index": old, "alias": alias}},
        {"add": {"index": new, "alias": alias}},
    ]
    client.indices.update_aliases(body={"actions": actions})


class TestBadInput:
    def test_another_model(self, client, index):
        other = WordEncoder()
        other.space = "c" * 64
        with pytest.raises(ArtifactMismatchError) as raised:
            HybridSearcher(client, index, other).search("copy")
        message = str(raised.value)
        assert (
            "the index has vectors of words (aaaaaaaaaaaa), and this model's cannot be compared with them"
            in message
        )
        assert "ce2de reindex start articles" in message

    def test_another_model_of_the_same_space_may_ask(self, client, index_name):
        shared = replace(METADATA, fingerprint="b" * 64, space=ENCODER.space)
        make_index(client, index_name, articles(20), metadata=shared)
        assert HybridSearcher(client, index_name, ENCODER).search("copy", mode="dense")

    def test_bm25_needs_no_model(self, client, index):
        assert HybridSearcher(client, index).search("copy", mode="bm25")
        with pytest.raises(ConfigError, match="only mode 'bm25' works without an encoder"):
            HybridSearcher(client, index).search("copy")

    def test_an_index_without_vectors_is_searched_by_bm25_only(self, client, index_name):
        index = make_index(client, index_name, articles(20), metadata=None)
        searcher = HybridSearcher(client, index, ENCODER)

        assert searcher.search("copy", mode="bm25")
        for mode in ("hybrid", "dense"):
            with pytest.raises(IndexSchemaError, match="make them with: ce2de reindex start"):
                searcher.search("copy", mode=mode)

    def test_an_index_without_text(self, client, index_name):
        client.indices.create(index=index_name, body={"mappings": {"properties": {"n": {"type": "long"}}}})
        with pytest.raises(IndexSchemaError, match="no text field"):
            HybridSearcher(client, index_name).search("copy", mode="bm25")

    @pytest.mark.parametrize("name", ["no-such-index", "no-such-*"])
    def test_no_such_index(self, client, name):
        with pytest.raises(IndexSchemaError, match=r"no such index|no index has this name"):
            HybridSearcher(client, name, ENCODER).search("copy")

    @pytest.mark.parametrize("mode", ["hybrid", "bm25", "dense"])
    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_a_filter_that_opensearch_does_not_understand(self, client, index, mode, strategy):
        searcher = HybridSearcher(client, index, ENCODER, strategy=strategy)
        with pytest.raises(IndexSchemaError, match=r"search .*: unknown query \[trem\]") as raised:
            searcher.search("copy", mode=mode, filters={"trem": {"lang": "en"}})
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize("mode", ["hybrid", "bm25", "dense"])
    @pytest.mark.parametrize(
        "query",
        ["copy folder " * 9000, "x" * 100_000, "検索" * 50_000, "a/b-c." * 17_000, "\ud800 copy", "🙂"],
    )
    def test_queries_of_any_length_and_kind(self, client, index, mode, query):
        HybridSearcher(client, index, ENCODER).search(query, mode=mode)

    def test_top_k_beyond_the_window_is_told(self, client, index):
        with pytest.raises(ConfigError, match="top_k: got 10001, expected 1 to 10000"):
            HybridSearcher(client, index).search("copy", top_k=10_001, mode="bm25")
