"""The last layer of a cross-encoder, computed for its first token alone."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from ce2de_os.distill.models.first_token import read_first_token

SIZES = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}


def model_of(family):
    torch.manual_seed(5)
    if family == "bert":
        return BertForSequenceClassification(BertConfig(**SIZES, num_hidden_layers=3, num_labels=1))
    if family == "roberta":
        return RobertaForSequenceClassification(RobertaConfig(**SIZES, num_hidden_layers=2, num_labels=1))
    config = DistilBertConfig(vocab_size=50, dim=32, hidden_dim=64, n_heads=4, n_layers=2, num_labels=1)
    return DistilBertForSequenceClassification(config)


@pytest.mark.parametrize(
    ("family", "attention"),
    [("bert", "eager"), ("bert", "sdpa"), ("roberta", "eager"), ("roberta", "sdpa"), ("distilbert", "sdpa")],
)
def test_logits_and_gradients_stay(family, attention):
    plain = model_of(family).eval()
    plain.config._attn_implementation = attention
    short = copy.deepcopy(plain)
    read_first_token(short)
    ids = torch.randint(2, 50, (3, 11))
    mask = torch.tensor([[1] * 11, [1] * 7 + [0] * 4, [1] + [0] * 10])
    logits = [model(input_ids=ids, attention_mask=mask).logits for model in (plain, short)]
    torch.testing.assert_close(logits[1], logits[0], atol=1e-5, rtol=1e-4)
    for found in logits:
        found.square().sum().backward()
    expected = dict(plain.named_parameters())
    for name, parameter in short.named_parameters():
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(grad, expected[name].grad, atol=1e-5, rtol=1e-3, msg=name)
    assert short.state_dict().keys() == plain.state_dict().keys()
