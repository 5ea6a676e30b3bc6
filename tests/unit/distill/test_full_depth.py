"""The teacher as an artifact of the student's vector space."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from ce2de_os.distill.data.prefixes import NO_PREFIXES
from ce2de_os.distill.models.bodies import as_bert
from ce2de_os.distill.models.folder import write_student
from ce2de_os.distill.models.full_depth import write_full_depth
from ce2de_os.distill.models.hub import load_tokenizer
from ce2de_os.distill.models.init import cut_student
from ce2de_os.distill.models.onnx_teacher import POOLING_FILE
from ce2de_os.distill.models.teacher import embed_ids, load_teacher
from ce2de_os.distill.training.materials import token_ids
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.export.exporter import export
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.student import pad
from tests.unit.distill.tiny import WORDS

POOLINGS = {"mean": "mean_tokens", "cls": "cls_token"}
TEXTS = [" ".join(WORDS[start : start + 9]) for start in range(30)]


@pytest.fixture(params=["mean", "cls"])
def pooling_teacher(request, teacher_folder, tmp_path):
    """The tiny teacher with a pooling file, so that it reads the mean or its first token."""
    folder = tmp_path / "teacher"
    shutil.copytree(teacher_folder, folder)
    (folder / POOLING_FILE).parent.mkdir()
    (folder / POOLING_FILE).write_text(json.dumps({f"pooling_mode_{POOLINGS[request.param]}": True}))
    return load_teacher(str(folder))


def test_it_gives_the_teachers_embeddings_and_shares_the_students_space(pooling_teacher, tmp_path):
    teacher = pooling_teacher
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
    assert full.pooling.startswith(teacher.pooling)
    plain = SentenceTransformer(str(tmp_path / "full"), device="cpu").encode(TEXTS)
    assert np.abs(plain - expected).max() < 1e-5  # sentence-transformers reads the folder alike


def test_a_first_token_has_no_vectors_of_other_tokens(teacher, tmp_path):
    student = cut_student(as_bert(teacher.model, "tiny"), (0, 2), dim=32, pooling="cls")
    with pytest.raises(ConfigError, match="without `token_vectors`"):
        student.token_vectors(*pad([[2, 5, 3]]))


def test_a_folder_without_a_student_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a finished student"):
        write_full_depth(tmp_path, tmp_path / "full")
