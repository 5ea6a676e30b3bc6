"""The artifact: a model folder as data.

::

    student_en/
    ├── model.onnx       int8 graph: input_ids, attention_mask (B, L) int64 -> embeddings (B, D) float32,
    │                    and where the manifest has a ``token_dim`` also token_vectors (B, L, T) float32
    ├── tokenizer.json   Hugging Face fast tokenizer, without truncation or padding
    ├── canary.jsonl     texts with the embeddings that the unquantized model gives them
    └── manifest.json    kind, origin and settings of the model, and the hashes of the other three

A reranker's folder has the same four files and ``"kind": "reranker"`` in its manifest: its graph takes pairs
and gives ``logits (B, 1)``, its canaries are pairs with the logits that the exported graph gave them.

The **fingerprint** names the model: it changes whenever the vectors could. It is in the mapping of every
index that carries the model's vectors, in every task and in the query helper, so that vectors of two models
never meet in one ranking. The **space** names the vectors that can be compared with each other: a student
that was trained to its teacher's embeddings shares the teacher's space, so that it may answer queries over
documents that the teacher embedded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ce2de_os.arrays import Embeddings
from ce2de_os.errors import ArtifactError, ArtifactNotFoundError
from ce2de_os.languages import ENGLISH

FORMAT = 1
ENCODER, RERANKER = "encoder", "reranker"
MODEL_FILE, TOKENIZER_FILE, CANARY_FILE, MANIFEST_FILE = (
    "model.onnx",
    "tokenizer.json",
    "canary.jsonl",
    "manifest.json",
)
HASHED_FILES = (MODEL_FILE, TOKENIZER_FILE, CANARY_FILE)
DEFAULT_FOLDER = Path(__file__).parent / "student_en"

_FIELDS: dict[str, type] = {
    "name": str,
    "dim": int,
    "max_length": int,
    "pooling": str,
    "query_prefix": str,
    "document_prefix": str,
    "source": dict,
    "recipe": dict,
    "files": dict,
    "languages": list,
    "fingerprint": str,
}


@dataclass(frozen=True)
class Artifact:
    """A validated model folder.

    Attributes:
        folder: the folder with the files.
        name: a short name for people.
        dim: length of one embedding; 1 for a reranker, which gives one logit.
        max_length: tokens read of a text, special tokens included; the rest is cut off.
        pooling: how token states become one embedding, in words.
        query_prefix: put before every query, ``""`` for none.
        document_prefix: put before every document, ``""`` for none.
        source: the origin of the weights.
        recipe: the settings of the training.
        fingerprint: 64 hexadecimal digits that name the model.
        space: 64 hexadecimal digits that name the vector space; equal to the fingerprint if no other model
            shares it.
        kind: ``"encoder"`` or ``"reranker"``.
        languages: codes of the languages that it was made for; English if the manifest has none.
        token_dim: length of one token vector; ``None``: the model gives none.
    """

    folder: Path
    name: str
    dim: int
    max_length: int
    pooling: str
    query_prefix: str
    document_prefix: str
    source: Mapping[str, Any]
    recipe: Mapping[str, Any]
    fingerprint: str
    space: str
    kind: str = ENCODER
    languages: tuple[str, ...] = (ENGLISH,)
    token_dim: int | None = None

    @classmethod
    def load(cls, folder: Path | str | None = None, *, kind: str = ENCODER) -> Artifact:
        """Read a folder's manifest and check every file against it; ``None`` means the packaged student.

        ``kind`` is the expected kind of model.

        Raises:
            ArtifactNotFoundError: the folder or its manifest does not exist.
            ArtifactError: the manifest is not valid, a file is missing, damaged or replaced, or the model is
                of another kind.
        """
        folder = DEFAULT_FOLDER if folder is None else Path(folder)
        manifest = _read_manifest(folder, kind)
        if manifest["kind"] != kind:
            raise ArtifactError(
                f"{folder}: holds a model of kind '{manifest['kind']}', expected '{kind}'; "
                "an encoder is exported from a student, a reranker from a cross-encoder"
            )
        for name in HASHED_FILES:
            _check_file(folder / name, manifest["files"].get(name, ""))
        fingerprint = _fingerprint(manifest)
        if fingerprint != manifest["fingerprint"]:
            raise ArtifactError(
                f"{folder / MANIFEST_FILE}: the fingerprint does not belong to these settings "
                f"(got {manifest['fingerprint'][:12]}, expected {fingerprint[:12]}); export the model again"
            )
        space = manifest.get("space") or fingerprint
        fields = {key: manifest[key] for key in _FIELDS if key not in ("files", "languages")}
        more = {"languages": tuple(manifest["languages"]), "token_dim": manifest["token_dim"]}
        return cls(folder, **fields, space=space, kind=kind, **more)

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        name: str,
        dim: int,
        max_length: int,
        pooling: str,
        source: Mapping[str, Any],
        recipe: Mapping[str, Any],
        query_prefix: str = "",
        document_prefix: str = "",
        space: str | None = None,
        kind: str = ENCODER,
        languages: Sequence[str] = (ENGLISH,),
        token_dim: int | None = None,
    ) -> Artifact:
        """Write the manifest for a folder that already holds the three other files, and load the result.

        ``space`` ``None`` means that no other model shares the vector space, ``token_dim`` ``None`` that the
        graph gives no token vectors.

        Raises:
            ArtifactError: one of the files is missing.
        """
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "kind": kind,
            "name": name,
            "dim": dim,
            "token_dim": token_dim,
            "max_length": max_length,
            "languages": list(languages),
            "pooling": pooling,
            "query_prefix": query_prefix,
            "document_prefix": document_prefix,
            "source": dict(source),
            "recipe": dict(recipe),
            "files": {file: _sha256(folder / file) for file in HASHED_FILES},
        }
        manifest["fingerprint"] = _fingerprint(manifest)
        manifest["space"] = space or manifest["fingerprint"]
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")
        return cls.load(folder, kind=kind)

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.folder / MODEL_FILE

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer file."""
        return self.folder / TOKENIZER_FILE

    def canaries(self) -> tuple[list[str], Embeddings]:
        """Read the canary texts and their unquantized ``(B, D)`` embeddings.

        Raises:
            ArtifactError: a line is not a canary of this model's dimension.
        """
        return self._canaries("embedding", self.dim)

    def token_canaries(self) -> tuple[list[str], Embeddings]:
        """Read the canary texts and the ``(B, T)`` means of their unquantized token vectors.

        Raises:
            ArtifactError: a line is not a canary of this model's ``token_dim``, or there is none.
        """
        return self._canaries("token_mean", self.token_dim or 0)

    def _canaries(self, key: str, dim: int) -> tuple[list[str], Embeddings]:
        path = self.folder / CANARY_FILE
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            texts = [str(row["text"]) for row in rows]
            vectors = np.array([row[key] for row in rows], dtype=np.float32)
        except (ValueError, TypeError, KeyError) as error:
            raise ArtifactError(f"{path}: not a list of canaries: {error}") from error
        if vectors.shape != (len(texts), dim) or not texts:
            raise ArtifactError(f"{path}: got shape {vectors.shape}, expected ({len(texts)}, {dim})")
        return texts, vectors

    def pair_canaries(self) -> tuple[list[tuple[str, str]], NDArray[np.float32]]:
        """Read a reranker's canary pairs ``(query, document)`` and the exported graph's logits, ``(B,)``.

        Raises:
            ArtifactError: a line is not such a canary.
        """
        path = self.folder / CANARY_FILE
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            pairs = [(str(row["query"]), str(row["document"])) for row in rows]
            logits = np.array([float(row["logit"]) for row in rows], dtype=np.float32)
        except (ValueError, TypeError, KeyError) as error:
            raise ArtifactError(f"{path}: not a list of canaries: {error}") from error
        if not pairs:
            raise ArtifactError(f"{path}: no canaries")
        return pairs, logits


