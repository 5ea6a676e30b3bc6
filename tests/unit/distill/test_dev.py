"""What a training measures while it runs: what its losses teach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.models.bodies import as_bert
from ce2de_os.distill.models.init import cut_student
from ce2de_os.distill.models.teacher import embed_ids
from ce2de_os.distill.training import dev
from ce2de_os.distill.training.batches import TrainingSet
from ce2de_os.distill.training.dev import dev_metric, held_out_mrr, mean_reciprocal_rank, neighbor_overlap
from ce2de_os.distill.training.ranking_data import RankingSet
from ce2de_os.distill.training.trainer import train

CONFIG = DistillConfig(
    tokens=60_000, batch_tokens=512, batch_texts=16, batch_queries=8, candidates=3, lr=2e-3, layers=(0, 2),
    precision="fp32", losses={"l2": 1.0, "contrastive": 1.0},
)  # fmt: skip


def test_neighbor_overlap_by_hand():
    # Texts on a circle; the student swaps the places of texts 0 and 2.
    angles = np.radians([0.0, 10.0, 90.0, 100.0])
    teacher = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    student = teacher[[2, 1, 0, 3]]
    # Teacher's nearest: 0-1, 1-0, 2-3, 3-2. Student's: 0-3, 1-2, 2-1, 3-0.
    assert neighbor_overlap(teacher, student, k=1) == 0 / 4
    assert neighbor_overlap(teacher, teacher, k=1) == 4 / 4


def test_mean_reciprocal_rank_by_hand():
    similarities = np.array([[0.9, 0.1, 0.5], [0.9, 0.1, 0.5], [0.2, 0.1, 0.5]], dtype=np.float32)
    positives = np.array([0, 2, 1])
    assert mean_reciprocal_rank(similarities, positives) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert mean_reciprocal_rank(similarities, positives, k=2) == pytest.approx((1 + 1 / 2 + 0) / 3)
    equal = np.ones((3, 20), dtype=np.float32)
    assert mean_reciprocal_rank(equal, positives) == 0, "one vector for all texts finds nothing"


def pairs(queries=500, documents=500):
    """Make queries whose positive has other tokens: token t of a query is t + 30 in its document."""
    rng = np.random.default_rng(0)
    asked = [rng.integers(5, 30, size=6).tolist() for _ in range(queries)]
    answers = [[token + 30 for token in rng.permutation(query).tolist()] for query in asked[:documents]]
    candidates = [np.array([row, *rng.permutation(queries)[:5]]) for row in range(queries)]
    candidates = [np.array(list(dict.fromkeys(row.tolist()))[:5]) for row in candidates]
    logits = [np.array([1.0, *[0.0] * (len(row) - 1)], dtype=np.float32) for row in candidates]
    return RankingSet(asked, {"en": answers}, candidates, logits)


@pytest.fixture
def data(teacher):
    rng = np.random.default_rng(1)
    ids = [rng.integers(5, 60, size=rng.integers(3, 25)).tolist() for _ in range(300)]
    targets = embed_ids(teacher.embed, ids, "fp32").astype(np.float16)
    return TrainingSet(ids, targets, held_out=40, ranking=pairs())


def chosen(data, config=CONFIG):
    return dev_metric([], data, lambda texts: [], config, "fp32")


def test_held_out_queries_are_not_trained_on_and_are_spread(data):
    metric = chosen(data)
    assert metric.name == "MRR@10 of held-out queries"
    assert metric.held_out == 25, "a twentieth"
    left = {tuple(query) for query in metric.data.ranking.queries}
    gone = [row for row, query in enumerate(data.ranking.queries) if tuple(query) not in left]
    assert gone == list(range(0, 500, 20))
    assert len(metric.data.ranking.candidates) == len(metric.data.ranking.logits) == 475


def test_too_few_queries_are_all_trained_on_and_not_measured(data, teacher):
    small, _ = data.ranking.split(101)
    metric = chosen(replace(data, ranking=small))
    assert metric.held_out == 0
    assert len(metric.data.ranking.queries) == 399
    assert metric.measure(student_of(teacher)) is None


def test_without_rankings_the_texts_are_measured(data):
    metric = chosen(replace(data, ranking=None))
    assert metric.name == "nearest neighbors in common with the teacher"
    assert metric.held_out == 0


def test_pairs_that_no_loss_reads_are_not_measured(data):
    metric = chosen(data, replace(CONFIG, losses={"l2": 1.0}))
    assert metric.name == "nearest neighbors in common with the teacher"
    assert metric.data is data


def test_each_document_is_read_in_one_of_its_languages(data, monkeypatch):
    german = [[1, *row] if number % 3 else [] for number, row in enumerate(data.ranking.documents["en"])]
    both = replace(data.ranking, documents=data.ranking.documents | {"de": german})
    read = []
    monkeypatch.setattr(
        dev, "embed_ids",
        lambda _, ids, *rest, **more: read.append(ids) or np.eye(len(ids), 600, dtype=np.float32),
    )  # fmt: skip
    held_out_mrr(both.split(25)[1], "fp32")(None)
    documents = read[1]
    assert 0.2 < np.mean([ids[0] == 1 for ids in documents]) < 0.5


def test_a_student_of_pairs_ends_with_what_it_has_learned_of_them(teacher, data, tmp_path):
    """A student of the texts learns pairs that the teacher finds unlike: it agrees less and ranks better."""
    overlap, metric, student = chosen(replace(data, ranking=None)), chosen(data), student_of(teacher)
    regression = replace(CONFIG, losses={"l2": 1.0}, lr=5e-3)
    learn(student, overlap, regression, tmp_path / "texts.pt")
    agreed = overlap.measure(student)
    pairs = replace(CONFIG, losses={"l2": 0.01, "contrastive": 1.0}, tokens=20_000)
    values = [value for _, value in learn(student, metric, pairs, tmp_path / "pairs.pt").dev]
    assert overlap.measure(student) < 0.8 * agreed, "or this test shows nothing"
    assert metric.measure(student) == pytest.approx(max(values), abs=1e-3)
    assert max(values) > 3 * values[0]


def learn(student, metric, config, checkpoint):
    return train(student, metric.data, config, "fp32", checkpoint, lambda *_: None, metric.measure)


def student_of(teacher):
    torch.manual_seed(0)
    student = cut_student(as_bert(teacher.model, "tiny"), (0, 2), dim=32, readout="all")
    student.head.reset_parameters()
    return student
