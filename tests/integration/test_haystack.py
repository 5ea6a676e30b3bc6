"""Haystack's own pipelines over a real OpenSearch and the student that comes with the package."""

from __future__ import annotations

import copy
import pickle

import pytest
from haystack import Pipeline
from haystack.utils import Secret

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.integrations.haystack import Ce2deRetriever
from ce2de_os.model.encoder import OnnxEncoder
from tests.integration.test_search import make_index

TEXTS = ["copy a folder and all files in it", "wait some seconds", "delete a file", "sort a list of numbers"]


@pytest.fixture(scope="module")
def student():
    return OnnxEncoder()


@pytest.fixture
def index(client, index_name, student):
    space, dim = student.space, student.dim
    metadata = IndexMetadata("ce2de_vector", ("title",), space, dim, "student", "articles")
    vectors = student.encode_documents(TEXTS)
    documents = [
        {
            "_id": str(number), "title": text, "ce2de_vector": vector.tolist(),
            "lang": "en" if number else "de",
        }
        for number, (text, vector) in enumerate(zip(TEXTS, vectors, strict=True))
    ]  # fmt: skip
    return make_index(client, index_name, documents, metadata, dim=dim)


def test_a_pipeline_answers_after_it_was_saved_and_loaded(index, endpoints, monkeypatch):
    monkeypatch.setenv("CE2DE_OPENSEARCH_URL", endpoints.opensearch_url)
    monkeypatch.setenv("MY_PASSWORD", "s3cret")
    made = Pipeline()
    retriever = Ce2deRetriever(
        index,
        username=Secret.from_env_var("MY_USER", strict=False),
        password=Secret.from_env_var("MY_PASSWORD"),
        options={"dense_weight": 0.6},
    )
    made.add_component("retriever", retriever)

    saved = made.dumps()
    loaded = Pipeline.loads(saved, allowed_modules=["ce2de_os.integrations.haystack"])
    loaded.warm_up()
    question = {"query": "how do I copy a folder", "top_k": 2}
    documents = loaded.run({"retriever": question})["retriever"]["documents"]

    assert "s3cret" not in saved
    assert loaded.dumps() == saved
    assert documents[0].content == TEXTS[0]
    assert len(documents) == 2
    assert documents[0].id == "0"
    assert documents[0].meta == {"lang": "de", "id": "0", "score": documents[0].score, "rank": 1}
    assert documents == made.run({"retriever": question})["retriever"]["documents"]


def test_both_kinds_of_filters_and_one_leg_alone(index, endpoints):
    retriever = Ce2deRetriever(index, url=endpoints.opensearch_url, options={"mode": "bm25"})
    for filters in (
        {"field": "meta.lang", "operator": "==", "value": "en"},
        {"operator": "AND", "conditions": [{"field": "lang", "operator": "!=", "value": "de"}]},
        {"term": {"lang": "en"}},
    ):
        (document,) = retriever.run("a file", top_k=1, filters=filters)["documents"]
        assert document.content == TEXTS[2]


def test_a_plain_password_is_never_saved(index):
    with pytest.raises(ValueError, match="Cannot serialize"):
        Ce2deRetriever(index, password=Secret.from_token("s3cret")).to_dict()
    with pytest.raises(ConfigError, match="use username and password"):
        Ce2deRetriever(index, url="http://user:s3cret@127.0.0.1:9200")


def test_mistakes_are_told(index, endpoints):
    with pytest.raises(ConfigError, match="topk: no such search option"):
        Ce2deRetriever(index, options={"topk": 2})
    retriever = Ce2deRetriever(index, url=endpoints.opensearch_url, options={"mode": "bm25"})
    with pytest.raises(DataError, match="the query is empty"):
        retriever.run(" ")
    with pytest.raises(ConfigError, match="top_k: got 0, expected 1 to 10000"):
        retriever.run("a file", top_k=0)


def test_filters_hold_for_what_they_hold_in_haystack(index, endpoints, monkeypatch):
    monkeypatch.setenv("CE2DE_OPENSEARCH_URL", endpoints.opensearch_url)
    german = {"field": "meta.lang", "operator": "==", "value": "de"}
    retriever = Ce2deRetriever(index, options={"filters": german})
    retriever.warm_up()

    def found(filters=None):
        return sorted(document.id for document in retriever.run("copy a file", filters=filters)["documents"])

    assert found() == ["0"]
    assert found({"operator": "OR", "conditions": []}) == []
    assert found({"field": "id", "operator": "in", "value": ["1", "2"]}) == ["1", "2"]
    with pytest.raises(DataError, match="in got 'de', expected a list"):
        found({"field": "meta.lang", "operator": "in", "value": "de"})
    with pytest.raises(ConfigError, match="top_k: got -2"):
        Ce2deRetriever(index, options={"top_k": -2})

    copied = pickle.loads(pickle.dumps(copy.deepcopy(retriever)))
    assert [one.id for one in copied.run("copy a file")["documents"]] == ["0"]
