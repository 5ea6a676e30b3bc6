"""Losses against hand arithmetic and against sentence-transformers."""

from __future__ import annotations

import math

import pytest
import torch

from ce2de_os.distill.training import losses

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


def test_similarity_of_equal_embeddings_is_zero():
    embeddings = torch.eye(3)
    assert losses.similarity(embeddings, embeddings).item() == pytest.approx(0.0, abs=1e-7)


def test_similarity_by_hand():
    # Teacher: texts 0 and 1 are equal, 2 is orthogonal. Student: 0 and 2 are equal, 1 is orthogonal.
    teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    # With temperature 1, a row of similarities (1, 0) becomes (high, low), (0, 0) becomes (1/2, 1/2).
    high, low = math.e / (math.e + 1), 1 / (math.e + 1)
    text0 = high * math.log(high / low) + low * math.log(low / high)
    text1 = high * math.log(high / 0.5) + low * math.log(low / 0.5)
    text2 = 0.5 * math.log(0.5 / high) + 0.5 * math.log(0.5 / low)
    found = losses.similarity(student, teacher, temperature=1.0).item()
    assert found == pytest.approx((text0 + text1 + text2) / 3)


def test_similarity_of_two_texts_is_zero_and_has_a_gradient():
    student = STUDENT.clone().requires_grad_()
    loss = losses.similarity(student, TEACHER)
    loss.backward()
    assert loss.item() == 0.0
    assert student.grad is not None


def test_contrastive_by_hand():
    # Two queries with two candidates each, the positive first; temperature 1/2 doubles every similarity.
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    documents = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.6, 0.8], [1.0, 0.0]]])
    query0 = [2 * 1, 2 * 0, 2 * 0.6, 2 * 1]
    query1 = [2 * 0, 2 * 1, 2 * 0.8, 2 * 0]
    expected = 0.0
    for scores, positive in ((query0, 0), (query1, 2)):
        expected -= math.log(math.exp(scores[positive]) / sum(math.exp(score) for score in scores)) / 2
    assert losses.contrastive(queries, documents, temperature=0.5).item() == pytest.approx(expected)


def test_margin_mse_by_hand():
    student, teacher = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[5.0, 1.0, 4.0]])
    # margins: student 3-1 and 3-2, teacher 5-1 and 5-4
    expected = (((3 - 1) - (5 - 1)) ** 2 + ((3 - 2) - (5 - 4)) ** 2) / 2
    assert losses.margin_mse(student, teacher).item() == expected


def test_kl_by_hand():
    # Two candidates; scores 2 and 0 at temperature 2 are logits 1 and 0.
    high, low = math.e / (math.e + 1), 1 / (math.e + 1)
    expected = 2**2 * (high * math.log(high / 0.5) + low * math.log(low / 0.5))
    student, teacher = torch.tensor([[7.0, 7.0]]), torch.tensor([[2.0, 0.0]])
    assert losses.kl(student, teacher, temperature=2.0).item() == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def embeddings():
    torch.manual_seed(0)
    queries, documents = torch.randn(5, 8), torch.randn(5, 4, 8)
    normalize = torch.nn.functional.normalize
    return normalize(queries, dim=-1), normalize(documents, dim=-1), 3 * torch.randn(5, 4)


def peers(queries, documents):
    return [queries, *documents.unbind(dim=1)]


def test_margin_mse_is_that_of_sentence_transformers(embeddings):
    from sentence_transformers.sentence_transformer.losses import MarginMSELoss

    queries, documents, logits = embeddings
    student = torch.einsum("bd,bnd->bn", queries, documents)
    theirs = MarginMSELoss(model=None).compute_loss_from_embeddings(peers(queries, documents), logits)
    torch.testing.assert_close(losses.margin_mse(student, logits), theirs)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_kl_is_that_of_sentence_transformers(embeddings, temperature):
    from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss

    queries, documents, logits = embeddings
    student = torch.einsum("bd,bnd->bn", queries, documents)
    theirs = DistillKLDivLoss(model=None, temperature=temperature)
    expected = theirs.compute_loss_from_embeddings(peers(queries, documents), logits)
    torch.testing.assert_close(losses.kl(student, logits, temperature), expected)


def test_contrastive_is_that_of_sentence_transformers(embeddings):
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    queries, documents, _ = embeddings
    theirs = MultipleNegativesRankingLoss(model=None, scale=1 / 0.05)
    expected = theirs.compute_loss_from_embeddings(peers(queries, documents), None)
    torch.testing.assert_close(losses.contrastive(queries, documents, 0.05), expected)


def test_text_loss_is_the_weighted_sum_of_its_kind():
    expected = 2 * losses.l2(STUDENT, TEACHER) + 0.5 * losses.cosine(STUDENT, TEACHER)
    weights = {"l2": 2.0, "cosine": 0.5, "kl": 9.0}
    assert losses.text_loss(weights, STUDENT, TEACHER).item() == pytest.approx(expected.item())


def test_ranking_loss_is_the_weighted_sum_of_its_kind(embeddings):
    queries, documents, logits = embeddings
    scores = torch.einsum("bd,bnd->bn", queries, documents) / 0.1
    expected = (
        0.5 * losses.contrastive(queries, documents, 0.1)
        + 0.2 * losses.margin_mse(scores, logits)
        + 3.0 * losses.kl(scores, logits)
    )
    weights = {"l2": 9.0, "contrastive": 0.5, "margin-mse": 0.2, "kl": 3.0}
    torch.testing.assert_close(losses.ranking_loss(weights, queries, documents, logits, 0.1), expected)


def test_a_translation_of_the_positive_is_no_negative(embeddings):
    """Round robin: the same query comes twice, its documents in two languages."""
    queries, documents, _ = embeddings
    rows = torch.tensor([[7, 1, 2, 3], [7, 1, 2, 3], [4, 5, 6, 0], [10, 11, 12, 13], [14, 15, 16, 7]])
    scores = queries @ documents.flatten(0, 1).T / 0.5
    expected = 0.0
    for query, itself in enumerate([0, 4, 8, 12, 16]):
        others = [0, 4, 19] if query < 2 else [itself]  # places of the query's positive
        negatives = [place for place in range(20) if place not in others]
        expected -= torch.log_softmax(scores[query, [itself, *negatives]], dim=0)[0].item() / 5
    assert losses.contrastive(queries, documents, 0.5, rows).item() == pytest.approx(expected, rel=1e-5)
