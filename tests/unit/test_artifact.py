from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ce2de_os.errors import ArtifactError, ArtifactNotFoundError, ParityError
from ce2de_os.model.artifact import DEFAULT_FOLDER, Artifact
from ce2de_os.model.encoder import OnnxEncoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFAULT_FOLDER, tmp_path / "student"))


def change_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def recreate(folder: Path, artifact: Artifact, **changes: object) -> Artifact:
    kept = ("name", "dim", "max_length", "pooling", "source", "recipe", "query_prefix", "document_prefix")
    return Artifact.create(folder, **{**{key: getattr(artifact, key) for key in kept}, **changes})


def test_packaged_student_is_valid() -> None:
    artifact = Artifact.load()
    assert artifact.dim == 384
    assert len(artifact.fingerprint) == 64
    texts, vectors = artifact.canaries()
    assert vectors.shape == (len(texts), artifact.dim)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFoundError, match=r"manifest\.json.*`artifact`"):
        Artifact.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "canary.jsonl"])
def test_truncated_file_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match=f"{name}: damaged"):
        Artifact.load(folder)


def test_missing_file_is_refused(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"model\.onnx: No such file"):
        Artifact.load(folder)


@pytest.mark.parametrize("manifest", ["", "[]", '{"format": 1}', '{"format": 99}'])
def test_broken_manifest_is_refused(folder: Path, manifest: str) -> None:
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        Artifact.load(folder)


def test_edited_setting_does_not_keep_the_fingerprint(folder: Path) -> None:
    change_manifest(folder, query_prefix="query: ")
    with pytest.raises(ArtifactError, match="fingerprint"):
        Artifact.load(folder)


def test_fingerprint_follows_what_decides_the_vectors_and_nothing_else(folder: Path) -> None:
    artifact = Artifact.load(folder)
    assert recreate(folder, artifact, name="other").fingerprint == artifact.fingerprint
    assert recreate(folder, artifact, recipe={"seed": 7}).fingerprint == artifact.fingerprint
    assert recreate(folder, artifact, query_prefix="q: ").fingerprint != artifact.fingerprint
    assert recreate(folder, artifact, max_length=17).fingerprint != artifact.fingerprint
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, indent=1))
    assert recreate(folder, artifact).fingerprint != artifact.fingerprint


def test_a_machine_that_computes_other_vectors_is_refused(folder: Path) -> None:
    """The canaries of another vector space stand for arithmetic that went wrong."""
    artifact = Artifact.load(folder)
    rows = [json.loads(line) for line in (folder / "canary.jsonl").read_text().splitlines()]
    rotated = [
        {"text": row["text"], "embedding": row["embedding"][1:] + row["embedding"][:1]} for row in rows
    ]
    (folder / "canary.jsonl").write_text("\n".join(map(json.dumps, rotated)))
    recreate(folder, artifact)
    with pytest.raises(ParityError, match="computes wrong vectors"):
        OnnxEncoder(folder)


def test_model_file_that_is_not_onnx(folder: Path) -> None:
    artifact = Artifact.load(folder)
    (folder / "model.onnx").write_bytes(b"not a graph")
    recreate(folder, artifact)
    with pytest.raises(ArtifactError, match="ONNX Runtime cannot load it"):
        OnnxEncoder(folder)


def test_tokenizer_file_that_is_no_tokenizer(folder: Path) -> None:
    artifact = Artifact.load(folder)
    (folder / "tokenizer.json").write_text("{}")
    recreate(folder, artifact)
    with pytest.raises(ArtifactError, match="not a tokenizer"):
        OnnxEncoder(folder)


def test_a_manifest_without_languages_is_english(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("languages", None)  # as in folders of earlier versions
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert Artifact.load(folder).languages == ("en",)


def test_languages_do_not_change_the_fingerprint(folder: Path) -> None:
    known = Artifact.load(folder)
    several = recreate(folder, known, space=known.space, languages=("en", "it"))
    assert several.languages == ("en", "it")
    assert several.fingerprint == known.fingerprint


@pytest.mark.parametrize("languages", ["en", [], ["en", 7]])
def test_languages_must_be_a_list_of_codes(folder: Path, languages: object) -> None:
    change_manifest(folder, languages=languages)
    with pytest.raises(ArtifactError, match="'languages' is"):
        Artifact.load(folder)
