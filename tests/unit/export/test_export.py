"""Export: the ONNX graph against PyTorch, the quantized one against both, and the folder."""

from __future__ import annotations

import errno
import json
import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import BertConfig, BertModel

from ce2de_os.errors import ConfigError, DataError, ParityError
from ce2de_os.export import canary, exporter
from ce2de_os.export.exporter import export
from ce2de_os.export.graph import StudentGraph
from ce2de_os.export.onnx_model import export_float, quantize
from ce2de_os.export.parity import Parity, compare, student_embeddings
from ce2de_os.export.restore import describe
from ce2de_os.export.truncation import truncate
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.student import StudentModel, pad
from tests.unit.distill.tiny import WORDS, save_tiny_teacher


@pytest.fixture(
    scope="module", params=[("all", 2, 0), ("last", 2, 0), ("all", 2, 1), ("last", 2, 1), ("all", 3, 2)]
)
def student(request):
    torch.manual_seed(3)
    readout, layers, pooled = request.param
    config = BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=32, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=256,
    )  # fmt: skip
    return StudentModel(BertModel(config, add_pooling_layer=False), 16, readout, pooled=pooled).eval()


@pytest.fixture(scope="module")
def ids():
    rng = np.random.default_rng(0)
    return [rng.integers(5, 60, size=length).tolist() for length in (1, 3, 17, 40, 200)]


def run_onnx(path, ids):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    input_ids, mask = (tensor.numpy() for tensor in pad(ids))
    return session.run(["embeddings"], {"input_ids": input_ids, "attention_mask": mask})[0]


@pytest.fixture(scope="module")
def float_path(student, tmp_path_factory):
    return export_float(StudentGraph(student, 256).eval(), tmp_path_factory.mktemp("float"))


def test_graph_computes_what_the_student_computes(student, ids):
    graph = StudentGraph(student, 256).eval()
    with torch.no_grad():
        torch.testing.assert_close(graph(*pad(ids)), student(*pad(ids)), atol=1e-6, rtol=1e-5)


def test_onnx_computes_what_the_student_computes(student, ids, float_path):
    np.testing.assert_allclose(run_onnx(float_path, ids), student_embeddings(student, ids), atol=1e-5)


def test_onnx_has_the_inputs_and_the_output_of_the_contract(float_path):
    graph = onnx.load(float_path).graph
    assert [node.name for node in graph.input] == ["input_ids", "attention_mask"]
    assert [node.name for node in graph.output] == ["embeddings"]


def test_quantized_weights_are_signed_and_have_seven_bits(student, float_path, tmp_path):
    model = onnx.load(quantize(float_path, tmp_path, student.body.config))
    products = [node for node in model.graph.node if node.op_type == "MatMulInteger"]
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    # In each layer: query-key-value, output, intermediate, output. A pooled layer stays float32.
    assert len(products) == (student.body.config.num_hidden_layers - student.pooled) * 4
    for node in products:
        weight = tensors[node.input[1]]
        assert weight.dtype == np.int8
        assert abs(weight.astype(int)).max() <= 64


def test_quantized_graph_stays_close(student, ids, float_path, tmp_path):
    quantized = run_onnx(quantize(float_path, tmp_path, student.body.config), ids)
    assert compare(student_embeddings(student, ids), quantized).passed


def test_compare_by_hand():
    half_turned = np.array([[1, 0], [1, 1]], np.float32)
    parity = compare(np.array([[1, 0], [1, 0]], np.float32), half_turned)
    assert parity.worst_cosine == pytest.approx(1 / math.sqrt(2), abs=1e-5)
    assert parity.mean_cosine == pytest.approx((1 + 1 / math.sqrt(2)) / 2, abs=1e-5)


@pytest.mark.parametrize(
    ("mean", "worst", "passed"),
    [(0.98, 0.95, True), (0.979, 0.96, False), (0.99, 0.949, False), (float("nan"), 0.99, False)],
)
def test_parity_needs_both_limits(mean, worst, passed):
    assert Parity(10, mean, worst).passed is passed


