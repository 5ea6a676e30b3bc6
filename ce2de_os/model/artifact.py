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

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ce2de_os.arrays import Embeddings
from ce2de_os.errors import ArtifactError
from ce2de_os.languages import ENGLISH
from ce2de_os.model.manifest import (
    CANARY_FILE,
    ENCODER,
    FORMAT,
    HASHED_FILES,
    MANIFEST_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    fingerprint,
    read_hashed,
    read_manifest,
    sha256,
)
from ce2de_os.reading import parse_json

DEFAULT_FOLDER = Path(__file__).parent / "student_en"
_OWN_FIELDS = (
    "name", "dim", "max_length", "pooling", "query_prefix", "document_prefix", "source", "recipe",
    "fingerprint",
)  # fmt: skip


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
        files: the sha256 of each of the three files, by name.
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
    files: Mapping[str, str] = field(default_factory=dict, repr=False)

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
        manifest = read_manifest(folder, kind)
        if manifest["kind"] != kind:
            raise ArtifactError(
                f"{folder}: holds a model of kind '{manifest['kind']}', expected '{kind}'; "
                "an encoder is exported from a student, a reranker from a cross-encoder"
            )
        for name in HASHED_FILES:
            read_hashed(folder, name, manifest["files"][name])
        expected = fingerprint(manifest)
        if expected != manifest["fingerprint"]:
            raise ArtifactError(
                f"{folder / MANIFEST_FILE}: the fingerprint does not belong to these settings "
                f"(got {manifest['fingerprint'][:12]}, expected {expected[:12]}); export the model again"
            )
        space = manifest.get("space") or expected
        fields = {key: manifest[key] for key in _OWN_FIELDS}
        more = {"languages": tuple(manifest["languages"]), "token_dim": manifest["token_dim"]}
        more["files"] = {name: manifest["files"][name] for name in HASHED_FILES}
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
            "files": {file: sha256(read_hashed(folder, file)) for file in HASHED_FILES},
        }
        manifest["fingerprint"] = fingerprint(manifest)
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

    def read(self, name: str) -> bytes:
        """Read one of the three files; the bytes are those that the manifest has the hash of.

        Raises:
            ArtifactError: it was damaged or replaced since.
        """
        return read_hashed(self.folder, name, self.files[name])

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
        rows = self._canary_rows()
        try:
            texts = [str(row["text"]) for row in rows]
            vectors = np.array([row[key] for row in rows], dtype=np.float32)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise ArtifactError(f"{path}: not a list of canaries: {error}") from error
        if vectors.shape != (len(texts), dim) or not texts:
            raise ArtifactError(f"{path}: got shape {vectors.shape}, expected ({len(texts)}, {dim})")
        return texts, vectors

    def _canary_rows(self) -> list[Any]:
        path = self.folder / CANARY_FILE
        try:
            lines = self.read(CANARY_FILE).decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ArtifactError(f"{path}: not a list of canaries: {error}") from error
        return [parse_json(line, f"{path}:{number}", ArtifactError) for number, line in enumerate(lines, 1)]

    def pair_canaries(self) -> tuple[list[tuple[str, str]], NDArray[np.float32]]:
        """Read a reranker's canary pairs ``(query, document)`` and the exported graph's logits, ``(B,)``.

        Raises:
            ArtifactError: a line is not such a canary.
        """
        path = self.folder / CANARY_FILE
        rows = self._canary_rows()
        try:
            pairs = [(str(row["query"]), str(row["document"])) for row in rows]
            logits = np.array([float(row["logit"]) for row in rows], dtype=np.float32)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise ArtifactError(f"{path}: not a list of canaries: {error}") from error
        if not pairs:
            raise ArtifactError(f"{path}: no canaries")
        return pairs, logits
