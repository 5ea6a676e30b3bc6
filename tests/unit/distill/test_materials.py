"""Parallel text: the student reads a translation, the teacher its original."""

from __future__ import annotations

import random

import numpy as np
import pytest

from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.data.texts import TrainingPassage
from ce2de_os.distill.models.hub import bare_tokenizer, load_tokenizer
from ce2de_os.distill.models.teacher import embed_ids
from ce2de_os.distill.recipe import _training_set
from ce2de_os.distill.source import Source
from ce2de_os.distill.training.materials import read_passages, token_ids
from tests.unit.distill.tiny import WORDS, save_tiny_model, write_texts


def silent(*_):
    pass


@pytest.fixture
def student_tokenizer(tmp_path):
    """Another one than the teacher's: bytes, so that a word is several tokens."""
    return bare_tokenizer(load_tokenizer(str(save_tiny_model(tmp_path / "student", "roberta")), 320))


def pairs(count, words):
    rng = random.Random(4)

    def text():
        return " ".join(rng.choices(WORDS, k=words))

    return [TrainingPassage(text(), "pairs (it)", text()) for _ in range(count)]


def test_the_target_of_a_translation_is_the_embedding_of_its_original(teacher, student_tokenizer, tmp_path):
    config = DistillConfig(unique_tokens=4000, precision="fp32")
    tokenizers = student_tokenizer, teacher.tokenizer
    texts = [write_texts(tmp_path / "own.txt", lines=100)]
    passages = read_passages(texts, pairs(40, 5), tokenizers, config, silent)
    assert {passage.source for passage in passages} == {"own", "pairs (it)"}
    source = Source(teacher.model, None, student_tokenizer, teacher)
    data = _training_set(passages, source, config, tmp_path / "cache", "fp32", silent)
    for row, passage in enumerate(passages):
        assert list(data.ids[row]) == token_ids(student_tokenizer, [passage.text], 256)[0]
        read = passage.text if passage.source == "own" else passage.original
        (expected,) = embed_ids(teacher.embed, token_ids(teacher.tokenizer, [read], 256), "fp32")
        np.testing.assert_allclose(data.targets[row], expected, atol=2e-3)


def test_pairs_count_by_the_tokens_of_the_student(teacher, student_tokenizer):
    given = pairs(500, 8)
    for tokenizer in (student_tokenizer, teacher.tokenizer):
        passages = read_passages(
            [], given, (tokenizer, teacher.tokenizer), DistillConfig(unique_tokens=1000), silent
        )
        taken = sum(map(len, token_ids(tokenizer, [passage.text for passage in passages], 256)))
        assert taken == pytest.approx(1000, rel=0.05)


def test_pairs_that_one_of_them_cannot_read_whole_are_left_out(teacher, student_tokenizer, caplog):
    long_text = TrainingPassage(" ".join(WORDS[:30]), "p", "bab")
    long_original = TrainingPassage("bab", "p", " ".join(WORDS[:30]))
    short = TrainingPassage("bab beg", "p", "bip")
    found = read_passages(
        [], [long_text, short, long_original], (student_tokenizer, teacher.tokenizer),
        DistillConfig(max_length=24), silent,
    )  # fmt: skip
    assert found == [short]
    assert "2 of 3 pairs of parallel text are left out: longer than 24 tokens" in caplog.text


def test_without_pairs_the_sample_is_as_before(teacher, tmp_path):
    texts, config = [write_texts(tmp_path / "own.txt")], DistillConfig(unique_tokens=2000)
    tokenizers = teacher.tokenizer, teacher.tokenizer
    alone = read_passages(texts, [], tokenizers, config, silent)
    beside = read_passages(texts, pairs(10, 3), tokenizers, config, silent)
    assert all(passage.original is None for passage in alone)
    own = {passage for passage in beside if passage.source == "own"}
    assert own <= set(alone)