def test_there_are_sixteen_different_canaries():
    assert len(canary.TEXTS) == len(set(canary.TEXTS)) == 16


def test_each_language_has_canaries_of_its_own():
    texts = [text for pair in canary.BY_LANGUAGE.values() for text in pair]
    assert len(texts) == len(set(texts)) == 2 * len(canary.BY_LANGUAGE)
    assert canary.texts_for(["en"]) == canary.TEXTS
    assert canary.texts_for(["it", "en"]) == canary.TEXTS + canary.BY_LANGUAGE["it"]
    assert canary.texts_for(["sw"]) == canary.TEXTS  # none are built in


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
    recipe = {"teacher": "tiny", "layers": [0, 2], "texts": {"a": 3}, "lr": 0.001, "space": "5" * 64}
    recipe["text_sources"] = {"a": {"license": "CC0 1.0", "attribution": "them"}}
    (run / "recipe.json").write_text(json.dumps(recipe))
    return run


def test_artifact_loads_and_gives_the_students_embeddings(student, run_folder, tmp_path):
    artifact, parity = export(run_folder, tmp_path / "model")
    assert parity.passed
    assert json.loads((run_folder / "parity.json").read_text())["texts"] == 40
    assert artifact.name == "run"
    built = describe(student)
    sources = {"a": {"license": "CC0 1.0", "attribution": "them"}}
    assert artifact.source == {
        "teacher": "tiny", "layers": [0, 2], "texts": {"a": 3}, "text_sources": sources, "student": built,
    }  # fmt: skip
    assert "text_sources" not in artifact.recipe["distill"]
    assert artifact.recipe["distill"]["lr"] == 0.001
    encoder = OnnxEncoder(Artifact.load(tmp_path / "model"))
    assert encoder.encode_queries(["bab beg"]).shape == (1, 16)


def set_languages(run_folder, languages):
    recipe = json.loads((run_folder / "recipe.json").read_text())
    (run_folder / "recipe.json").write_text(json.dumps({**recipe, "languages": languages}))


def test_a_multilingual_student_brings_canaries_in_its_languages(run_folder, tmp_path):
    english, _ = export(run_folder, tmp_path / "english")
    set_languages(run_folder, ["en", "it", "ja"])
    several, _ = export(run_folder, tmp_path / "several")
    assert (english.languages, several.languages) == (("en",), ("en", "it", "ja"))
    assert english.canaries()[0] == list(canary.TEXTS)
    expected = [*canary.TEXTS, *canary.BY_LANGUAGE["it"], *canary.BY_LANGUAGE["ja"]]
    assert several.canaries()[0] == expected
    assert several.fingerprint == english.fingerprint  # languages decide no embedding
    assert OnnxEncoder(several).encode_queries(["bab"]).shape == (1, 16)  # which replays them


@pytest.mark.parametrize(
    ("languages", "codes"),
    [
        (
            {"original": "en", "selector": "en-en", "teacher": "en-en", "student": "en-it,de"},
            ("en", "it", "de"),
        ),
        ({"student": "en-en"}, ("en",)),
        (["ita", "venetian"], ("it", "venetian")),  # users may name languages as they like
    ],
)
def test_what_a_distillation_says_of_its_languages(run_folder, tmp_path, languages, codes):
    set_languages(run_folder, languages)
    artifact, _ = export(run_folder, tmp_path / "model")
    assert artifact.languages == codes
    assert artifact.canaries()[0] == list(canary.texts_for(codes))


@pytest.mark.parametrize("languages", ["en", [], [7], 7, None])
def test_languages_that_are_none_are_refused(run_folder, tmp_path, languages):
    set_languages(run_folder, languages)
    with pytest.raises(DataError, match=r"recipe\.json: "):
        export(run_folder, tmp_path / "model")


