"""Encoders of the family as BertModel: the same states for the same text."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ModernBertConfig,
    ModernBertModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from ce2de_os.distill.models.bodies import as_bert
from ce2de_os.errors import ConfigError
from ce2de_os.student import pad

SIZES = {
    "vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 20, "initializer_range": 0.4,
}  # fmt: skip
DISTIL = {
    "vocab_size": 40, "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 16, "max_position_embeddings": 20,
    "initializer_range": 0.4,
}  # fmt: skip
FAMILIES = {
    "bert": lambda: BertModel(BertConfig(**SIZES)),
    "distilbert": lambda: DistilBertModel(DistilBertConfig(**DISTIL)),
    "roberta": lambda: RobertaModel(RobertaConfig(**SIZES, pad_token_id=1)),
    "xlm-roberta": lambda: XLMRobertaModel(XLMRobertaConfig(**SIZES, pad_token_id=1)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_copy_gives_the_same_states(family):
    torch.manual_seed(0)
    model = FAMILIES[family]().eval()
    ids, mask = pad([[3, 4, 5, 6, 7], [8, 9]])
    with torch.no_grad():
        theirs = model(input_ids=ids, attention_mask=mask).last_hidden_state
        ours = as_bert(model, family)(input_ids=ids, attention_mask=mask).last_hidden_state
    real = mask.bool()
    torch.testing.assert_close(ours[real], theirs[real], atol=1e-5, rtol=1e-4)


def test_modernbert_cannot_be_cut():
    config = ModernBertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        pad_token_id=0, eos_token_id=1, bos_token_id=2, cls_token_id=2, sep_token_id=1,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="type 'modernbert', expected BERT"):
        as_bert(ModernBertModel(config), "modern")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hidden_act": "relu"}, "activation 'relu'"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
    ],
)
def test_another_arithmetic_is_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        as_bert(BertModel(BertConfig(**SIZES, **setting)), "odd")
