"""The layer probe's figures."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from ce2de_os.distill.models.layers import load_ce_layers, load_de_layers
from ce2de_os.distill.report import probe as module
from ce2de_os.distill.report.probe import (
    METRICS,
    READINGS,
    Curve,
    Probe,
    ProbedModel,
    Reading,
    limit_documents,
    probe,
    readings_of,
)
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.evaluation import Collection, mean, paired_t_test
from tests.unit.distill.tiny import FAMILIES, WORDS, save_tiny_model

RNG = random.Random(6)
DOCUMENTS = [" ".join(RNG.choices(WORDS, k=RNG.randint(5, 30))) for _ in range(12)]


def collection(name="tiny", queries=(1, 4, 11), gains=(1, 1, 1)):
    """Each query is the text of one document, its only relevant one."""
    return Collection(
        name, [f"d{row}" for row in range(12)], DOCUMENTS, [f"q{row}" for row in queries],
        [DOCUMENTS[row] for row in queries],
        {f"q{row}": {f"d{row}": gain} for row, gain in zip(queries, gains, strict=True)},
    )  # fmt: skip


def curve(values, name="tiny", reading=None):
    """One query's worth of nDCG@10 for each layer; the other metrics are its double and its triple."""
    layers = [{m: {"q": factor * v} for factor, m in zip((2, 3, 1), METRICS, strict=True)} for v in values]
    return Curve(reading or Reading(), {name: layers})


@pytest.fixture(scope="module")
def ce_folder(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("ce"), "bert", labels=1)


@pytest.fixture(scope="module")
def models(ce_folder):
    return [load_ce_layers(str(ce_folder), "fp32"), load_de_layers(str(ce_folder), "fp32")]


def test_eight_ways_to_read():
    assert len(set(READINGS)) == 2 * 2 * 2
    assert READINGS[0] == Reading() == Reading("pair", "mean", False)
    assert str(Reading("alone", "cls", True)) == "alone, cls, centered"


def test_curves_by_hand():
    both = Curve(Reading(), curve([0.1, 0.4, 0.4, 0.2], "a").scores | curve([0.3, 0.2, 0.0, 0.6], "b").scores)
    assert both.values("nDCG@10") == pytest.approx([0.2, 0.3, 0.2, 0.4])
    assert both.values("MRR@10", "a") == pytest.approx([0.3, 1.2, 1.2, 0.6])
    assert both.best_layer() == 3
    assert both.best_layer("nDCG@10", "a") == 1  # the lowest of two equal ones
    weaker, stronger = curve([0.1, 0.2]), curve([0.0, 0.3], reading=Reading("alone"))
    assert ProbedModel("CE", "m", "", "fp32", [weaker, stronger, curve([0.3, 0.0])]).best is stronger


@pytest.mark.parametrize("family", FAMILIES)
def test_a_query_that_is_a_document_finds_it_by_every_layer_in_every_reading(family, tmp_path):
    model = load_ce_layers(str(save_tiny_model(tmp_path, family, labels=1)), "fp32")
    found = probe([model], [collection()], READINGS)
    assert [c.reading for c in found.models[0].curves] == list(READINGS)
    for each in found.models[0].curves:
        # The first token's state before the first layer is the same for every text: ties, as in the corpus.
        layers = range(1, 4) if each.reading.pooling == "cls" else range(4)
        for metric in METRICS:
            assert [each.values(metric)[layer] for layer in layers] == [1.0] * len(layers), each.reading


def test_a_layer_whose_states_are_all_equal_leaves_the_order_of_the_corpus(ce_folder):
    model = load_ce_layers(str(ce_folder), "fp32")
    last = model.body.encoder.layer[2].output.LayerNorm
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(1.0)
    found = probe([model], [collection()], [Reading()])
    best = found.models[0].best
    # Relevant documents at ranks 2, 5 and 12.
    assert best.values("MRR@10")[3] == pytest.approx((1 / 2 + 1 / 5 + 0) / 3)
    assert best.values("Hits@10")[3] == pytest.approx((1 + 1 + 0) / 3)
    assert best.values("nDCG@10")[3] == pytest.approx((1 / np.log2(3) + 1 / np.log2(6) + 0) / 3)
    assert best.values("nDCG@10")[:3] == [1.0, 1.0, 1.0]
    assert best.best_layer() == 0


