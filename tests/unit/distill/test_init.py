"""Copied layers and the closed-form head."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ce2de_os.distill.models.bodies import as_bert
from ce2de_os.distill.models.cross_encoder import load_cross_encoder
from ce2de_os.distill.models.init import cut_student, ridge, solve_head
from ce2de_os.distill.models.teacher import embed_ids
from ce2de_os.errors import ConfigError
from tests.unit.distill.tiny import save_tiny_cross_encoder


def test_ridge_without_penalty_is_least_squares():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 4)).astype(np.float32)
    targets = rng.normal(size=(50, 3)).astype(np.float32)
    weight, bias = ridge(features, targets, penalty=0.0)
    with_ones = np.hstack([features, np.ones((50, 1))])
    solution, *_ = np.linalg.lstsq(with_ones, targets, rcond=None)
    np.testing.assert_allclose(weight, solution[:4].T, atol=1e-5)
    np.testing.assert_allclose(bias, solution[4], atol=1e-5)


def test_ridge_penalty_shrinks_the_weight_by_hand():
    # One feature, x = -1, 1 and y = -2, 2: gram 2, penalty 1 * 2, so w = (2 + 2) / (2 + 2) instead of 2.
    weight, bias = ridge(
        np.array([[-1.0], [1.0]], np.float32), np.array([[-2.0], [2.0]], np.float32), penalty=1.0
    )
    assert weight.tolist() == [[(2 + 2) / (2 + 2)]]
    assert bias.tolist() == [0.0]


def test_layers_are_copied_in_the_order_given(teacher):
    student = cut_student(as_bert(teacher.model, "tiny"), (0, 2), dim=32, readout="all")
    for mine, index in zip(student.body.encoder.layer, (0, 2), strict=True):
        expected = teacher.model.encoder.layer[index].output.dense.weight
        assert torch.equal(mine.output.dense.weight, expected)
        assert mine.output.dense.weight is not expected
    assert student.body.config.num_hidden_layers == 2
    assert teacher.model.config.num_hidden_layers == 3


def test_de_2_ce_begins_with_the_cross_encoders_own_layer(tmp_path):
    """The paper's student: on a text alone its first layer gives what the cross-encoder's gives."""
    crossed = load_cross_encoder(str(save_tiny_cross_encoder(tmp_path / "ce")), precision="fp32")
    torch.manual_seed(3)
    student = cut_student(as_bert(crossed.body, "ce"), (0, None), dim=32)
    encoded = crossed.tokenizer(
        ["bab beg bip", "a text that is not known bon bab", "bun"], padding=True, return_tensors="pt"
    )
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    with torch.no_grad():
        theirs = crossed.body(**encoded, output_hidden_states=True).hidden_states
        embedded = student.body.embeddings(input_ids=ids)
        hidden = student.body.get_extended_attention_mask(mask, ids.shape)
        first = student.body.encoder.layer[0](embedded, attention_mask=hidden)[0]
    torch.testing.assert_close(embedded, theirs[0], atol=1e-6, rtol=1e-5)
    real = mask.bool()
    torch.testing.assert_close(first[real], theirs[1][real], atol=1e-5, rtol=1e-4)
    # The second layer is new: like none of the cross-encoder's.
    second = student.body.encoder.layer[1].output.dense.weight
    assert all(not torch.allclose(second, layer.output.dense.weight) for layer in crossed.body.encoder.layer)


def test_nothing_is_copied_to_a_random_student(teacher):
    source = as_bert(teacher.model, "tiny")
    student = cut_student(source, (None, None), dim=32, copy_embeddings=False)
    words = student.body.embeddings.word_embeddings.weight
    assert not torch.allclose(words, source.embeddings.word_embeddings.weight)


def test_a_layer_that_does_not_exist_is_named(teacher):
    with pytest.raises(ConfigError, match="got 9, expected numbers from 0 to 2"):
        cut_student(as_bert(teacher.model, "tiny"), (0, 9), dim=32)


def test_a_student_with_every_layer_can_copy_its_teacher(teacher):
    rng = np.random.default_rng(0)
    ids = [rng.integers(4, 60, size=rng.integers(3, 12)).tolist() for _ in range(200)]
    student = cut_student(as_bert(teacher.model, "tiny"), (0, 1, 2), dim=32)
    targets = embed_ids(teacher.embed, ids, "fp32")
    told = []
    solve_head(student, ids, targets, "fp32", lambda *progress: told.append(progress))
    assert told[0] == ("head", 0, 200)
    assert told[-1] == ("head", 200, 200)
    cosines = np.sum(embed_ids(student, ids, "fp32") * targets, axis=1)
    assert cosines.mean() > 0.99