@pytest.mark.parametrize("student", [("last", 2, 0)], indirect=True)
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tokenizer.json", "", "not a tokenizer .EOF"),
        ("tokenizer.json", "{}", "not a tokenizer .*Model missing"),
        ("recipe.json", "{}", "has no 'teacher'"),
        ("recipe.json", "[1]", "has no 'teacher'"),
        ("sample.json", "{}", "expected a list of texts"),
        ("sample.json", "[]", "expected a list of texts"),
        ("sample.json", "[1]", "expected a list of texts"),
    ],
)
def test_a_damaged_file_of_a_run_is_named(run_folder, tmp_path, name, text, message):
    (run_folder / name).write_text(text)
    with pytest.raises(
        DataError, match=rf"{name}: {message}.*; pass a folder that 'ce2de distill' has finished"
    ):
        export(run_folder, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("student", [("last", 2, 0)], indirect=True)
def test_the_current_folder_has_a_name_too(run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(run_folder)
    assert export(Path(), tmp_path / "model", name="")[0].name == "run"


@pytest.mark.parametrize("student", [("last", 2, 0)], indirect=True)
def test_a_run_that_cannot_be_written_to_is_named(run_folder, tmp_path):
    (run_folder / "parity.json").mkdir()
    with pytest.raises(DataError, match=r"run/parity\.json: cannot be written"):
        export(run_folder, tmp_path / "model")


def test_a_poor_model_is_refused_and_not_written(run_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "_measure", lambda *_: Parity(40, 0.9, 0.8))
    with pytest.raises(ParityError, match=r"cosine mean 0\.9, worst 0\.8; expected 0\.98"):
        export(run_folder, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_folder_with_other_files_is_left_alone(run_folder, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep me")
    with pytest.raises(DataError, match="is not a model folder"):
        export(run_folder, tmp_path / "notes")


def test_a_student_shares_its_teachers_space(run_folder, tmp_path):
    artifact, _ = export(run_folder, tmp_path / "model")
    assert artifact.space == OnnxEncoder(artifact).space == "5" * 64
    assert artifact.fingerprint != artifact.space


def test_a_shorter_embedding_has_a_space_of_its_own(run_folder, tmp_path):
    artifact, parity = export(run_folder, tmp_path / "model", dim=8)
    assert artifact.dim == 8
    assert artifact.space == artifact.fingerprint
    assert parity.passed
    assert OnnxEncoder(artifact).encode_queries(["bab beg"]).shape == (1, 8)


@pytest.mark.parametrize("dim", [0, 17])
def test_an_impossible_length_is_refused(run_folder, tmp_path, dim):
    with pytest.raises(ConfigError, match=f"dim: got {dim}, expected 1 to 16"):
        export(run_folder, tmp_path / "model", dim=dim)


def test_a_full_disk_leaves_the_model_that_is_there(run_folder, tmp_path, monkeypatch):
    first, _ = export(run_folder, tmp_path / "model")

    def full(path, *_):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(exporter.canary, "write_canaries", full)
    with pytest.raises(DataError, match="cannot be written \\(No space left on device\\); free some space"):
        export(run_folder, tmp_path / "model", dim=8)
    assert Artifact.load(tmp_path / "model") == first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_truncation_keeps_what_a_best_rank_keeps():
    """Embeddings that lie in a plane lose nothing in two dimensions."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    student = StudentModel(BertModel(config, add_pooling_layer=False), 6, "last").eval()
    plane = torch.linalg.qr(torch.randn(6, 2)).Q
    with torch.no_grad():
        student.head.weight.copy_(plane @ plane.T @ student.head.weight)
        student.head.bias.copy_(plane @ plane.T @ student.head.bias)
    ids = [[2, token, 3] for token in range(5, 25)]
    before = student_embeddings(student, ids)
    truncate(student, before, 2)
    after = student_embeddings(student, ids)
    assert after.shape == (20, 2)
    np.testing.assert_allclose(after @ after.T, before @ before.T, atol=1e-5)
