"""A finished student's folder loads in sentence-transformers and transformers, with equal vectors."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel

from ce2de_os.distill.models.bodies import as_bert
from ce2de_os.distill.models.folder import write_student
from ce2de_os.distill.models.hub import load_tokenizer
from ce2de_os.distill.models.init import cut_student
from ce2de_os.distill.training.materials import token_ids
from ce2de_os.export.exporter import export
from ce2de_os.student import StudentModel, pad
from tests.unit.distill.tiny import WORDS

TEXTS = [" ".join(WORDS[:9]), WORDS[3], " ".join(WORDS[10:50]), "unseen words bab"]


@pytest.fixture(params=[("last", 0), ("all", 0), ("all", 1)], ids=["plain", "all depths", "pooled"])
def folder(request, teacher, tmp_path):
    readout, pooled = request.param
    torch.manual_seed(1)
    student = cut_student(as_bert(teacher.model, "tiny"), (0, 2), dim=16, readout=readout, pooled=pooled)
    tokenizer = load_tokenizer(teacher.name, 65)
    recipe = {"teacher": "tiny", "layers": [0, 2], "texts": {"a": 3}, "space": None}
    write_student(tmp_path / "run", student, tokenizer, 24, TEXTS, recipe)
    return tmp_path / "run"


def ours(folder, teacher):
    with torch.no_grad():
        return StudentModel.load(folder)(*pad(token_ids(teacher.tokenizer, TEXTS, 24))).numpy()


def test_sentence_transformers_gives_equal_vectors(folder, teacher):
    theirs = SentenceTransformer(str(folder), device="cpu", trust_remote_code=True).encode(TEXTS)
    np.testing.assert_allclose(theirs, ours(folder, teacher), atol=1e-6)


def test_a_plain_student_needs_no_module_of_ours(folder):
    kinds = [module["type"] for module in json.loads((folder / "modules.json").read_text())]
    plain = json.loads((folder / "student.json").read_text())
    needs_ours = any(kind.startswith("ce2de_os") for kind in kinds)
    assert needs_ours == (plain["pooled"] > 0 or plain["readout"] == "all")


def test_what_sentence_transformers_saves_loads_again(folder, teacher, tmp_path):
    model = SentenceTransformer(str(folder), device="cpu", trust_remote_code=True)
    model.save(str(tmp_path / "copy"))
    again = SentenceTransformer(str(tmp_path / "copy"), device="cpu", trust_remote_code=True)
    np.testing.assert_allclose(again.encode(TEXTS), ours(folder, teacher), atol=1e-6)


def test_the_body_is_a_plain_hugging_face_model(folder):
    body, student = AutoModel.from_pretrained(folder).eval(), StudentModel.load(folder)
    ids, mask = pad([[2, 9, 8, 7, 3]])
    with torch.no_grad():
        theirs = body(input_ids=ids, attention_mask=mask).last_hidden_state
        expected = student.body(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(theirs, expected, atol=1e-6, rtol=1e-5)


def test_it_exports(folder, tmp_path):
    artifact, parity = export(folder, tmp_path / "model")
    assert artifact.dim == 16
    assert parity.texts == len(TEXTS)