def _read_manifest(folder: Path, expected: str) -> dict[str, Any]:
    path = folder / MANIFEST_FILE
    if not path.is_file():
        setting = "`artifact` or CE2DE_ARTIFACT" if expected == ENCODER else f"`{expected}`"
        raise ArtifactNotFoundError(
            f"{folder}: no {MANIFEST_FILE} there; pass a folder written by 'ce2de export' in {setting}"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError(f"{path}: not a format {FORMAT} manifest; use the ce2de-os version that wrote it")
    manifest.setdefault("kind", ENCODER)  # the first format had no other kind
    manifest.setdefault("languages", [ENGLISH])
    manifest.setdefault("token_dim", None)  # as above
    for key, kind in _FIELDS.items():
        if not isinstance(manifest.get(key), kind):
            raise ArtifactError(
                f"{path}: '{key}' is missing or not a {kind.__name__}; export the model again"
            )
    languages = manifest["languages"]
    if not languages or not all(isinstance(code, str) for code in languages):
        raise ArtifactError(f"{path}: 'languages' is no list of codes: {languages}; export the model again")
    if not isinstance(manifest["token_dim"], int | None):
        raise ArtifactError(f"{path}: 'token_dim' is not an int; export the model again")
    return manifest


def _check_file(path: Path, expected: str) -> None:
    got = _sha256(path)
    if got != expected:
        raise ArtifactError(
            f"{path}: damaged or replaced (sha256 is {got[:12]}…, the manifest says {expected[:12]}…); "
            "copy the folder again or run 'ce2de export'"
        )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(
            f"{path}: {error.strerror}; copy the folder again or run 'ce2de export'"
        ) from error


def _fingerprint(manifest: Mapping[str, Any]) -> str:
    """Compute the sha256 over everything that affects embeddings; not names, languages or recipes."""
    decisive = {
        "model": manifest["files"].get(MODEL_FILE),
        "tokenizer": manifest["files"].get(TOKENIZER_FILE),
        "normalization": "l2",
    }
    for key in ("dim", "max_length", "pooling", "query_prefix", "document_prefix"):
        decisive[key] = manifest[key]
    if manifest["kind"] != ENCODER:
        decisive["kind"] = manifest["kind"]
    if manifest["token_dim"] is not None:
        decisive["token_dim"] = manifest["token_dim"]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
