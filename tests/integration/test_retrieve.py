"""Candidates for training from a real OpenSearch: by words, by vectors, and the texts themselves."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
from opensearchpy import helpers

from ce2de_os.distill.data.candidates import find_candidates
from ce2de_os.distill.data.queries import queries_from_documents
from ce2de_os.distill.data.score_file import read_scores
from ce2de_os.errors import ArtifactMismatchError, BackendError, ConfigError, IndexSchemaError
from ce2de_os.index.documents import documents, field_texts
from ce2de_os.records import Query
from ce2de_os.search.retrieve import Bm25Retriever, DenseRetriever
from ce2de_os.search.searcher import HybridSearcher
from tests.integration.test_search import ENCODER, WORDS, WordEncoder, articles, make_index


class OtherEncoder(WordEncoder):
    space = "b" * 64


@pytest.fixture
def index(client, index_name):
    return make_index(client, index_name, articles(), shards=2)


def questions(count):
    rng = random.Random(11)
    return [Query(f"q{number}", " ".join(rng.choices(WORDS, k=3))) for number in range(count)]


@pytest.mark.parametrize("mode", ["bm25", "dense"])
def test_a_retriever_finds_what_a_search_finds(client, index, mode):
    asked = questions(70)  # three requests
    retrieve = Bm25Retriever(client, index) if mode == "bm25" else DenseRetriever(client, index, ENCODER)
    runs = retrieve(asked, 20)
    searcher = HybridSearcher(client, index, ENCODER)
    assert list(runs) == [query.query_id for query in asked]
    for query in asked:
        hits = searcher.search(query.text, top_k=20, mode=mode)
        run = runs[query.query_id]
        assert [doc.score for doc in run] == pytest.approx([hit.score for hit in hits])
        clear = hits[-1].score + 1e-5  # of equal scores at the end any may be cut off
        assert {doc.doc_id for doc in run if doc.score > clear} == {h.doc_id for h in hits if h.score > clear}
        assert run == sorted(run, key=lambda doc: (-doc.score, doc.doc_id))


def test_fields_can_be_chosen(client, index_name):
    make_index(client, index_name, [{"_id": "1", "title": "copy", "body": "x"}, {"_id": "2", "body": "copy"}])
    asked = [Query("q", "copy"), Query("none", "unseen"), Query("signs", "?!")]
    runs = Bm25Retriever(client, index_name, ["title"])(asked, 5)
    assert {query_id: [doc.doc_id for doc in run] for query_id, run in runs.items()} == {
        "q": ["1"], "none": [], "signs": [],
    }  # fmt: skip
    both = Bm25Retriever(client, index_name)
    assert both.fields == ("title", "body")
    assert {doc.doc_id for doc in both(asked, 5)["q"]} == {"1", "2"}


def test_long_queries_are_cut_to_what_opensearch_takes(client, index):
    long = Query("q", " ".join(f"{WORDS[n % len(WORDS)]}{n if n > 20 else ''}" for n in range(5000)))
    assert Bm25Retriever(client, index)([long], 5)["q"]


def test_mistakes_are_named(client, index, index_name):
    with pytest.raises(IndexSchemaError, match="no-such-index"):
        Bm25Retriever(client, f"{index_name}-no-such-index")
    with pytest.raises(ArtifactMismatchError, match="this model's cannot be compared"):
        DenseRetriever(client, index, OtherEncoder())
    plain = make_index(client, f"{index_name}-plain", [{"_id": "1", "title": "copy"}], metadata=None)
    with pytest.raises(IndexSchemaError, match="no vectors of ce2de in it"):
        DenseRetriever(client, plain, ENCODER)
    for depth in (0, 10_001):
        with pytest.raises(ConfigError, match=f"depth: got {depth}, expected 1 to 10,000"):
            Bm25Retriever(client, index)(questions(1), depth)


def test_a_failure_of_one_search_among_many_surfaces(client, index):
    retrieve = Bm25Retriever(client, index)
    client.indices.put_settings(index=index, body={"index.max_result_window": 10})
    with pytest.raises(BackendError, match="Result window is too large"):
        retrieve(questions(40), 20)
    client.indices.delete(index=index)
    with pytest.raises(IndexSchemaError, match="no such index"):
        retrieve(questions(40), 5)


def test_documents_are_fetched_as_they_are_embedded(client, index):
    wanted = [f"doc-{number:03d}" for number in range(300)]
    expected = {source["_id"]: f"{source['title']}\n{source['body']}" for source in articles()}
    found = documents(client, index, [*wanted, "gone", "doc-000"] * 2, ["title", "body"])
    assert found == expected
    assert list(found) == wanted
    assert documents(client, index, wanted[:2], ["nothing"]) == {}
    assert documents(client, index, [], ["title"]) == {}


def test_documents_with_routing_and_behind_aliases_are_found(client, index_name):
    first = make_index(client, f"{index_name}-1", [{"_id": "1", "title": "copy", "routing": "r"}], shards=3)
    second = make_index(client, f"{index_name}-2", [{"_id": "2", "title": "move"}])
    routed = [{"_id": f"r{n}", "_routing": "x", "title": f"routed {n}"} for n in range(9)]
    helpers.bulk(client, routed, index=first, refresh=True)
    for name in (first, second):
        client.indices.put_alias(index=name, name=f"{index_name}-both")
    ids = ["1", "2", *(f"r{n}" for n in range(9))]
    found = documents(client, f"{index_name}-both", ids, ["title"])
    assert found == {"1": "copy", "2": "move", **{f"r{n}": f"routed {n}" for n in range(9)}}
    assert dict(field_texts(client, f"{index_name}-both", ["title"])) == found


def test_all_texts_of_a_field_are_read_while_the_index_changes(client, index_name):
    count = 1700  # several pages
    sources = [{"_id": f"d{n}", "title": f"title {n}", "body": "x"} for n in range(count)]
    make_index(client, index_name, [*sources, {"_id": "bare", "body": "no title"}], shards=2)
    stop = threading.Event()

    def change():
        for number in range(100_000):
            if stop.is_set():
                return
            client.index(index=index_name, id=f"d{number % count}", body={"title": "changed"})
            client.index(index=index_name, id=f"new{number}", body={"title": "new"})
            client.indices.refresh(index=index_name)

    stream = field_texts(client, index_name, ["title"])
    found = [next(stream)]
    writer = threading.Thread(target=change)
    writer.start()
    try:
        found += stream
    finally:
        stop.set()
        writer.join()
    assert len(found) == count
    assert dict(found) == {f"d{n}": f"title {n}" for n in range(count)}
    (node,) = client.nodes.stats(metric="indices")["nodes"].values()
    assert node["indices"]["search"]["scroll_current"] == 0


def test_texts_in_random_order_are_a_repeatable_sample(client, index_name):
    sources = [{"_id": f"d{n}", "title": f"title {n}", "body": "x"} for n in range(1300)]
    make_index(client, index_name, sources, shards=2)
    ordered, again, other = (list(field_texts(client, index_name, ["title"], seed)) for seed in (5, 5, 6))
    assert ordered == again
    assert ordered != other
    assert dict(ordered) == {f"d{n}": f"title {n}" for n in range(1300)}
    first = [int(doc_id[1:]) for doc_id, _ in ordered[:300]]
    assert 550 < np.mean(first) < 750  # 650 expected, standard error 22
    stopped = field_texts(client, index_name, ["title"], 5)
    assert next(stopped) == ordered[0]
    stopped.close()
    (node,) = client.nodes.stats(metric="indices")["nodes"].values()
    assert node["indices"]["search"]["scroll_current"] == 0


def test_reading_a_missing_index_is_named(client, index_name):
    with pytest.raises(IndexSchemaError, match=f"no such index \\[{index_name}"):
        list(field_texts(client, index_name, ["title"]))


def test_queries_and_candidates_of_an_index(client, index, tmp_path):
    queries = queries_from_documents(field_texts(client, index, ["title"]), limit=50)
    sources = {
        f"bm25 {index}": Bm25Retriever(client, index, ["body"]),
        f"student {index}": DenseRetriever(client, index, ENCODER),
    }
    report = find_candidates(queries, sources, tmp_path / "candidates.jsonl.gz", depth=10)
    assert report.queries == 50
    rows = dict(read_scores(tmp_path / "candidates.jsonl.gz"))
    for query in queries.queries:
        ids = [doc.doc_id for doc in rows[query.query_id]]
        assert ids[0] == queries.sources[query.query_id] == query.query_id
        assert 5 <= len(ids) == len(set(ids)) <= 10
    texts = documents(client, index, [doc.doc_id for run in rows.values() for doc in run], ["title", "body"])
    assert {doc.doc_id for run in rows.values() for doc in run} == set(texts)
    assert np.mean([len(run) for run in rows.values()]) == report.candidates / 50
