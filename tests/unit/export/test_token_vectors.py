"""Token vectors: those of the ONNX graph against PyTorch's, and the artifact that gives them."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import BertConfig, BertModel

from ce2de_os.arrays import l2_normalize
from ce2de_os.errors import ConfigError, ParityError
from ce2de_os.export.exporter import export
from ce2de_os.export.graph import StudentGraph
from ce2de_os.export.onnx_model import export_float
from ce2de_os.export.token_vectors import student_tokens, token_head
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.student import StudentModel, pad
from tests.unit.distill.tiny import WORDS, save_tiny_teacher


def tiny_student(readout, *, pooled=False):
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=256,
    )  # fmt: skip
    return StudentModel(BertModel(config, add_pooling_layer=False), 16, readout, pooled=pooled).eval()


@pytest.fixture(scope="module", params=["all", "last"])
def student(request):
    return tiny_student(request.param)


@pytest.fixture(scope="module")
def ids():
    rng = np.random.default_rng(0)
    return [rng.integers(5, 60, size=length).tolist() for length in (2, 5, 17, 40, 200)]


@pytest.fixture(scope="module")
def head(student, ids):
    return token_head(student, ids, 8)


@pytest.fixture(scope="module")
def session(student, head, tmp_path_factory):
    path = export_float(StudentGraph(student, 256, head).eval(), tmp_path_factory.mktemp("tokens"))
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture
def run_folder(student, tmp_path):
    """What ``ce2de distill`` leaves behind."""
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    save_tiny_teacher(teacher)
    run = tmp_path / "run"
    student.save(run)
    (run / "tokenizer.json").write_bytes((teacher / "tokenizer.json").read_bytes())
    sample = [" ".join(WORDS[start : start + 9]) for start in range(40)]
    (run / "sample.json").write_text(json.dumps(sample))
    recipe = {"teacher": "tiny", "layers": [0, 2], "texts": {"a": 3}, "space": "5" * 64}
    (run / "recipe.json").write_text(json.dumps(recipe))
    return run


def run_onnx(session, ids):
    input_ids, mask = (tensor.numpy() for tensor in pad(ids))
    feeds = {"input_ids": input_ids, "attention_mask": mask}
    return session.run(["token_vectors"], feeds)[0]


def test_the_mean_of_the_token_vectors_is_the_embedding(student, ids):
    """The head is linear, so it may come before or after the mean."""
    input_ids, mask = pad(ids)
    with torch.no_grad():
        vectors = student.token_vectors(input_ids, mask) * mask[:, :, None]
        means = vectors.sum(dim=1) / mask.sum(dim=1, keepdim=True)
        embeddings = student(input_ids, mask)
    np.testing.assert_allclose(l2_normalize(means.numpy()), embeddings.numpy(), atol=1e-5)


def test_the_graph_gives_the_students_token_vectors(student, ids, head, session):
    """Alone and in a batch with longer texts; the first and the last token are special ones."""
    together = run_onnx(session, ids)
    for place, (row, expected) in enumerate(zip(ids, student_tokens(student, ids, head), strict=True)):
        inner = slice(1, len(row) - 1)
        assert expected.shape == (len(row) - 2, 8)
        np.testing.assert_allclose(run_onnx(session, [row])[0, inner], expected, atol=1e-5)
        np.testing.assert_allclose(together[place, inner], expected, atol=1e-5)


def test_at_full_length_all_cosines_stay(student, ids):
    """Rotated onto all of its principal axes a head gives the same inner products."""
    own = np.concatenate(student_tokens(student, ids, student.head))
    rotated = np.concatenate(student_tokens(student, ids, token_head(student, ids, 16)))
    np.testing.assert_allclose(rotated @ rotated.T, own @ own.T, atol=1e-5)


@pytest.mark.parametrize("readout", ["all", "last"])
def test_a_pooled_last_layer_has_no_token_vectors(ids, readout):
    with pytest.raises(ConfigError, match="last layers are pooled, so they have no vectors of single tokens"):
        token_head(tiny_student(readout, pooled=True), ids, 8)


@pytest.mark.parametrize("dim", [0, 17])
def test_an_impossible_length_is_refused(run_folder, tmp_path, dim):
    with pytest.raises(ConfigError, match=f"token vectors: got length {dim}, expected 1 to 16"):
        export(run_folder, tmp_path / "model", token_dim=dim)


def test_too_few_tokens_for_so_many_axes(student):
    with pytest.raises(ConfigError, match="16 axes cannot be measured on 3 tokens"):
        token_head(student, [[2, 7, 8, 9, 3]], 16)


def test_the_embeddings_stay_as_they_are_and_the_fingerprint_does_not(run_folder, tmp_path):
    plain, _ = export(run_folder, tmp_path / "plain")
    artifact, _ = export(run_folder, tmp_path / "model", token_dim=8)
    assert (plain.token_dim, artifact.token_dim) == (None, 8)
    assert artifact.fingerprint != plain.fingerprint
    assert artifact.space == plain.space
    texts = ["bab beg", "", "bab " * 300]
    embeddings = OnnxEncoder(plain).encode_documents(texts)
    encoder = OnnxEncoder(artifact)
    np.testing.assert_array_equal(encoder.encode_documents(texts), embeddings)
    np.testing.assert_array_equal(encoder.encode_documents_and_tokens(texts)[0], embeddings)


def test_one_unit_vector_for_each_token_but_the_special_ones(run_folder, tmp_path):
    artifact, _ = export(run_folder, tmp_path / "model", token_dim=8)
    assert artifact.recipe["token_parity"]["texts"] == 40 * 9  # 9 words of one token each
    encoder, texts = OnnxEncoder(artifact), ["bab beg", "", "bab " * 300]
    found = encoder.encode_document_tokens(texts)
    assert [one.shape for one in found] == [(2, 8), (0, 8), (254, 8)]
    np.testing.assert_allclose(np.linalg.norm(found[2], axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(encoder.encode_query_tokens(texts)[0], found[0])
    assert encoder.encode_query_tokens([]) == []


def test_wrong_token_vectors_are_refused(run_folder, tmp_path):
    """As on a CPU where the int8 arithmetic goes wrong."""
    artifact, _ = export(run_folder, tmp_path / "model", token_dim=8)
    path = artifact.folder / "canary.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["token_mean"] = [-value for value in row["token_mean"]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = ("name", "dim", "max_length", "pooling", "source", "recipe", "space", "token_dim")
    spoilt = Artifact.create(artifact.folder, **{name: getattr(artifact, name) for name in settings})
    assert spoilt.fingerprint == artifact.fingerprint  # canaries are no part of it
    with pytest.raises(ParityError, match="this CPU computes wrong vectors"):
        OnnxEncoder(spoilt)
