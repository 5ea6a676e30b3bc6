"""Training a cross-encoder: losses, batches, budget, going on after a kill, and what is refused."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ce2de_os.distill.data.pairs import PairCounts, TrainingPair
from ce2de_os.distill.models.cross_encoder import load_cross_encoder
from ce2de_os.distill.training import teacher_progress, teacher_training
from ce2de_os.distill.training.losses import bce_loss, softmax_loss
from ce2de_os.distill.training.teacher_config import TeacherConfig
from ce2de_os.distill.training.teacher_groups import QueryGroups, collate
from ce2de_os.distill.training.teacher_progress import TeacherProgress, last_checkpoint, rate
from ce2de_os.distill.training.teacher_training import (
    load_base,
    reciprocal_rank,
    train_teacher,
)
from ce2de_os.errors import ConfigError, DataError
from tests.unit.distill.tiny import WORDS, save_tiny_cross_encoder

LOW, HIGH = WORDS[: len(WORDS) // 2], WORDS[len(WORDS) // 2 :]


def learnable_pairs(count=120):
    """Right passages use one half of the vocabulary, wrong ones the other."""
    rng = random.Random(3)

    def text(words):
        return " ".join(rng.choices(words, k=rng.randint(3, 12)))

    return [TrainingPair(text(WORDS), text(LOW), tuple(text(HIGH) for _ in range(9))) for _ in range(count)]


@pytest.fixture
def config(teacher_folder):
    return TeacherConfig(
        base=str(teacher_folder), steps=30, lr=2e-3, negatives=3, batch_queries=8, max_length=40, threads=1,
        precision="fp32",
    )  # fmt: skip


def run(config, out, pairs=None, report=None):
    pairs = learnable_pairs() if pairs is None else pairs
    return train_teacher(
        pairs, PairCounts(len(pairs), 0, 0, len(pairs)), config, out,
        phase=lambda *_: None, report=report or (lambda *_: None),
    )  # fmt: skip


def test_softmax_loss_by_hand():
    logits = torch.tensor([[math.log(6.0), math.log(1.0), math.log(1.0)], [0.0, 0.0, 0.0]])
    expected = (-math.log(6 / (6 + 1 + 1)) - math.log(1 / 3)) / 2
    assert softmax_loss(logits).item() == pytest.approx(expected)


def test_bce_loss_by_hand():
    # sigmoid(log 3) = 3/4, sigmoid(0) = 1/2, sigmoid(-log 3) = 1/4
    logits = torch.tensor([[math.log(3.0), 0.0, -math.log(3.0)]])
    expected = -(math.log(3 / 4) + math.log(1 - 1 / 2) + math.log(1 - 1 / 4)) / 3
    assert bce_loss(logits).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([2.0, 1.0, 0.0], 1 / 1),
        ([1.0, 2.0, 0.0], 1 / 2),
        ([1.0, 1.0, 0.0], 1 / 2),
        ([0.0, *range(1, 10)], 1 / 10),
        ([0.0, *range(1, 11)], 0.0),
    ],
)
def test_reciprocal_rank(logits, expected):
    assert reciprocal_rank(np.array(logits)) == expected


@pytest.mark.parametrize(("done", "factor"), [(0.05, 0.5), (0.1, 1.0), (0.55, 0.45 / 0.9), (1.0, 0.0)])
def test_rate(done, factor):
    assert rate(done, warmup=0.1) == pytest.approx(factor)


def test_the_first_step_is_small_but_not_nothing():
    assert 0 < rate(0.0, warmup=0.1) < 0.1


def test_done_counts_steps_or_minutes(config):
    progress = TeacherProgress(steps=3, elapsed_s=30.0)
    assert progress.done(config) == 3 / 30
    assert progress.done(replace(config, steps=None, minutes=2.0)) == 30 / 120


def test_every_pass_over_the_data_reads_each_query_once(config):
    pairs = learnable_pairs(24)
    groups = QueryGroups(pairs, config, per_pass=4, size=1000)
    for start in (0, 24, 48):
        read = [groups[item][0] for item in range(start, start + 24)]
        assert sorted(read) == sorted((pair.query, pair.positive) for pair in pairs)
    assert [groups[item][0] for item in range(24)] != [groups[item][0] for item in range(24, 48)]
    assert groups[5] == QueryGroups(pairs, config, per_pass=4, size=1000)[5]


def test_the_training_reads_the_groups_in_their_order(config, tmp_path, monkeypatch):
    read = []

    class Watched(QueryGroups):
        def __getitem__(self, item):
            read.append(item)
            return super().__getitem__(item)

    monkeypatch.setattr(teacher_training, "QueryGroups", Watched)
    run(config, tmp_path / "t")
    assert read == list(range(len(read)))
    assert len(read) >= config.steps * config.batch_queries


def test_queries_of_one_pass_have_similar_lengths(config):
    pairs = [TrainingPair(f"q{n}", "x" * (n + 1), ("y",)) for n in range(100)]
    groups = QueryGroups(pairs, config, per_pass=10, size=100)
    for start in range(0, 100, 10):
        lengths = [len(groups[item][0][1]) for item in range(start, start + 10)]
        assert max(lengths) - min(lengths) < 12


def test_collating_sorts_and_remembers_the_order(config):
    encoder = load_base(config)
    groups = [[("bab", "cab dab fab"), ("bab", "cab")], [("bab beg", "cab"), ("bab", "cab dab")]]
    batch = collate(encoder, 2, groups)
    rows = torch.cat([torch.nn.functional.pad(c["input_ids"], (0, 0)) for c in batch["chunks"]])
    pairs = [pair for group in groups for pair in group]
    for place, pair in zip(batch["places"], pairs, strict=True):
        expected = encoder.tokenizer(*pair)["input_ids"]
        assert rows[place][: len(expected)].tolist() == expected
        assert not rows[place][len(expected) :].any()


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_training_learns_and_writes_a_cross_encoder(config, tmp_path, loss, capfd):
    config = replace(config, steps=60, lr=1e-3)
    seen = []
    facts = run(
        replace(config, loss=loss), tmp_path / "teacher", report=lambda progress, done: seen.append(done)
    )
    assert facts["dev_mrr_after"] > facts["dev_mrr_before"] + 0.3
    assert facts["counts"] == {
        "read": 120, "empty": 0, "repeated": 0, "equal": 0, "used": 120, "trained": 108, "held_out": 12,
    }  # fmt: skip
    assert json.loads((tmp_path / "teacher" / "teacher.json").read_text()) == facts
    assert seen == [step / 60 for step in range(61)]
    assert capfd.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["teacher"]
    teacher = load_cross_encoder(str(tmp_path / "teacher"), precision="fp32")
    right, wrong = teacher.logits([("bab", " ".join(LOW[:6])), ("bab", " ".join(HIGH[:6]))])
    assert right > wrong


def test_a_finished_or_foreign_folder_is_left_alone(config, tmp_path):
    run(replace(config, steps=1), tmp_path / "teacher")
    with pytest.raises(DataError, match="holds a finished teacher"):
        run(config, tmp_path / "teacher")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(DataError, match="other: exists"):
        run(config, tmp_path / "other")


def test_an_interrupted_run_goes_on_to_the_same_teacher(config, tmp_path, monkeypatch):
    # Two passes to a step, and more than one reading of the data.
    monkeypatch.setattr(teacher_training, "_PASS_TOKENS", {"cpu": 4 * (1 + 3) * 40})
    config = replace(config, steps=10)
    pairs = learnable_pairs(40)
    expected = run(config, tmp_path / "whole", pairs)
    monkeypatch.setattr(teacher_progress, "CHECKPOINT_SECONDS", 0.0)

    def stop_in_the_middle(progress, done):
        if progress.steps == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "part", pairs, stop_in_the_middle)
    assert not (tmp_path / "part").exists()
    seen = []
    facts = run(config, tmp_path / "part", pairs, lambda progress, done: seen.append(progress.steps))
    assert seen == [7, 8, 9, 10]  # the seventh step was interrupted before its checkpoint
    assert facts["dev_curve"] == expected["dev_curve"]
    mine, other = (load_cross_encoder(str(tmp_path / name)).model for name in ("part", "whole"))
    for one, two in zip(mine.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


def test_a_half_written_checkpoint_is_passed_over(tmp_path):
    for name, files in (("checkpoint-9", ["progress.json"]), ("checkpoint-10", ["trainer_state.json"])):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).touch()
    assert Path(str(last_checkpoint(tmp_path))).name == "checkpoint-9"


def test_a_run_of_other_settings_or_pairs_is_refused(config, tmp_path):
    def stop(progress, done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "t", report=stop)
    with pytest.raises(DataError, match="other settings or pairs"):
        run(replace(config, seed=1), tmp_path / "t")
    with pytest.raises(DataError, match="other settings or pairs"):
        run(config, tmp_path / "t", pairs=learnable_pairs(60))
    run(replace(config, steps=1, lr=1e-4), tmp_path / "t")  # budget and rate may change


def test_a_diverging_run_stops_and_goes_on_with_a_lower_rate(config, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_progress, "CHECKPOINT_SECONDS", 0.0)

    def stop_early(progress, done):
        if progress.steps == 3:
            raise KeyboardInterrupt

    config = replace(config, steps=6)
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "t", report=stop_early)
    with pytest.raises(ConfigError, match=r"set `lr` below 1e\+38 to resume from the last good checkpoint"):
        run(replace(config, lr=1e38), tmp_path / "t")
    kept = last_checkpoint(tmp_path / "t.training")
    assert kept is not None
    facts = run(config, tmp_path / "t")
    assert np.isfinite(facts["final_loss"])
    assert facts["steps_done"] == 6


def test_too_few_pairs_are_refused(config, tmp_path):
    with pytest.raises(DataError, match=r"3 usable pairs of 3 read .* expected at least 10"):
        run(config, tmp_path / "t", pairs=learnable_pairs(3))


def test_what_is_no_encoder_is_refused(config, tmp_path):
    with pytest.raises(ConfigError, match="base '/no/such': cannot be loaded"):
        load_base(replace(config, base="/no/such"))


def test_a_cross_encoder_keeps_its_head(config, tmp_path):
    folder = save_tiny_cross_encoder(tmp_path / "ce")
    head = load_base(replace(config, base=str(folder))).model.classifier.weight
    torch.testing.assert_close(head, load_cross_encoder(str(folder)).model.cpu().classifier.weight)


def test_some_layers_of_the_base_are_kept(config, tmp_path):
    whole = load_base(config)
    count = whole.body.config.num_hidden_layers
    kept = load_base(replace(config, layers=(0, count - 1)))
    assert kept.body.config.num_hidden_layers == 2
    for own, layer in zip(kept.body.encoder.layer, (0, count - 1), strict=True):
        expected = whole.body.encoder.layer[layer].state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in own.state_dict().items())
    assert kept.digest != whole.digest


@pytest.mark.parametrize("layers", [(), (0, 99), (1, 0), (0, 0), (-1, 0)])
def test_layers_that_the_base_does_not_have_are_refused(config, layers):
    with pytest.raises(ConfigError, match=r"layers: got .*, expected rising numbers from 0 to"):
        load_base(replace(config, layers=layers))


def test_a_small_teacher_is_trained_and_loaded(config, tmp_path):
    run(replace(config, layers=(0,)), tmp_path / "t")
    assert load_cross_encoder(str(tmp_path / "t")).body.config.num_hidden_layers == 1


def test_a_teacher_reads_no_longer_pairs_than_it_was_trained_on(config, tmp_path):
    run(config, tmp_path / "t")
    assert load_cross_encoder(str(tmp_path / "t")).max_length == config.max_length


def test_a_head_of_other_width_is_replaced(config, tmp_path):
    folder = save_tiny_cross_encoder(tmp_path / "ce", labels=3)
    assert load_base(replace(config, base=str(folder))).model.classifier.out_features == 1


@pytest.mark.parametrize(
    "wrong",
    [{"lr": 0.0}, {"lr": float("nan")}, {"minutes": -1.0}, {"steps": 0}, {"negatives": 0}, {"warmup": 1.0}],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TeacherConfig(**wrong)
