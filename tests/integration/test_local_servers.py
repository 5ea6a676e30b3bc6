"""A real OpenSearch and Redis: they answer, keep their state, stop, and live side by side."""

from __future__ import annotations

import pytest
from opensearchpy import OpenSearch

from ce2de_os.local.servers import Endpoints

MAPPINGS = {
    "properties": {
        "text": {"type": "text"},
        "vector": {
            "type": "knn_vector",
            "dimension": 2,
            "space_type": "innerproduct",
            "method": {"name": "hnsw", "engine": "lucene"},
        },
    }
}
PIPELINES = {
    "min-max": {"normalization-processor": {}},
    "rrf": {"score-ranker-processor": {"combination": {"technique": "rrf"}}},
}


@pytest.fixture
def two_documents(client: OpenSearch, index_name: str) -> str:
    client.indices.create(index=index_name, body={"settings": {"index.knn": True}, "mappings": MAPPINGS})
    client.index(index=index_name, id="a", body={"text": "red fox", "vector": [1, 0]})
    client.index(index=index_name, id="b", body={"text": "blue sea", "vector": [0, 1]}, refresh=True)
    return index_name


@pytest.mark.parametrize("processor", PIPELINES.values(), ids=PIPELINES)
def test_a_hybrid_query_runs(client: OpenSearch, two_documents: str, processor: dict) -> None:
    legs = [{"match": {"text": "fox"}}, {"knn": {"vector": {"vector": [1, 0], "k": 2}}}]
    body = {
        "query": {"hybrid": {"queries": legs}},
        "search_pipeline": {"phase_results_processors": [processor]},
    }
    hits = client.search(index=two_documents, body=body)["hits"]["hits"]
    assert [hit["_id"] for hit in hits] == ["a", "b"]


def test_the_version_is_the_promised_one(client: OpenSearch, endpoints: Endpoints) -> None:
    assert client.info()["version"]["number"] == endpoints.version
