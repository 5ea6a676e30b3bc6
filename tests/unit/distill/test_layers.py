"""Embeddings of every layer, against plain calls of transformers on one text at a time."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from ce2de_os.distill.models import layers as module
from ce2de_os.distill.models.layers import embed_layers, load_ce_layers, load_de_layers
from ce2de_os.errors import ConfigError, DataError
from tests.unit.distill.tiny import FAMILIES, WORDS, save_tiny_model

RNG = random.Random(8)
TEXTS = [" ".join(RNG.choices(WORDS, k=RNG.randint(1, 40))) for _ in range(13)]
TOKENS = 120  # more than the longest of them has
# What stands before the first text of an input.
START = {
    "bert": "[CLS]",
    "distilbert": "[CLS]",
    "roberta": "<s>",
    "xlm-roberta": "<s>",
    "modernbert": "[CLS]",
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def ce_folder(family, tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("ce"), family, labels=1)


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("bert"), "bert", labels=1)


def plain_states(body, tokenizer, text, paired):
    """``(layers + 1, L, H)`` of one text, and how many tokens the text has by itself."""
    inputs = tokenizer(text, text if paired else None, return_tensors="pt")
    if "token_type_ids" not in body.forward.__code__.co_varnames:
        inputs.pop("token_type_ids", None)
    with torch.no_grad():
        output = body(**inputs, output_hidden_states=True)
    states = [*output.hidden_states[:-1], output.last_hidden_state]
    return torch.cat(states).numpy(), len(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("paired", [True, False], ids=["pair", "alone"])
def test_every_layer_is_the_mean_of_the_first_copy(ce_folder, family, paired, monkeypatch):
    monkeypatch.setattr(module, "_SHARD_TEXTS", 5)
    monkeypatch.setattr(module, "_BATCH_TOKENS", 200)
    model = load_ce_layers(str(ce_folder), precision="fp32")
    assert (model.role, model.depth) == ("CE", 3)
    got = embed_layers(model, TEXTS, paired, max_tokens=TOKENS)
    assert got.shape == (2, 4, len(TEXTS), 32)
    tokenizer = AutoTokenizer.from_pretrained(ce_folder)
    body = AutoModelForSequenceClassification.from_pretrained(ce_folder).eval().base_model
    for row, text in enumerate(TEXTS):
        states, own = plain_states(body, tokenizer, text, paired)
        first, *_ = tokenizer(text)["input_ids"]
        assert tokenizer.decode([first]) == START[family]
        np.testing.assert_allclose(got[0, :, row], states[:, 1 : 1 + own].mean(axis=1), atol=2e-5)
        np.testing.assert_allclose(got[1, :, row], states[:, 0], atol=2e-5)
    (second,) = embed_layers(model, TEXTS, paired, TOKENS, poolings=["cls"])
    np.testing.assert_allclose(second, got[1], atol=2e-5)


def test_special_tokens_are_those_that_the_tokenizer_names(ce_folder):
    model = load_ce_layers(str(ce_folder))
    for row in module._encode(model, TEXTS, paired=False, max_tokens=TOKENS):
        named = model.tokenizer.get_special_tokens_mask(row["input_ids"], already_has_special_tokens=True)
        assert row["special_tokens_mask"] == named
    for row, text in zip(module._encode(model, TEXTS, paired=True, max_tokens=TOKENS), TEXTS, strict=True):
        kept = [t for t, skip in zip(row["input_ids"], row["special_tokens_mask"], strict=True) if not skip]
        assert kept == model.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_pairing_changes_the_attention_only(ce_folder):
    """Layer 0 is what goes into the first layer: the second copy cannot be seen there, and can above."""
    model = load_ce_layers(str(ce_folder), precision="fp32")
    pair, alone = (embed_layers(model, TEXTS, paired, TOKENS) for paired in (True, False))
    np.testing.assert_allclose(pair[0, 0], alone[0, 0], atol=1e-5)
    assert np.abs(pair[0, 1:] - alone[0, 1:]).max(axis=(1, 2)).min() > 1e-3


def test_layer_0_are_the_embeddings_and_layer_1_the_first_layer(bert_folder):
    model = load_ce_layers(str(bert_folder), precision="fp32")
    ids = torch.tensor([model.tokenizer(TEXTS[0])["input_ids"]])
    with torch.no_grad():
        bottom = model.body.embeddings(input_ids=ids)
        first = model.body.encoder.layer[0](bottom)[0]
    got = embed_layers(model, TEXTS[:1], paired=False, max_tokens=TOKENS)
    np.testing.assert_allclose(got[0, 0, 0], bottom[0, 1:-1].mean(dim=0), atol=1e-5)
    np.testing.assert_allclose(got[0, 1, 0], first[0, 1:-1].mean(dim=0), atol=1e-5)


def test_the_last_layer_of_modernbert_is_normalised_and_the_others_are_not(tmp_path):
    folder = save_tiny_model(tmp_path, "modernbert")
    model = load_de_layers(str(folder), precision="fp32")
    ids = torch.tensor([model.tokenizer(TEXTS[0])["input_ids"]])
    with torch.no_grad():
        output = model.body(input_ids=ids, output_hidden_states=True)
        last = model.body.final_norm(output.hidden_states[3])[0, 1:-1].mean(dim=0)
    got = embed_layers(model, TEXTS[:1], paired=False, max_tokens=TOKENS)[0, :, 0]
    np.testing.assert_allclose(got[3], last, atol=1e-5)
    np.testing.assert_allclose(got[2], output.hidden_states[2][0, 1:-1].mean(dim=0), atol=1e-5)
    assert (output.hidden_states[3] - output.last_hidden_state).abs().max() > 0.1


def test_a_dual_encoder_is_read_like_the_body_of_a_cross_encoder(ce_folder):
    body = load_de_layers(str(ce_folder), precision="fp32")
    whole = load_ce_layers(str(ce_folder), precision="fp32")
    assert (body.role, body.base) == ("DE", whole.base)
    np.testing.assert_allclose(
        embed_layers(body, TEXTS, False, TOKENS), embed_layers(whole, TEXTS, False, TOKENS), atol=1e-5
    )


def test_long_texts_are_cut_to_the_same_tokens_in_both_copies(bert_folder):
    model = load_ce_layers(str(bert_folder), precision="fp32")
    text = " ".join(WORDS[:30])
    cut = embed_layers(model, [text], paired=True, max_tokens=7)
    np.testing.assert_allclose(cut, embed_layers(model, [" ".join(WORDS[:7])], True, TOKENS), atol=1e-5)


def test_a_separator_spelled_in_a_text_is_not_averaged_and_an_unknown_word_is(bert_folder):
    model = load_ce_layers(str(bert_folder), precision="fp32")
    text = "bab [SEP] beg zzz"
    states, _ = plain_states(model.body, model.tokenizer, text, paired=False)
    # [CLS] bab [SEP] beg [UNK] [SEP]
    got = embed_layers(model, [text], paired=False, max_tokens=TOKENS)
    np.testing.assert_allclose(got[0, :, 0], states[:, [1, 3, 4]].mean(axis=1), atol=1e-5)


@pytest.mark.parametrize("paired", [True, False], ids=["pair", "alone"])
def test_a_text_without_tokens_gets_zeros(ce_folder, paired):
    model = load_ce_layers(str(ce_folder))
    got = embed_layers(model, ["", TEXTS[0]], paired, max_tokens=TOKENS)
    assert (got[0, :, 0] == 0).all()
    assert (got[0, :, 1] != 0).any(axis=1).all()


def test_the_room_for_a_text_counts_special_tokens(ce_folder, family):
    model = load_ce_layers(str(ce_folder))
    separators = 4 if "roberta" in family else 3
    longest = 256 if "roberta" in family else 248  # 258 or 256 positions, two fewer, a multiple of 8
    assert model.room(paired=True) == (longest - separators) // 2
    assert model.room(paired=False) == longest - 2
    texts = [" ".join(WORDS * 5)]
    assert np.isfinite(embed_layers(model, texts, True, model.room(paired=True))).all()
    assert np.isfinite(embed_layers(model, texts, False, model.room(paired=False))).all()


def test_kept_embeddings_are_read_again(bert_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SHARD_TEXTS", 5)
    model = load_ce_layers(str(bert_folder))
    reported: list[int] = []
    first = embed_layers(model, TEXTS, True, TOKENS, cache=tmp_path, report=reported.append)
    assert sum(reported) == len(TEXTS)
    assert sorted(np.load(path).shape for path in tmp_path.iterdir()) == [(2, 4, 3, 32), *[(2, 4, 5, 32)] * 2]
    np.testing.assert_array_equal(embed_layers(model, TEXTS, True, TOKENS, cache=tmp_path), first)
    # A kept shard is read, not computed: what is put in its place comes back.
    for path in tmp_path.iterdir():
        np.save(path, np.zeros_like(np.load(path)))
    reported.clear()
    assert (embed_layers(model, TEXTS, True, TOKENS, cache=tmp_path, report=reported.append) == 0).all()
    assert sum(reported) == len(TEXTS)
    # Other weights, other inputs: nothing kept applies.
    other = load_de_layers(str(bert_folder))
    assert (embed_layers(other, TEXTS, True, TOKENS, cache=tmp_path) != 0).any()
    assert (embed_layers(model, TEXTS, False, TOKENS, cache=tmp_path) != 0).any()


def test_the_digest_does_not_depend_on_a_pooler_that_is_not_there(tmp_path):
    from transformers import BertModel

    folder = save_tiny_model(tmp_path, "bert")
    BertModel.from_pretrained(folder, add_pooling_layer=False).save_pretrained(folder)
    assert load_de_layers(str(folder)).digest == load_de_layers(str(folder)).digest


def test_weights_that_are_no_numbers_are_refused(bert_folder):
    model = load_ce_layers(str(bert_folder))
    with torch.no_grad():
        model.body.encoder.layer[1].output.dense.bias[0] = float("inf")
    with pytest.raises(DataError, match="numbers that are not finite"):
        embed_layers(model, TEXTS[:1], paired=True, max_tokens=8)


def test_a_dual_encoder_that_cannot_be_used_is_refused(bert_folder, tmp_path):
    from transformers import BartConfig, BartModel, BertConfig, BertModel

    def refused(message):
        with pytest.raises(ConfigError, match=message) as error:
            load_de_layers(str(tmp_path))
        assert "\n" not in str(error.value)

    refused("cannot be loaded .*expected a hub id or a folder with an encoder")
    tokenizer = AutoTokenizer.from_pretrained(bert_folder)
    tokenizer.save_pretrained(tmp_path)
    # A fourth layer that the file does not have.
    AutoModel.from_pretrained(bert_folder).save_pretrained(tmp_path)
    config = BertConfig.from_pretrained(tmp_path)
    config.num_hidden_layers = 4
    config.save_pretrained(tmp_path)
    refused(r"its weights are incomplete \(encoder\.layer\.3\..* is missing\)")
    small = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    BertModel(small).save_pretrained(tmp_path)
    refused("tokenizer does not belong to the model")
    sizes = {f"{half}_{name}": 1 for half in ("encoder", "decoder") for name in ("layers", "attention_heads")}
    bart = BartConfig(vocab_size=len(tokenizer), d_model=8, encoder_ffn_dim=8, decoder_ffn_dim=8, **sizes)
    (tmp_path / "config.json").unlink()
    BartModel(bart).save_pretrained(tmp_path)
    refused("is an encoder with a decoder")


def test_a_model_without_a_head_is_no_cross_encoder(tmp_path):
    folder = save_tiny_model(tmp_path / "de", "distilbert")
    with pytest.raises(ConfigError, match="has no trained classification head"):
        load_ce_layers(str(folder))
    shutil.rmtree(folder)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_ce_layers(str(folder))
