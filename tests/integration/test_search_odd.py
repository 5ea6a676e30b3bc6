"""Odd but real: mistyped fields, several indices, closed ones, many words, an alias that moves."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from ce2de_os.errors import ConfigError, IndexSchemaError
from ce2de_os.records import Query
from ce2de_os.search.retrieve import Bm25Retriever
from ce2de_os.search.searcher import HybridSearcher
from tests.integration.test_search import ENCODER, METADATA, STRATEGIES, articles, ids, make_index, move


@pytest.fixture
def index(client, index_name):
    return make_index(client, index_name, articles(40))


class TestFields:
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"fields": ["titel"]}, "fields: t-.* has no field 'titel'; did you mean 'title'?"),
            ({"fields": ["title", "boddy^3"]}, "fields: t-.* has no field 'boddy'; did you mean 'body'?"),
            (
                {"fields": ["x*"]},
                r"no field 'x\*'; the text fields are .*title",
            ),
            ({"highlight": ["titel"]}, "highlight: t-.* has no field 'titel'"),
            ({"highlight": {"fields": {"titel": {}}}}, "highlight: t-.* has no field 'titel'"),
            ({"source": ["titel"]}, "source: t-.* has no field 'titel'"),
            ({"source": {"excludes": ["titel"]}}, "source: t-.* has no field 'titel'"),
        ],
    )
    @pytest.mark.parametrize("mode", ["hybrid", "bm25"])
    def test_a_mistyped_one_is_named(self, client, index, mode, options, told):
        with pytest.raises(IndexSchemaError, match=told):
            HybridSearcher(client, index, ENCODER, mode=mode).search("copy", **options)

    def test_one_that_is_new_in_the_mapping_is_found(self, client, index):
        searcher = HybridSearcher(client, index, mode="bm25")
        assert searcher.search("copy")
        body = {"properties": {"summary": {"type": "text", "fields": {"short": {"type": "text"}}}}}
        client.indices.put_mapping(index=index, body=body)
        client.index(index=index, id="new", body={"summary": "passport"}, refresh=True)
        assert ids(searcher.search("passport", fields=["summary.short"])) == ["new"]
        assert ids(searcher.search("passport", fields=["summ*", "_id"])) == ["new"]

    def test_a_field_that_documents_have_and_the_mapping_does_not(self, client, index):
        client.indices.put_mapping(index=index, body={"dynamic": False})
        client.index(index=index, id="new", body={"title": "passport", "extra": 7}, refresh=True)
        (hit,) = HybridSearcher(client, index, mode="bm25").search("passport", source=["extra"])
        assert hit.source == {"extra": 7}

    def test_retrievers_too(self, client, index):
        with pytest.raises(IndexSchemaError, match="no field 'titel'"):
            Bm25Retriever(client, index, ["titel"])


class TestSeveralIndices:
    def test_bm25_works_though_one_has_no_vectors(self, client, index_name):
        make_index(client, f"{index_name}-a", articles(20))
        make_index(client, f"{index_name}-b", articles(20), metadata=None)
        for name in (f"{index_name}-*", f"{index_name}-a,{index_name}-b"):
            searcher = HybridSearcher(client, name, ENCODER)
            found = {hit.index_name for hit in searcher.search("copy", mode="bm25", top_k=40)}
            assert found == {f"{index_name}-a", f"{index_name}-b"}
            with pytest.raises(IndexSchemaError, match=r"has no vectors; embed both with the same model, or"):
                searcher.search("copy")

    def test_the_true_difference_is_told(self, client, index_name):
        make_index(client, f"{index_name}-a", articles(5))
        make_index(client, f"{index_name}-b", articles(5), metadata=replace(METADATA, text_fields=("body",)))
        searcher = HybridSearcher(client, f"{index_name}-*", ENCODER)
        with pytest.raises(IndexSchemaError, match="the same, but they differ in the text fields"):
            searcher.search("copy")
        assert searcher.search("copy", mode="bm25")

    @pytest.mark.parametrize("mode", ["hybrid", "bm25", "dense"])
    def test_a_closed_one_behind_an_alias(self, client, index_name, mode):
        for suffix in ("a", "b"):
            make_index(client, f"{index_name}-{suffix}", articles(5))
            client.indices.put_alias(index=f"{index_name}-{suffix}", name=f"{index_name}-all")
        client.indices.close(index=f"{index_name}-b")
        with pytest.raises(IndexSchemaError, match=r"closed.*\(HTTP 400\)"):
            HybridSearcher(client, f"{index_name}-all", ENCODER, mode=mode).search("copy")

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_a_red_one_is_no_traceback(self, client, index_name, strategy):
        """A shard that no node may hold has no active copy."""
        settings = {"index.routing.allocation.require._name": "nobody", "number_of_replicas": 0}
        make_index(client, f"{index_name}-a", articles(20))
        mapping = client.indices.get_mapping(index=f"{index_name}-a")[f"{index_name}-a"]["mappings"]
        body = {"settings": {**settings, "index.knn": True}, "mappings": mapping}
        client.indices.create(index=f"{index_name}-b", body=body, params={"wait_for_active_shards": "0"})
        searcher = HybridSearcher(client, f"{index_name}-*", ENCODER, strategy=strategy)
        result = searcher.search("copy")
        assert result.hits
        assert result.is_partial

    @pytest.mark.parametrize("option", [{"strategy": "client"}, {"explain": True}])
    def test_more_candidates_than_opensearch_gives_at_once(self, client, index_name, option):
        for suffix in ("a", "b"):
            make_index(client, f"{index_name}-{suffix}", articles(5))
        strategy = option.pop("strategy", None)
        searcher = HybridSearcher(client, f"{index_name}-*", ENCODER, strategy=strategy)
        with pytest.raises(ConfigError, match="candidates: got 6,000 of each of 2 indices, expected at most"):
            searcher.search("copy", candidates=6_000, **option)


class TestManyWords:
    @pytest.fixture
    def wide(self, client, index_name):
        """Eight text fields and as many keywords; one more field makes n-grams of a question's words."""
        grams = {"type": "ngram", "min_gram": 1, "max_gram": 2}
        analysis = {
            "tokenizer": {"grams": grams},
            "analyzer": {"grams": {"type": "custom", "tokenizer": "grams"}},
        }
        properties = {f"t{number}": {"type": "text"} for number in range(8)}
        properties |= {f"k{number}": {"type": "keyword"} for number in range(8)}
        properties |= {"g": {"type": "text", "analyzer": "grams"}}
        body = {"settings": {"analysis": analysis}, "mappings": {"properties": properties}}
        client.indices.create(index=index_name, body=body)
        document = {f"t{number}": "hello world 😀" for number in range(8)} | {"g": "hello"}
        client.index(index=index_name, id="1", body=document, refresh=True)
        return index_name

    def test_a_long_question_is_cut(self, client, wide):
        searcher = HybridSearcher(client, wide, mode="bm25")
        for count in (1, 128, 300, 2000):
            question = "hello " + " ".join(f"word{number}" for number in range(count))
            for fields in (None, ["*"], ["t*"], ["t*", "k*"], ["t0", "t1^2"], ["g"]):
                assert ids(searcher.search(question, fields=fields)) == ["1"], (count, fields)

    def test_each_kind_of_character_is_cut(self, client, wide):
        searcher = HybridSearcher(client, wide, mode="bm25")
        for character in ("😀", "👩🏽", "漢", "☎", "a ", "1️⃣"):
            assert ids(searcher.search("hello " + character * 5000)) == ["1"], character
            assert ids(searcher.search("hello " + character * 5000, fields=["*"])) == ["1"], character

    def test_many_questions_and_a_retriever(self, client, wide):
        questions = ["hello " + "incomprehensibility " * 300, "hello"]
        results = HybridSearcher(client, wide, mode="bm25", fields=["g"]).search_many(questions)
        assert [ids(result) for result in results] == [["1"], ["1"]]
        asked = [Query("q", questions[0])]
        assert Bm25Retriever(client, wide, ["g"])(asked, 5)["q"][0].doc_id == "1"

    def test_a_query_of_the_user_s_own_is_not_cut(self, client, wide):
        words = " ".join(f"word{number}" for number in range(2000))
        with pytest.raises(IndexSchemaError, match="maxClauseCount"):
            HybridSearcher(client, wide, mode="bm25").search("x", lexical={"match": {"t0": words}})


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_alias_that_moves_meanwhile_never_mixes_two_indices(client, endpoints, index_name, strategy):
    names = [f"{index_name}-{suffix}" for suffix in ("a", "b")]
    for name in names:
        make_index(client, name, articles(40))
    alias = f"{index_name}-all"
    client.indices.put_alias(index=names[0], name=alias)
    stop = threading.Event()

    def swap():
        while not stop.wait(0.05):
            names.reverse()
            move(client, alias, names[1], names[0])

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        searcher = HybridSearcher(client, alias, ENCODER, strategy=strategy, explain=True)
        found = [{hit.index_name for hit in searcher.search("copy folder", top_k=20)} for _ in range(20)]
    finally:
        stop.set()
        swapping.join()
    assert [len(indices) for indices in found] == [1] * 20
    assert set().union(*found) <= set(names)
