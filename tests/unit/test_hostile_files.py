"""Files that are bombs, pipes, devices or nonsense give one of our errors, at once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from ce2de_os.errors import ArtifactError, Ce2deError, ConfigError, DataError
from ce2de_os.export.folder import new_folder
from ce2de_os.model.artifact import DEFAULT_FOLDER, Artifact
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.model.manifest import HASHED_FILES, MODEL_FILE
from ce2de_os.model.reranker import OnnxReranker
from ce2de_os.reading import parse_json, read_bytes, read_json, read_object, read_text
from ce2de_os.recipes.distill_toml import read_tables

MANIFEST: dict[str, Any] = json.loads((DEFAULT_FOLDER / "manifest.json").read_text(encoding="utf-8"))
BOMBS = {
    "deep": "[" * 100_000,
    "deep object": '{"a":' * 100_000,
    "huge int": '{"format": 1, "dim": ' + "9" * 10_000 + "}",
    "nan": '{"format": NaN}',
    "infinity": '{"format": -Infinity}',
    "bom alone": "\ufeff",
    "nul": "\0",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFAULT_FOLDER, tmp_path / "student"))


def write_manifest(folder: Path, **changes: object) -> None:
    (folder / "manifest.json").write_text(json.dumps({**MANIFEST, **changes}), encoding="utf-8")


def sign(folder: Path, **changes: object) -> Artifact:
    """Write a manifest with right hashes, as an attacker would."""
    kept = ("name", "dim", "max_length", "pooling", "source", "recipe")
    return Artifact.create(folder, **{**{key: MANIFEST[key] for key in kept}, **changes})


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_of_a_manifest(folder: Path, bomb: str) -> None:
    (folder / "manifest.json").write_text(BOMBS[bomb], encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"manifest\.json: "):
        Artifact.load(folder)


ODD_VALUES = [
    None,
    True,
    False,
    -1,
    0,
    10**12,
    10**400,
    1.5,
    "",
    "x" * 20_000,
    "\ud800",
    [],
    [1],
    {},
    {"a": 1},
]


@pytest.mark.parametrize(
    "field", ["name", "dim", "token_dim", "max_length", "languages", "files", "fingerprint", "space", "kind",
              "pooling", "query_prefix", "document_prefix", "source", "recipe", "format"]
)  # fmt: skip
def test_each_field_has_bounds(folder: Path, field: str) -> None:
    """A value is refused with its field's name, or changes nothing that is used."""
    for value in ODD_VALUES:
        write_manifest(folder, **{field: value})
        try:
            found = Artifact.load(folder)
        except ArtifactError as error:
            assert "manifest.json" in str(error) or "kind" in str(error)
        else:
            assert found.fingerprint == MANIFEST["fingerprint"], (field, value)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_subnormal=False) | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(MANIFEST)), ANY_JSON))
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_in_a_manifest_gives_our_error_or_the_same_model(
    folder: Path, changes: dict[str, Any]
) -> None:
    write_manifest(folder, **changes)
    with suppress(ArtifactError):
        assert Artifact.load(folder).fingerprint == MANIFEST["fingerprint"]


@pytest.mark.parametrize("name", ["manifest.json", *HASHED_FILES])
def test_a_pipe_a_folder_a_device_and_a_link_out(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / "outside")
    path = folder / name
    links = ("/dev/zero", tmp_path / "outside", path)
    for make in (Path.mkdir, os.mkfifo, *(partial(Path.symlink_to, target=target) for target in links)):
        make(path)
        with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
            Artifact.load(folder)
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_link_inside_of_the_folder_is_good(folder: Path) -> None:
    (folder / MODEL_FILE).rename(folder / "version-1.onnx")
    (folder / MODEL_FILE).symlink_to("version-1.onnx")
    assert Artifact.load(folder).fingerprint == MANIFEST["fingerprint"]


