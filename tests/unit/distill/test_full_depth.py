"""The teacher as an artifact of the student's vector space."""

from __future__ import annotations

import numpy as np
import pytest

from ce2de_os.distill.data.prefixes import NO_PREFIXES
from ce2de_os.distill.models.bodies import as_bert
from ce2de_os.distill.models.folder import write_student
from ce2de_os.distill.models.full_depth import write_full_depth
from ce2de_os.distill.models.hub import load_tokenizer
from ce2de_os.distill.models.init import cut_student
from ce2de_os.distill.models.teacher import embed_ids
from ce2de_os.distill.training.materials import token_ids
from ce2de_os.errors import DataError
from ce2de_os.export.exporter import export
from ce2de_os.model.encoder import OnnxEncoder
from tests.unit.distill.tiny import WORDS

TEXTS = [" ".join(WORDS[start : start + 9]) for start in range(30)]


def test_it_gives_the_teachers_embeddings_and_shares_the_students_space(teacher, tmp_path):
    student = cut_student(as_bert(teacher.model, "tiny"), (0, 2), dim=32)
    space = teacher.space_of(NO_PREFIXES)
    recipe = {
        "teacher": teacher.name, "layers": [0, 2], "texts": {"a": 3}, "space": space, "max_length": 64
    }  # fmt: skip
    write_student(tmp_path / "run", student, load_tokenizer(teacher.name, 65), 64, TEXTS, recipe)
    write_full_depth(tmp_path / "run", tmp_path / "full")
    small, _ = export(tmp_path / "run", tmp_path / "small-model")
    full, _ = export(tmp_path / "full", tmp_path / "full-model")
    assert small.space == full.space == space
    assert small.fingerprint != full.fingerprint
    expected = embed_ids(teacher.embed, token_ids(teacher.tokenizer, TEXTS, 64), "fp32")
    cosines = np.sum(OnnxEncoder(full).encode_documents(TEXTS) * expected, axis=1)
    assert cosines.min() > 0.98  # int8 against float32


def test_a_folder_without_a_student_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a finished student"):
        write_full_depth(tmp_path, tmp_path / "full")