def test_figures_are_those_of_a_plain_search(models, ce_folder):
    """A second implementation: one text at a time, cosine in NumPy, ranks by sorting."""
    shuffled = collection()
    queries = [" ".join(text.split()[::-1][:4]) for text in shuffled.queries]
    asked = Collection("tiny", shuffled.doc_ids, DOCUMENTS, shuffled.query_ids, queries, shuffled.qrels)
    found = probe(models[1:], [asked], [Reading("alone", "mean", True)])
    body, tokenizer = AutoModel.from_pretrained(ce_folder).eval(), AutoTokenizer.from_pretrained(ce_folder)

    def vectors(texts):
        rows = []
        for text in texts:
            with torch.no_grad():
                output = body(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
            rows.append([states[0, 1:-1].mean(dim=0).double().numpy() for states in output.hidden_states])
        return np.array(rows)

    documents, questions = vectors(DOCUMENTS), vectors(queries)
    for layer in range(4):
        center = documents[:, layer].mean(axis=0)
        d, q = documents[:, layer] - center, questions[:, layer] - center
        cosines = (q / np.linalg.norm(q, axis=1)[:, None]) @ (d / np.linalg.norm(d, axis=1)[:, None]).T
        ranks = [
            int((cosines[row] > cosines[row, relevant]).sum()) + 1 for row, relevant in enumerate((1, 4, 11))
        ]
        expected = np.mean([1 / rank if rank <= 10 else 0 for rank in ranks])
        assert found.models[0].best.values("MRR@10")[layer] == pytest.approx(expected)


def test_centring_by_hand():
    layer = np.array([[1, 1], [3, 1], [0, 0], [2, 5]], np.float32)
    # Two documents have tokens, their mean is (2, 1); the last row is a query.
    expected = [[-1, 0], [1, 0], [0, 0], [0, 4]]
    np.testing.assert_array_equal(module._center(layer, 3), expected)


def test_a_dual_encoder_reads_alone_whatever_the_cross_encoder_does(models):
    assert readings_of(models[0], READINGS) == list(READINGS)
    alone = [
        Reading("alone", *rest) for rest in (("mean", False), ("mean", True), ("cls", False), ("cls", True))
    ]
    assert readings_of(models[1], READINGS) == alone
    assert readings_of(models[1], [Reading()]) == [Reading("alone")]


@pytest.mark.parametrize("readings", [READINGS, [Reading()]], ids=["all", "one"])
def test_every_text_is_reported_once_for_each_model_and_input(models, readings):
    reported: list[int] = []
    collections = [collection("a"), collection("b", queries=(2,), gains=(1,))]
    found = probe(models, collections, readings, phase=lambda *progress: reported.append(progress))
    inputs = 3 if readings is READINGS else 2
    total = inputs * (12 + 3 + 12 + 1)
    assert reported[-1] == ("probe", total, total)
    assert [model.role for model in found.models] == ["CE", "DE"]
    assert set(found.models[1].best.scores) == {"a", "b"}


def test_the_report_holds_every_figure_and_the_test_of_each_layer(models):
    found = probe(models, [collection()], [Reading("pair", "cls")])
    report = json.loads(json.dumps(found.to_json()))
    assert report["collections"] == [{"name": "tiny", "documents": 12, "queries": 3}]
    assert [m["best"]["input"] for m in report["models"]] == ["pair", "alone"]
    for model, told in zip(found.models, report["models"], strict=True):
        layers = told["curves"][0]["collections"]["tiny"]
        assert told["curves"][0]["best_layer"] == model.best.best_layer()
        for layer, figures in enumerate(layers):
            for metric in METRICS:
                value = figures[metric]
                assert value["mean"] == pytest.approx(model.best.values(metric)[layer], abs=1e-6)
                assert value["low"] <= value["mean"] <= value["high"]
    ce, de = (model.best.scores["tiny"] for model in found.models)
    for layer in range(4):
        expected = paired_t_test(ce[layer]["nDCG@10"], de[layer]["nDCG@10"])
        assert found.p_value("tiny", layer) == expected
    assert found.p_value("tiny", 0) == 1.0  # the first token before the first layer: no difference
    assert found.p_value("tiny", 4) is None
    assert Probe(found.collections, 1, found.models[:1]).p_value("tiny", 1) is None
    assert mean(ce[1]["nDCG@10"]) == pytest.approx(found.models[0].best.values("nDCG@10")[1])


def test_tokens_are_bounded_by_what_every_model_can_read(models):
    # 248 tokens hold two copies of 122 with three separators.
    assert probe(models, [collection()], [Reading()], max_tokens=1000).max_tokens == 122
    assert probe(models, [collection()], [Reading("alone")], max_tokens=1000).max_tokens == 246
    assert probe(models, [collection()], [Reading()], max_tokens=5).max_tokens == 5
    with pytest.raises(ConfigError, match="max_tokens: got 0, expected a number above 0"):
        probe(models, [collection()], [Reading()], max_tokens=0)


def test_a_query_without_text_is_refused(models):
    asked = collection()
    empty = Collection("tiny", asked.doc_ids, DOCUMENTS, asked.query_ids, ["x", " \t", "y"], asked.qrels)
    with pytest.raises(DataError, match="'tiny': query 'q4' has no text"):
        probe(models, [empty], [Reading()])


def test_a_limit_keeps_the_relevant_documents_and_the_order():
    judged = collection(gains=(1, 0, 2))
    found = limit_documents(judged, 6, seed=1)
    assert len(found.documents) == len(found.doc_ids) == 6
    assert {"d1", "d11"} <= set(found.doc_ids)
    assert found.doc_ids == sorted(found.doc_ids, key=lambda doc: int(doc[1:]))
    assert found.documents == [DOCUMENTS[int(doc[1:])] for doc in found.doc_ids]
    assert found == limit_documents(judged, 6, seed=1)
    assert any(limit_documents(judged, 6, seed=seed) != found for seed in range(2, 6))
    assert set(limit_documents(judged, 2).doc_ids) == {"d1", "d11"}
    assert limit_documents(judged, 12) is judged
    with pytest.raises(ConfigError, match="limit: got 1 documents, but 2 of 'tiny' are relevant"):
        limit_documents(judged, 1)
