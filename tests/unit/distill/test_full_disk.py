"""A full disk is one line, and leaves no half of a file; a limit of the sizes of files acts as one."""

from __future__ import annotations

import resource
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from ce2de_os.arrays import write_array
from ce2de_os.distill.models.folder import RECIPE_FILE, write_student
from ce2de_os.distill.models.hub import load_tokenizer
from ce2de_os.distill.training import trainer
from ce2de_os.errors import DataError
from ce2de_os.student import StudentModel


@contextmanager
def full_disk():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_array(path, np.zeros(10_000)),
        lambda path: trainer._write(path, {"weights": torch.zeros(10_000)}),
    ],
)
def test_vectors_and_checkpoints(tmp_path, write):
    path = tmp_path / "file.npy"
    write(path)
    before = path.read_bytes()
    with full_disk(), pytest.raises(DataError, match=r"file\.npy: cannot be written .*; free some space"):
        write(path)
    assert [found.name for found in tmp_path.iterdir()] == ["file.npy"]
    assert path.read_bytes() == before


def test_a_student_is_not_finished_before_all_is_written(tmp_path, teacher_folder):
    config = BertConfig.from_pretrained(teacher_folder, num_hidden_layers=1)
    student = StudentModel(BertModel(config, add_pooling_layer=False), 16)
    tokenizer = load_tokenizer(str(teacher_folder), config.vocab_size)
    folder = tmp_path / "student"
    with full_disk(), pytest.raises(DataError, match=r"student: cannot be written .*; free some space"):
        write_student(folder, student, tokenizer, 64, ["bab"], {})
    assert not (folder / RECIPE_FILE).exists()
    write_student(folder, student, tokenizer, 64, ["bab"], {})
    assert StudentModel.load(folder).dim == 16