def test_a_sparse_file_of_many_gigabytes_is_refused_unread(folder: Path) -> None:
    with (folder / "canary.jsonl").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(ArtifactError, match=r"canary\.jsonl: larger than"):
        Artifact.load(folder)


def test_the_bytes_that_were_hashed_are_those_that_are_loaded(folder: Path) -> None:
    artifact = Artifact.load(folder)
    for name in HASHED_FILES:
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(before + b" ")
        with pytest.raises(ArtifactError, match=f"{name}: damaged or replaced"):
            OnnxEncoder(artifact)
        (folder / name).write_bytes(before)


def test_weights_in_another_file_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no hash; neither the model's folder nor the current one is looked at."""
    folder = tmp_path / "student"
    folder.mkdir()
    weights = numpy_helper.from_array(np.ones((30_522, 384), np.float32), "W")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["W", "input_ids"], ["e"]),
         helper.make_node("ReduceMean", ["e"], ["embeddings"], axes=[1], keepdims=0)],
        "g",
        [helper.make_tensor_value_info(each, TensorProto.INT64, ["B", "L"])
         for each in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["B", 384])], [weights],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save_model(
        model, str(folder / MODEL_FILE), save_as_external_data=True, location="w.bin", size_threshold=0
    )
    for name in ("tokenizer.json", "canary.jsonl"):
        shutil.copy(DEFAULT_FOLDER / name, folder)
    sign(folder)
    monkeypatch.chdir(folder)
    with pytest.raises(ArtifactError, match=r"model\.onnx: ONNX Runtime cannot load it"):
        OnnxEncoder(folder)


def test_a_graph_that_is_none_of_ours(folder: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / MODEL_FILE)
    sign(folder)
    with pytest.raises(ArtifactError, match="cannot be run"):
        OnnxEncoder(folder)
    sign(folder, kind="reranker")
    with pytest.raises(ArtifactError):
        OnnxReranker(folder)


TOKENIZER = json.loads((DEFAULT_FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
HOSTILE = {
    "bad pattern": {"normalizer": {"type": "Replace", "pattern": {"Regex": "(("}, "content": ""}},
    "no vocabulary": {"model": {"type": "WordLevel", "vocab": {}, "unk_token": "[UNK]"}},
    "ids without weights": {
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 4_000_000_000}, "unk_token": "[UNK]"}
    },
    "unknown type": {"model": {"type": "Nothing"}},
    "deep": {"normalizer": json.loads('{"type":"Sequence","normalizers":[' * 100 + "]}" * 100)},
    "odd split": {
        "pre_tokenizer": {
            "type": "Split", "pattern": {"Regex": "(?=x)*"}, "behavior": "Isolated", "invert": False,
        }
    },
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_tokenizer(folder: Path, name: str) -> None:
    (folder / "tokenizer.json").write_text(json.dumps({**TOKENIZER, **HOSTILE[name]}), encoding="utf-8")
    sign(folder)
    try:
        OnnxEncoder(folder)
    except Ce2deError as error:
        assert "\n" not in str(error)


NO_CANARIES = [
    "", "7", "[", "[" * 100_000, "\0", '{"text": "a"}', '{"text": "a", "embedding": 1}',
    '{"text": "a", "embedding": [1e999]}', '{"text": "a", "embedding": ["x"]}',
]  # fmt: skip


@pytest.mark.parametrize("text", NO_CANARIES)
def test_canaries_that_are_none(folder: Path, text: str) -> None:
    (folder / "canary.jsonl").write_text(text, encoding="utf-8")
    sign(folder)
    with pytest.raises(Ce2deError):
        OnnxEncoder(folder)


@pytest.mark.parametrize("bomb", BOMBS)
def test_every_reader_of_json_refuses_bombs(tmp_path: Path, bomb: str) -> None:
    from ce2de_os.distill.report.evaluate import Evaluation
    from ce2de_os.distill.report.speed import Speed
    from ce2de_os.local import state

    path = tmp_path / "file.json"
    path.write_text(BOMBS[bomb], encoding="utf-8")
    for reader in (read_object, read_json, Evaluation.load, Speed.load, state.load):
        with pytest.raises(Ce2deError, match=r"file\.json"):
            reader(path)


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 100_000, "a = " + "9" * 10_000, "[source]\nx = 1e999999\n", "\0", "[a.b.c"]
)
def test_every_recipe_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        read_tables(tmp_path / "recipe.toml")


