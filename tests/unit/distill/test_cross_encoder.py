"""Loading cross-encoders and asking them for logits."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from ce2de_os.distill.models.cross_encoder import load_cross_encoder
from ce2de_os.errors import ConfigError, DataError
from tests.unit.distill.tiny import (
    FAMILIES,
    WORDS,
    save_tiny_cross_encoder,
    save_tiny_model,
    save_tiny_teacher,
)

RNG = random.Random(3)
PAIRS = [
    (" ".join(RNG.choices(WORDS, k=RNG.randint(1, 9))), " ".join(RNG.choices(WORDS, k=RNG.randint(1, 50))))
    for _ in range(23)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_cross_encoder(tmp_path_factory.mktemp("ce"))


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_a_plain_call_for_each_pair_in_the_order_given(tmp_path, family):
    folder = save_tiny_model(tmp_path, family, labels=1)
    # Few tokens a batch: the order inside is another, and most pairs are padded.
    got = load_cross_encoder(str(folder), precision="fp32").logits(PAIRS, batch_tokens=256)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = []
    for query, document in PAIRS:
        inputs = tokenizer(
            query, document, truncation="longest_first", max_length=248, return_tensors="pt",
            return_token_type_ids=family == "bert",
        )  # fmt: skip
        with torch.no_grad():
            expected.append(model(**inputs).logits.item())
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert got.dtype == np.float32


def test_long_pairs_lose_the_end_of_the_longer_text(folder):
    found = load_cross_encoder(str(folder), max_length=16)
    query, document = " ".join(WORDS[:4]), " ".join(WORDS[4:40])
    (row,) = found.encode_pairs([(query, document)])
    # [CLS] 4 words [SEP] 9 words [SEP]; a word's id is its place behind five special tokens
    assert row["input_ids"] == [2, *range(5, 9), 3, *range(9, 18), 3]
    assert row["token_type_ids"] == [0] * 6 + [1] * 10


def test_the_length_is_bounded_by_the_table_of_positions(folder):
    # 256 rows, two fewer for RoBERTa's way of counting, down to a multiple of 8
    assert load_cross_encoder(str(folder), max_length=10_000).max_length == 248


def test_no_pairs_give_no_logits(folder):
    found = load_cross_encoder(str(folder))
    assert found.encode_pairs([]) == []
    assert found.logits([]).shape == (0,)


def test_the_digest_names_the_weights(folder, tmp_path):
    first = load_cross_encoder(str(folder))
    assert first.digest == load_cross_encoder(str(folder)).digest
    other = save_tiny_model(tmp_path, "bert", labels=1)
    assert first.digest != load_cross_encoder(str(other)).digest
    assert first.body is first.model.bert


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_without_a_head_is_refused(tmp_path, family):
    folder = save_tiny_model(tmp_path, family)
    with pytest.raises(ConfigError, match="has no trained classification head") as error:
        load_cross_encoder(str(folder))
    assert "\n" not in str(error.value)


def test_a_head_of_several_outputs_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="its head has 3 outputs, expected 1"):
        load_cross_encoder(str(save_tiny_cross_encoder(tmp_path, labels=3)))


def test_a_name_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be loaded") as error:
        load_cross_encoder(str(tmp_path / "nothing"))
    assert "\n" not in str(error.value)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path):
    folder = save_tiny_model(tmp_path / "ce", "bert", labels=1)
    other = save_tiny_model(tmp_path / "other", "modernbert")
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink()
        if (other / name).exists():
            shutil.copy(other / name, folder / name)
    with pytest.raises(ConfigError, match="tokenizer does not belong to the model"):
        load_cross_encoder(str(folder))


def test_a_model_without_a_tokenizer_is_refused(tmp_path):
    folder = save_tiny_teacher(tmp_path)
    AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1).save_pretrained(tmp_path / "ce")
    with pytest.raises(ConfigError, match="its tokenizer"):
        load_cross_encoder(str(tmp_path / "ce"))


def test_weights_that_are_no_numbers_are_refused(folder, tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.weight[0, 0] = float("nan")
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    with pytest.raises(DataError, match="logits that are not finite"):
        load_cross_encoder(str(tmp_path)).logits(PAIRS[:2])
