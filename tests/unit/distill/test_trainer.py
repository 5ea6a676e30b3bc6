"""Schedule, batches, the ranking measure, and going on after a kill."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ce2de_os.distill import trainer
from ce2de_os.distill.bodies import as_bert
from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.init import cut_student
from ce2de_os.distill.teacher import embed_ids
from ce2de_os.distill.trainer import Progress, TrainingSet, epoch_batches, neighbour_overlap, schedule, train
from ce2de_os.errors import ConfigError, DataError

CONFIG = DistillConfig(
    tokens=6000, batch_tokens=256, batch_texts=16, lr=1e-3, layers=(0, 2), precision="fp32"
)


@pytest.mark.parametrize(
    ("done", "factor"),
    [
        (0.05, 0.05 / 0.1),  # half of the warm-up
        (0.1, 1.0),
        (0.5, 1.0),  # flat
        (0.9, (1 - 0.9) / 0.4),  # falling
        (1.0, 0.0),
    ],
)
def test_schedule(done, factor):
    assert schedule(done, warmup=0.1, decay=0.4) == pytest.approx(factor)


def test_the_first_step_is_small_but_not_nothing():
    assert 0 < schedule(0.0, warmup=0.1, decay=0.4) < 0.1


def test_done_counts_tokens_or_minutes():
    progress = Progress(tokens=30, elapsed_s=90.0)
    assert progress.done(replace(CONFIG, tokens=120)) == 30 / 120
    assert progress.done(replace(CONFIG, tokens=None, minutes=2.0)) == 90 / 120


def test_batches_hold_every_text_once_within_their_bounds():
    lengths = np.random.default_rng(0).integers(3, 60, size=500).tolist()
    batches = epoch_batches(lengths, CONFIG, epoch=0)
    assert sorted(row for batch in batches for row in batch) == list(range(500))
    assert all(len(batch) <= 16 for batch in batches)
    assert all(len(batch) * max(lengths[row] for row in batch) <= 256 for batch in batches)


def test_batches_depend_on_seed_and_epoch_only():
    lengths = [5] * 100
    assert epoch_batches(lengths, CONFIG, 1) == epoch_batches(lengths, CONFIG, 1)
    assert epoch_batches(lengths, CONFIG, 1) != epoch_batches(lengths, CONFIG, 2)
    assert epoch_batches(lengths, CONFIG, 1) != epoch_batches(lengths, replace(CONFIG, seed=99), 1)


def test_neighbour_overlap_by_hand():
    # Texts on a circle; the student swaps the places of texts 0 and 2.
    angles = np.radians([0.0, 10.0, 90.0, 100.0])
    teacher = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    student = teacher[[2, 1, 0, 3]]
    # Teacher's nearest: 0-1, 1-0, 2-3, 3-2. Student's: 0-3, 1-2, 2-1, 3-0.
    assert neighbour_overlap(teacher, student, k=1) == 0 / 4
    assert neighbour_overlap(teacher, teacher, k=1) == 4 / 4


@pytest.fixture
def data(teacher):
    rng = np.random.default_rng(0)
    ids = [rng.integers(5, 60, size=rng.integers(3, 25)).tolist() for _ in range(300)]
    return TrainingSet(ids, embed_ids(teacher.embed, ids, "fp32").astype(np.float16), held_out=40)


def fresh(teacher):
    torch.manual_seed(0)
    student = cut_student(as_bert(teacher.model, "tiny"), (0, 2), dim=32, readout="all")
    student.head.reset_parameters()
    return student


def silent(progress, done):
    pass


def test_training_brings_the_student_nearer(teacher, data, tmp_path):
    losses = []
    progress = train(
        fresh(teacher),
        data,
        CONFIG,
        "fp32",
        tmp_path / "c.pt",
        lambda progress, _: losses.append(progress.loss),
    )
    assert losses[-1] < losses[0]
    assert progress.tokens >= 6000
    assert len(progress.dev) == trainer.DEV_CHECKS
    assert 0 < progress.dev[-1][1] <= 1


def test_a_killed_run_goes_on_to_the_same_student(teacher, data, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    expected = fresh(teacher)
    train(expected, data, CONFIG, "fp32", tmp_path / "whole.pt", silent)

    def stop_in_the_middle(progress, done):
        if done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(fresh(teacher), data, CONFIG, "fp32", tmp_path / "part.pt", stop_in_the_middle)
    seen = []
    resumed = fresh(teacher)
    train(resumed, data, CONFIG, "fp32", tmp_path / "part.pt", lambda _, done: seen.append(done))
    assert seen[0] > 0.4  # it did not begin again
    for mine, other in zip(resumed.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-5)


def test_a_checkpoint_of_other_settings_is_refused(teacher, data, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    train(fresh(teacher), data, CONFIG, "fp32", tmp_path / "c.pt", silent)
    with pytest.raises(DataError, match="other settings or texts"):
        train(fresh(teacher), data, replace(CONFIG, lr=5e-4), "fp32", tmp_path / "c.pt", silent)


@pytest.mark.parametrize("wrong", [{"lr": 0.0}, {"minutes": -1.0}, {"tokens": 0}, {"layers": ()}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DistillConfig(**wrong)
