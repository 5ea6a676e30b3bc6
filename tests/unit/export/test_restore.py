"""From an artifact back to a student: its weights, its tokenizer, and a training that goes on from it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from ce2de_os.errors import ArtifactError, ConfigError
from ce2de_os.export.exporter import export
from ce2de_os.export.parity import student_embeddings
from ce2de_os.export.restore import restore_student
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.model.manifest import MANIFEST_FILE
from ce2de_os.recipes.distill_request import PACKAGED
from ce2de_os.recipes.distill_start import start_folder
from ce2de_os.student import StudentModel
from tests.unit.distill.test_distill_command import invoke, ok
from tests.unit.distill.tiny import WORDS, save_tiny_teacher, sets, write_texts

INT8 = ("word_embeddings", "self", "output.dense", "intermediate.dense")  # on tokens; the rest is float32


@pytest.fixture(
    scope="module", params=[("all", 2, 0), ("last", 1, 0), ("all", 3, 2), ("last", 2, 1)], ids=str
)
def run_folder(request, tmp_path_factory):
    """A finished run with a random student of each form; biases and norms are random too."""
    torch.manual_seed(4)
    readout, layers, pooled = request.param
    config = BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=32, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=300, layer_norm_eps=1e-7,
    )  # fmt: skip
    student = StudentModel(BertModel(config, add_pooling_layer=False), 16, readout, pooled=pooled)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    run = tmp_path_factory.mktemp("run")
    student.save(run)
    teacher = save_tiny_teacher(tmp_path_factory.mktemp("teacher"))
    (run / "tokenizer.json").write_bytes((teacher / "tokenizer.json").read_bytes())
    (run / "sample.json").write_text(json.dumps([" ".join(WORDS[at : at + 9]) for at in range(40)]))
    (run / "recipe.json").write_text(
        json.dumps({"teacher": "tiny", "layers": [0], "texts": {"a": 1}, "space": "5" * 64})
    )
    return run


@pytest.fixture(scope="module")
def artifact(run_folder, tmp_path_factory):
    return export(run_folder, tmp_path_factory.mktemp("model") / "model")[0]


def ids_of(artifact, texts):
    tokenizer = Tokenizer.from_file(str(artifact.tokenizer_path))
    return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def test_restored_weights_are_the_students(run_folder, artifact):
    old, new = StudentModel.load(run_folder), restore_student(artifact)
    on_tokens = old.body.config.num_hidden_layers - old.pooled
    assert (new.dim, new.readout, new.pooled) == (old.dim, old.readout, old.pooled)
    assert new.body.config.layer_norm_eps == 1e-7
    theirs = dict(old.named_parameters())
    for name, mine in new.named_parameters():
        layer = int(name.split("layer.")[1].split(".")[0]) if ".layer." in name else 0
        if "position" in name:  # the graph keeps 256 of them, and token types are part of them
            types = theirs["body.embeddings.token_type_embeddings.weight"][0]
            torch.testing.assert_close(mine, theirs[name][:256] + types)
        elif "token_type" in name or ("key.bias" in name and layer >= on_tokens):
            assert not mine.any()
        else:
            rounded = name.endswith("weight") and layer < on_tokens and any(part in name for part in INT8)
            step = mine.abs().max() / 63 if rounded else 1e-6
            assert (mine - theirs[name]).abs().max() <= step, name


def test_a_model_with_token_vectors_comes_back_too(run_folder, tmp_path):
    if StudentModel.load(run_folder).pooled:
        pytest.skip("a student with pooled layers has no token vectors")
    plain, tokens = (export(run_folder, tmp_path / str(dim), token_dim=dim)[0] for dim in (None, 8))
    pairs = zip(restore_student(plain).parameters(), restore_student(tokens).parameters(), strict=True)
    assert all(torch.equal(left, right) for left, right in pairs)


def test_restored_student_gives_the_artifacts_embeddings(artifact):
    texts = [" ".join(WORDS[at : at + 1 + at % 17]) for at in range(40)]
    restored = student_embeddings(restore_student(artifact), ids_of(artifact, texts))
    assert np.sum(restored * OnnxEncoder(artifact).encode_documents(texts), axis=1).min() > 0.98


def test_a_restored_student_exports_to_the_same_integers(run_folder, artifact, tmp_path):
    folder = start_folder(str(artifact.folder), tmp_path)
    (folder / "sample.json").write_bytes((run_folder / "sample.json").read_bytes())
    again, parity = export(folder, tmp_path / "again")
    assert parity.passed
    texts = [" ".join(WORDS[at : at + 9]) for at in range(20)]
    first, second = (OnnxEncoder(one).encode_documents(texts) for one in (artifact, again))
    np.testing.assert_allclose(first, second, atol=5e-3)


def test_the_packaged_student_comes_back(tmp_path):
    folder = start_folder(PACKAGED, tmp_path)
    artifact = Artifact.load()
    texts, unquantized = artifact.canaries()
    restored = student_embeddings(StudentModel.load(folder), ids_of(artifact, texts))
    assert np.sum(restored * unquantized, axis=1).min() > 0.99
    assert json.loads((folder / "recipe.json").read_text())["artifact"]["fingerprint"] == artifact.fingerprint


def test_training_goes_on_from_an_artifact_with_one_command(tmp_path):
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    save_tiny_teacher(teacher)
    texts, run = write_texts(tmp_path / "a.txt"), tmp_path / "run"
    options = ("--texts", texts, "--teacher", teacher, *sets(unique_tokens=10_000, threads=1))
    ok("distill", *options, *sets(layers=[0, 2], tokens=20_000), "--until", "export", "--out", run)
    start = (*options, "--start", run / "model", "--until", "export")
    ok("distill", *start, *sets(tokens=2_000), "--out", tmp_path / "more")
    first, more = (Artifact.load(folder / "model") for folder in (run, tmp_path / "more"))
    assert more.fingerprint != first.fingerprint
    assert more.space == first.space
    assert more.source["layers"] == [0, 2]
    assert more.recipe["distill"]["started_from"] == {"name": "run", "fingerprint": first.fingerprint}

    ok("distill", *start, *sets(tokens=2_000), "--out", tmp_path / "more")  # done: nothing to do
    ok("distill", *start, *sets(tokens=1, lr=1e-12), "--out", tmp_path / "same")
    same, lines = Artifact.load(tmp_path / "same" / "model"), texts.read_text().splitlines()[:30]
    left, right = (OnnxEncoder(one).encode_documents(lines) for one in (first, same))
    assert np.sum(left * right, axis=1).min() > 0.99  # it goes on, it does not begin again

    with pytest.raises(ConfigError, match="started from another student"):
        invoke("distill", *options, "--start", tmp_path / "more" / "model", "--out", tmp_path / "more")


def test_a_folder_that_cannot_be_gone_on_from_is_one_line(artifact, tmp_path):
    with pytest.raises(ConfigError, match=r"no folder 'nowhere'; expected a finished run"):
        start_folder("nowhere", tmp_path)
    copied = tmp_path / "old"
    copied.mkdir()
    for file in artifact.folder.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((copied / MANIFEST_FILE).read_text())
    body = manifest["source"]["student"]["body"]
    (copied / MANIFEST_FILE).write_text(json.dumps(manifest | {"source": {"teacher": "tiny"}}))
    with pytest.raises(ArtifactError, match="does not have the architecture of the student") as error:
        start_folder(str(copied), tmp_path / "out")
    assert "\n" not in str(error.value)
    manifest["source"]["student"]["body"] = {**body, "num_hidden_layers": 7}
    (copied / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="not the graph of a student") as error:
        start_folder(str(copied), tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "start" / "recipe.json").exists()
