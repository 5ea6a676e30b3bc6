"""The speed measurement: its arithmetic, its rounds, and its file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ce2de_os.distill.report.peers import Peer
from ce2de_os.distill.report.speed import Speed, histogram, measure_speed, summarize
from ce2de_os.errors import ConfigError, DataError

NAMES = {"student": "s", "teacher": "t"}


def test_figures_by_hand():
    seconds = {"student": [1.0, 2.0, 4.0], "teacher": [10.0, 12.0, 16.0]}
    found = summarize(seconds, [10, 30], NAMES, 0.25)
    assert (found.student.docs_per_s, found.student.slowest, found.student.fastest) == (1.0, 0.5, 2.0)
    assert found.student.tokens_per_s == 40 / 2
    assert found.teacher.docs_per_s == round(2 / 12, 1)
    assert (found.ratio, found.ratio_low, found.ratio_high) == (6.0, 4.0, 10.0)  # 10/1, 12/2, 16/4
    assert (found.texts, found.tokens, found.rounds, found.waited) == (2, 40, 3, 0.25)


def test_histogram_ends_with_the_longest_text():
    assert histogram([1, 16, 17, 40]) == [(16, 2), (32, 1), (64, 1)]
    assert histogram([3]) == [(16, 1)]
    assert histogram([600]) == [(16, 0), (32, 0), (64, 0), (128, 0), (256, 0), (512, 0), (600, 1)]


def test_rounds_are_interleaved_and_pytorch_has_one_core():
    seen = []

    def encoder(name):
        def encode(texts):
            seen.append((name, torch.get_num_threads()))
            return np.ones((len(texts), 2), np.float32)

        return Peer(name, name, encode, encode)

    before, done = torch.get_num_threads(), []
    found = measure_speed(
        ["a", "b"], encoder("s"), encoder("t"), [3, 4], rounds=2, done=lambda *counts: done.append(counts)
    )
    assert seen == [("s", 1), ("t", 1)] * 3  # the first round warms up
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert found.rounds == 2
    assert 0 <= found.waited <= 1
    assert found.machine.cores >= 1
    assert torch.get_num_threads() == before


def test_file_gives_back_what_was_measured(tmp_path):
    found = summarize({"student": [1.0], "teacher": [2.0]}, [10, 30], NAMES, 0.0)
    found.save(tmp_path / "speed.json")
    assert Speed.load(tmp_path / "speed.json") == found


def test_nothing_to_measure_is_refused(tmp_path):
    nothing = Peer("n", "n", lambda texts: np.ones((0, 2)), lambda texts: np.ones((0, 2)))
    with pytest.raises(ConfigError, match="got 0 texts and 5 rounds"):
        measure_speed([], nothing, nothing, [])
    (tmp_path / "speed.json").write_text('{"student": {}}')
    with pytest.raises(DataError, match=r"speed\.json: not a speed measurement"):
        Speed.load(tmp_path / "speed.json")
