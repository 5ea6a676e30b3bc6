"""Searching with the real models: the packaged encoder, and an exported cross-encoder."""

from __future__ import annotations

import json
import random
import time

import numpy as np
import pytest
from click.testing import CliRunner
from opensearchpy import helpers

from ce2de_os.cli import cli
from ce2de_os.distill.models.cross_encoder import load_cross_encoder
from ce2de_os.export.cross_encoder import export_cross_encoder
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.model.reranker import OnnxReranker
from ce2de_os.search.searcher import HybridSearcher
from ce2de_os.server.parsing import model_id
from tests.integration.test_serve import MODEL, ask, serving
from tests.unit.distill.tiny import WORDS, save_tiny_cross_encoder

RNG = random.Random(5)


def words(count):
    return " ".join(RNG.choices(WORDS, k=count))


DOCUMENTS = {f"d{number}": words(RNG.randint(3, 60)) for number in range(60)}


@pytest.fixture(scope="module")
def encoder():
    return OnnxEncoder()


@pytest.fixture(scope="module")
def reranker_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = load_cross_encoder(str(save_tiny_cross_encoder(folder / "ce")), precision="fp32")
    groups = [(words(4), [words(RNG.randint(2, 40)) for _ in range(8)]) for _ in range(6)]
    export_cross_encoder(model, folder / "reranker", groups=groups)
    return folder / "reranker"


@pytest.fixture
def index(client, index_name, encoder):
    metadata = IndexMetadata("v", ("text",), encoder.fingerprint, encoder.dim, "m", "a", encoder.space)
    method = {"name": "hnsw", "engine": "lucene", "space_type": "innerproduct"}
    vector = {"type": "knn_vector", "dimension": encoder.dim, "method": method}
    mappings = {"_meta": metadata.to_meta(), "properties": {"text": {"type": "text"}, "v": vector}}
    body = {"settings": {"index.knn": True}, "mappings": mappings}
    client.indices.create(index=index_name, body=body)
    embeddings = encoder.encode_documents(list(DOCUMENTS.values()))
    actions = (
        {"_index": index_name, "_id": doc_id, "text": text, "v": row.tolist()}
        for (doc_id, text), row in zip(DOCUMENTS.items(), embeddings, strict=True)
    )
    helpers.bulk(client, actions, refresh=True)
    return index_name


def test_the_service_ranks_with_the_cross_encoder(reranker_folder):
    reranker = OnnxReranker(reranker_folder)
    documents = list(DOCUMENTS.values())[:30]
    query = words(4)
    with serving("--reranker", reranker_folder) as (_, url):
        model = model_id(reranker.artifact)
        body = {"model": model, "query": query, "documents": documents}
        status, _, content = ask(url, "/v1/rerank", body)
        conflict, _, _ = ask(url, "/v1/rerank", body | {"model": MODEL})
        models = json.loads(ask(url, "/v1/models")[2])["data"]
    assert (status, conflict) == (200, 409)
    assert [one["kind"] for one in models] == ["encoder", "reranker"]
    found = {one["index"]: one["relevance_score"] for one in json.loads(content)["results"]}
    logits = reranker.score(query, documents)
    assert [found[place] for place in range(30)] == pytest.approx(list(1 / (1 + np.exp(-logits))), abs=0.02)


def test_the_cross_encoder_s_logits_order_the_hits(client, index, encoder, reranker_folder):
    reranker = OnnxReranker(reranker_folder)
    query = f"{WORDS[0]} {WORDS[1]}"
    plain = HybridSearcher(client, index, encoder).search(query, top_k=30)
    result = HybridSearcher(client, index, encoder, reranker=reranker, rerank_depth=20).search(
        query, top_k=30
    )
    logits = dict(
        zip(
            [hit.doc_id for hit in plain[:20]],
            reranker.score(query, [hit.source["text"] for hit in plain[:20]]).tolist(),
            strict=True,
        )
    )
    assert [hit.doc_id for hit in result[:20]] == sorted(logits, key=lambda doc_id: -logits[doc_id])
    assert [hit.logit for hit in result[:20]] == pytest.approx(sorted(logits.values(), reverse=True))
    assert [hit.doc_id for hit in result[20:]] == [hit.doc_id for hit in plain[20:]]


def test_a_deadline_is_kept_and_told(client, index, encoder, reranker_folder):
    searcher = HybridSearcher(client, index, encoder, reranker=OnnxReranker(reranker_folder))
    searcher.warm_up()
    result = searcher.search(words(4), rerank_deadline_ms=0.001)
    assert result.reranked < result.rerank_wanted == 50


def test_questions_asked_together_have_the_vectors_that_they_have_alone(encoder, client, index):
    asked = [words(count) for count in (2, 9, 30)]
    together = HybridSearcher(client, index, encoder, mode="dense").search_many(asked)
    alone = HybridSearcher(client, index, encoder, mode="dense")
    for question, result in zip(asked, together, strict=True):
        expected = alone.search(question)
        assert [hit.doc_id for hit in result] == [hit.doc_id for hit in expected]
        assert [hit.score for hit in result] == pytest.approx([hit.score for hit in expected], abs=1e-4)


def test_the_first_question_after_a_warm_up_is_not_slower_than_the_rest(client, index, encoder):
    searcher = HybridSearcher(client, index, encoder, cached_queries=0)
    searcher.warm_up()
    times = []
    for _ in range(9):
        started = time.perf_counter()
        searcher.search(words(5))
        times.append(time.perf_counter() - started)
    assert times[0] < 3 * max(times[1:])


def test_the_command_scores_again(endpoints, index, reranker_folder):
    arguments = ["search", index, WORDS[0], WORDS[1], "--url", endpoints.opensearch_url]
    arguments += ["--reranker", str(reranker_folder), "--rerank-depth", "5", "--top-k", "8"]
    answer = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).stdout)
    assert (answer["reranked"], answer["strategy"]) == (5, "pipeline")
    assert [hit["logit"] is not None for hit in answer["hits"]] == [True] * 5 + [False] * 3
    table = CliRunner().invoke(cli, arguments)
    assert "logit" in table.stdout


def test_the_command_compares_modes(endpoints, index):
    arguments = ["search", index, WORDS[0], "--mode", "bm25,dense,hybrid", "--url", endpoints.opensearch_url]
    answer = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).stdout)
    assert list(answer["modes"]) == ["bm25", "dense", "hybrid"]
    assert all(answer["modes"][mode]["hits"] for mode in answer["modes"])
    assert "dense" in CliRunner().invoke(cli, arguments).stdout


def test_the_command_tells_of_another_model_of_the_same_space(endpoints, client, index, encoder):
    asked = ["search", index, words(3), "--mode", "dense", "--url", endpoints.opensearch_url]
    assert CliRunner().invoke(cli, asked).stderr == ""

    other = IndexMetadata("v", ("text",), "b" * 64, encoder.dim, "m", "a", encoder.space)
    client.indices.put_mapping(index=index, body={"_meta": other.to_meta()})
    result = CliRunner().invoke(cli, asked)
    assert result.exit_code == 0
    told = f"the question was embedded by the model {encoder.fingerprint[:12]}, the documents by {'b' * 12}"
    assert result.stderr.startswith(told)
    shown = json.loads(CliRunner().invoke(cli, [*asked, "--json"]).stdout)
    assert shown["vector_model"] == "b" * 64
