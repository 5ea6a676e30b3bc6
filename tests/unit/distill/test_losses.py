"""Losses against hand arithmetic."""

from __future__ import annotations

import math

import pytest
import torch

from ce2de_os.distill import losses

# Two texts: the first student embedding is at 90 degrees to its teacher's, the second is equal to it.
STUDENT = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
TEACHER = torch.tensor([[0.0, 1.0], [0.6, 0.8]])


def test_l2_is_the_mean_distance():
    assert losses.l2(STUDENT, TEACHER).item() == pytest.approx((math.sqrt(1 + 1) + 0) / 2)


def test_cosine_is_the_mean_of_one_minus_cosine():
    assert losses.cosine(STUDENT, TEACHER).item() == pytest.approx(((1 - 0) + (1 - 1)) / 2)


def test_cosine_is_half_the_squared_distance_of_unit_vectors():
    squared = ((STUDENT - TEACHER) ** 2).sum(dim=1).mean()
    assert losses.cosine(STUDENT, TEACHER).item() == pytest.approx(squared.item() / 2)


def test_similarity_kl_of_equal_embeddings_is_zero():
    embeddings = torch.eye(3)
    assert losses.similarity_kl(embeddings, embeddings).item() == pytest.approx(0.0, abs=1e-7)


def test_similarity_kl_by_hand():
    # Teacher: texts 0 and 1 are equal, 2 is orthogonal. Student: 0 and 2 are equal, 1 is orthogonal.
    teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    # With temperature 1, a row of similarities (1, 0) becomes (high, low), (0, 0) becomes (1/2, 1/2).
    high, low = math.e / (math.e + 1), 1 / (math.e + 1)
    text0 = high * math.log(high / low) + low * math.log(low / high)
    text1 = high * math.log(high / 0.5) + low * math.log(low / 0.5)
    text2 = 0.5 * math.log(0.5 / high) + 0.5 * math.log(0.5 / low)
    kl = losses.similarity_kl(student, teacher, temperature=1.0).item()
    assert kl == pytest.approx((text0 + text1 + text2) / 3)


def test_similarity_kl_of_two_texts_is_zero_and_has_a_gradient():
    student = STUDENT.clone().requires_grad_()
    loss = losses.similarity_kl(student, TEACHER)
    loss.backward()
    assert loss.item() == 0.0
    assert student.grad is not None


def test_by_name_adds_the_weighted_kl():
    expected = losses.l2(STUDENT, TEACHER) + losses.KL_WEIGHT * losses.similarity_kl(STUDENT, TEACHER)
    assert losses.by_name("l2+kl", STUDENT, TEACHER).item() == pytest.approx(expected.item())
    assert losses.by_name("l2", STUDENT, TEACHER).item() == losses.l2(STUDENT, TEACHER).item()
    assert losses.by_name("cosine", STUDENT, TEACHER).item() == losses.cosine(STUDENT, TEACHER).item()