def test_a_recipe_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("\ufeff[training]\nsteps = 7\n", encoding="utf-8")
    assert read_tables(tmp_path / "recipe.toml") == {"training": {"steps": 7}}


def test_a_recipe_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "recipe.toml")
    with pytest.raises(ConfigError, match="not a plain file"):
        read_tables(tmp_path / "recipe.toml")


@given(
    st.binary(max_size=200)
    | st.text(st.sampled_from('[]{}":,0123456789eE+-.truefalsn\\u \ufeff')).map(str.encode)
)
def test_any_bytes_are_json_as_its_standard_has_it_or_our_error(content: bytes) -> None:
    try:
        found = parse_json(content.decode("utf-8", "replace"), "here")
    except DataError as error:
        assert str(error).startswith("here: ")
    else:
        json.dumps(found, allow_nan=True)


def test_a_plain_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 10)
    assert read_bytes(path, 10) == b"x" * 10
    with pytest.raises(DataError, match="larger than"):
        read_bytes(path, 9)
    path.write_bytes("é".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_text(path)


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*") if path.is_file()
    }  # fmt: skip


FOREIGN = {
    "a browser extension": {"manifest.json": '{"manifest_version": 3, "name": "x"}', "background.js": "1"},
    "a web app": {"manifest.json": '{"name": "app", "icons": []}'},
    "a broken manifest": {"manifest.json": "{"},
    "other files": {"thesis.txt": "my only copy"},
    "a model without its manifest": {"model.onnx": "x"},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_an_export_never_replaces_what_is_not_a_models(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for file, content in FOREIGN[name].items():
        (out / file).write_text(content)
    before = files(tmp_path)
    with pytest.raises(DataError, match="choose another `out`"), new_folder(out):
        raise AssertionError("not to be reached")
    assert files(tmp_path) == before


def test_an_export_never_replaces_a_model_with_files_of_others_in_its_folder(folder: Path) -> None:
    (folder / "notes.txt").write_text("my only copy")
    before = files(folder)
    with pytest.raises(DataError, match=r"'notes\.txt' for one"), new_folder(folder):
        raise AssertionError("not to be reached")
    (folder / "notes.txt").unlink()
    with pytest.raises(DataError, match="other files"), new_folder(folder) as new:
        (new / "model.onnx").write_text("new")
        (folder / "notes.txt").write_text("came during the export")
    assert {**files(folder)}.keys() == before.keys()


def test_an_export_replaces_a_model_and_leaves_nothing_beside_it(folder: Path) -> None:
    with new_folder(folder) as new:
        (new / "model.onnx").write_text("new")
    assert {path.name for path in folder.iterdir()} == {"model.onnx"}
    assert [path.name for path in folder.parent.iterdir()] == ["student"]


def test_an_export_that_fails_leaves_the_model_as_it_was(folder: Path) -> None:
    before = files(folder)
    with pytest.raises(RuntimeError), new_folder(folder) as new:
        (new / "model.onnx").write_text("new")
        raise RuntimeError
    assert files(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["student"]


def test_two_exports_to_one_folder_do_not_mix(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with new_folder(out) as first, new_folder(out) as second:
        assert first != second
        (first / "model.onnx").write_text("first")
        (second / "model.onnx").write_text("second")
        shutil.copy(DEFAULT_FOLDER / "manifest.json", second)
    assert (out / "model.onnx").read_text() == "first"
