"""Schedule, batches, and going on after a kill."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.data.languages import MIXINGS
from ce2de_os.distill.models.bodies import as_bert
from ce2de_os.distill.models.init import cut_student
from ce2de_os.distill.models.teacher import embed_ids
from ce2de_os.distill.training import trainer
from ce2de_os.distill.training.batches import TrainingSet, batches, epoch_batches
from ce2de_os.distill.training.dev import held_out_overlap
from ce2de_os.distill.training.ranking_data import RankingSet
from ce2de_os.distill.training.trainer import Progress, schedule, train
from ce2de_os.errors import DataError
from ce2de_os.student import pad

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


@pytest.fixture
def data(teacher):
    rng = np.random.default_rng(0)
    ids = [rng.integers(5, 60, size=rng.integers(3, 25)).tolist() for _ in range(300)]
    candidates = [rng.permutation(50)[:6] for _ in range(20)]
    logits = [np.sort(rng.normal(size=6))[::-1].astype(np.float32) for _ in range(20)]
    ranking = RankingSet(ids[250:270], {"en": ids[200:250]}, candidates, logits)
    targets = embed_ids(teacher.embed, ids, "fp32").astype(np.float16)
    return TrainingSet(ids, targets, held_out=40, ranking=ranking)


def fresh(teacher):
    torch.manual_seed(0)
    student = cut_student(as_bert(teacher.model, "tiny"), (0, 2), dim=32, readout="all")
    student.head.reset_parameters()
    return student


def silent(progress, done):
    pass


def run(student, data, config, checkpoint, report=silent, measure=None):
    measure = measure or held_out_overlap(data, "fp32")
    return train(student, data, config, "fp32", checkpoint, report, measure)


def assert_equal(left, right):
    for mine, other in zip(left.parameters(), right.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-5)


BOTH = replace(CONFIG, losses={"l2": 1.0, "kl": 0.2}, batch_queries=4, candidates=3)


def test_batches_go_on_where_an_unbroken_run_would_be(data):
    unbroken = [batch.texts for batch in islice(batches(data, BOTH, 0), 60)]
    assert unbroken[45:] == [batch.texts for batch in islice(batches(data, BOTH, 45), 15)]


@pytest.mark.parametrize(
    ("losses", "texts", "ranking"), [({"l2": 1.0}, True, False), ({"kl": 1.0}, False, True)]
)
def test_a_batch_holds_what_the_losses_need(data, losses, texts, ranking):
    batch = next(batches(data, replace(CONFIG, losses=losses), 0))
    assert (batch.texts is not None, batch.ranking is not None) == (texts, ranking)


@pytest.mark.parametrize(
    "losses", [{"l2": 1.0}, {"l2": 1.0, "kl": 0.2}, {"contrastive": 1.0}, {"margin-mse": 1.0}]
)
def test_training_lowers_the_loss(teacher, data, tmp_path, losses):
    seen = []
    config = replace(BOTH, losses=losses, tokens=12_000)
    progress = run(
        fresh(teacher), data, config, tmp_path / "c.pt", lambda progress, _: seen.append(progress.loss)
    )
    assert seen[-1] < seen[0]
    assert progress.tokens >= 12_000
    assert len(progress.dev) == trainer.DEV_CHECKS
    assert 0 < progress.dev[-1][1] <= 1
    assert len(progress.curve) > 10


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_killed_run_goes_on_to_the_same_student(teacher, data, tmp_path, monkeypatch, accumulate):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    config = replace(BOTH, accumulate=accumulate)
    expected = fresh(teacher)
    run(expected, data, config, tmp_path / "whole.pt")

    def stop_in_the_middle(progress, done):
        if done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(fresh(teacher), data, config, tmp_path / "part.pt", stop_in_the_middle)
    seen = []
    resumed = fresh(teacher)
    run(resumed, data, config, tmp_path / "part.pt", lambda _, done: seen.append(done))
    assert seen[0] > 0.4  # it did not begin again
    assert_equal(resumed, expected)


@pytest.mark.parametrize("mixing", MIXINGS)
def test_a_killed_run_in_two_languages_goes_on_to_the_same_student(
    teacher, data, tmp_path, monkeypatch, mixing
):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    documents = data.ranking.documents["en"]
    ranking = replace(data.ranking, documents={"it": documents, "de": [ids[::-1] for ids in documents]})
    data = replace(data, ranking=ranking)
    config = replace(BOTH, mixing=mixing, tokens=3000)
    expected = fresh(teacher)
    run(expected, data, config, tmp_path / "whole.pt")

    def stop_in_the_middle(progress, done):
        if done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(fresh(teacher), data, config, tmp_path / "part.pt", stop_in_the_middle)
    resumed = fresh(teacher)
    run(resumed, data, config, tmp_path / "part.pt")
    assert_equal(resumed, expected)


def test_accumulated_batches_make_the_step_of_their_mean(teacher, data, tmp_path):
    """Two batches a step are one step on the mean of their losses."""
    config = replace(CONFIG, accumulate=2, tokens=1, warmup=0.0)
    accumulated, expected = fresh(teacher), fresh(teacher)
    run(accumulated, data, config, tmp_path / "c.pt")
    optimizer = trainer._optimizer(expected, config)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"]
    for batch in islice(batches(data, config, 0), 2):
        targets = torch.from_numpy(data.targets[batch.texts].astype(np.float32))
        embeddings = expected(*pad([data.ids[row] for row in batch.texts]))
        distances = torch.linalg.vector_norm(
            embeddings - torch.nn.functional.normalize(targets, dim=1), dim=1
        )
        (distances.mean() / 2).backward()
    torch.nn.utils.clip_grad_norm_(expected.parameters(), 1.0)
    optimizer.step()
    for mine, other in zip(accumulated.parameters(), expected.parameters(), strict=True):
        # Adam's first step goes by the gradient's sign, which rounding decides where the gradient is nothing.
        clear = other.grad.abs() > 1e-5
        torch.testing.assert_close(mine[clear], other[clear], atol=1e-5, rtol=1e-4)


def test_the_best_weights_are_kept(teacher, data, tmp_path):
    """A dev metric that falls after the third measurement: the student ends as it was then."""
    values, weights = iter([0.1, 0.2, 0.9, 0.3, 0.4, 0.3, 0.2, 0.1]), []

    def measure(student):
        weights.append(student.head.weight.detach().clone())
        return next(values)

    student = fresh(teacher)
    run(student, data, CONFIG, tmp_path / "c.pt", measure=measure)
    assert torch.equal(student.head.weight, weights[2])
    assert not torch.equal(weights[2], weights[-1])
    assert not (tmp_path / "best.pt").exists()


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(teacher, data, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    student, good = fresh(teacher), {}

    def spoil(progress, done):
        if progress.steps == 8:
            good.update(torch.load(tmp_path / "c.pt", weights_only=True))
            with torch.no_grad():
                student.head.weight.fill_(float("nan"))

    monkeypatch.setattr(trainer._Run, "save", unless_spoilt(trainer._Run.save))
    with pytest.raises(
        DataError, match=r"step 9: the loss is no longer a number.*lower learning rate than 0\.001"
    ):
        run(student, data, CONFIG, tmp_path / "c.pt", spoil)
    kept = torch.load(tmp_path / "c.pt", weights_only=True)
    assert kept["progress"]["steps"] == 7
    lower = replace(CONFIG, lr=5e-4)
    steps = []
    run(fresh(teacher), data, lower, tmp_path / "c.pt", lambda progress, _: steps.append(progress.steps))
    assert steps[0] == 8


def unless_spoilt(save):
    """The eighth step's weights are spoilt by the test after the step; saving them is not what is tested."""
    return lambda self, progress: None if progress.steps == 8 else save(self, progress)


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_a_damaged_checkpoint_is_named(teacher, data, tmp_path, monkeypatch, keep):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    path = tmp_path / "c.pt"
    run(fresh(teacher), data, CONFIG, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep == 0.5 else keep])
    with pytest.raises(DataError, match=r"c\.pt: damaged; delete it to train from the beginning"):
        run(fresh(teacher), data, CONFIG, path)


def test_a_checkpoint_of_other_settings_is_refused(teacher, data, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    run(fresh(teacher), data, CONFIG, tmp_path / "c.pt")
    with pytest.raises(DataError, match="other settings or texts"):
        run(fresh(teacher), data, replace(CONFIG, seed=5), tmp_path / "c.pt")
