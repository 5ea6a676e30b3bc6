"""Settings of a distillation, and the losses' spelling."""

from __future__ import annotations

import pytest

from ce2de_os.distill.config import DistillConfig, check_losses
from ce2de_os.errors import ConfigError


@pytest.mark.parametrize("wrong", [{"l3": 1}, {"kl": 0}, {"kl": -1}, {"kl": float("nan")}, {}])
def test_wrong_losses_are_refused(wrong):
    with pytest.raises(ConfigError, match="losses: got"):
        check_losses(wrong)


def test_kinds_of_losses():
    assert DistillConfig(losses={"l2": 1.0}).reads_texts
    assert not DistillConfig(losses={"l2": 1.0}).ranks
    assert DistillConfig(losses={"kl": 1.0}).ranks
    assert not DistillConfig(losses={"kl": 1.0}).reads_texts


def test_translations_are_read_where_pieces_are_learned_from_them():
    assert not DistillConfig(losses={"kl": 1.0}).reads_parallel
    assert DistillConfig(losses={"kl": 1.0}, extend_vocabulary=10).reads_parallel


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": 0.0}, {"lr": float("nan")}, {"minutes": -1.0}, {"tokens": 0}, {"layers": ()}, {"losses": {}},
        {"threads": 10**10}, {"lr": float("inf")}, {"temperature": float("inf")}, {"warmup": -0.1},
        {"warmup": float("nan")},
        {"decay": 1.5}, {"candidates": 1}, {"accumulate": 0}, {"init": "ce"}, {"pooled": 2}, {"pooled": -1},
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DistillConfig(**wrong)
