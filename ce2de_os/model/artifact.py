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
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ce2de_os.arrays import Embeddings
from ce2de_os.errors import ArtifactError, ArtifactNotFoundError
from ce2de_os.languages import ENGLISH
from ce2de_os.reading import parse_json, read_bytes, read_json
from ce2de_os.redaction import one_line

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

MANIFEST_BYTES = 16_000_000
_MOST_BYTES = {MODEL_FILE: 2**31, TOKENIZER_FILE: 2**28, CANARY_FILE: 2**27}
"""Most bytes of each file; a graph beyond 2 GB would need a second file."""

_MOST_DIM = 16_000  # what an OpenSearch vector field takes
_MOST_CHARS = 10_000
_AGAIN = "export the model again"


def _is_digest(value: Any) -> bool:  # noqa: ANN401 - whatever the manifest holds
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_text(value: Any) -> bool:  # noqa: ANN401 - any JSON
    return len(value) <= _MOST_CHARS and not any("\ud800" <= sign <= "\udfff" for sign in value)


def _are_codes(value: Any) -> bool:  # noqa: ANN401 - any JSON
    return 0 < len(value) <= _MOST_CHARS and all(
        isinstance(code, str) and re.fullmatch(r"[\w-]{1,40}", code) for code in value
    )


def _are_digests(value: Any) -> bool:  # noqa: ANN401 - any JSON
    return all(_is_digest(value.get(name)) for name in HASHED_FILES)


_TEXT = f"a text of at most {_MOST_CHARS:,} characters"
_DIGEST = "64 hexadecimal digits"
_Field = tuple[Any, Callable[[Any], bool], str]

# Name: type, whether a value of the type is right, and both in words.
_FIELDS: dict[str, _Field] = {
    "kind": (str, _is_text, _TEXT),
    "name": (str, _is_text, _TEXT),
    "dim": (int, lambda value: 1 <= value <= _MOST_DIM, f"an int between 1 and {_MOST_DIM:,}"),
    "token_dim": (
        int | None,
        lambda value: value is None or 1 <= value <= _MOST_DIM,
        f"null or an int between 1 and {_MOST_DIM:,}",
    ),
    "max_length": (int, lambda value: 3 <= value <= 2**20, "an int between 3 and 1,048,576"),
    "pooling": (str, _is_text, _TEXT),
    "query_prefix": (str, _is_text, _TEXT),
    "document_prefix": (str, _is_text, _TEXT),
    "source": (dict, lambda _: True, "an object"),
    "recipe": (dict, lambda _: True, "an object"),
    "files": (dict, _are_digests, f"the sha256 of {', '.join(HASHED_FILES)}, {_DIGEST} each"),
    "languages": (list, _are_codes, "a list of codes"),
    "fingerprint": (str, _is_digest, _DIGEST),
    "space": (str | None, lambda value: value is None or _is_digest(value), _DIGEST),
}
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
        manifest = _read_manifest(folder, kind)
        if manifest["kind"] != kind:
            raise ArtifactError(
                f"{folder}: holds a model of kind '{manifest['kind']}', expected '{kind}'; "
                "an encoder is exported from a student, a reranker from a cross-encoder"
            )
        for name in HASHED_FILES:
            _read(folder, name, manifest["files"][name])
        fingerprint = _fingerprint(manifest)
        if fingerprint != manifest["fingerprint"]:
            raise ArtifactError(
                f"{folder / MANIFEST_FILE}: the fingerprint does not belong to these settings "
                f"(got {manifest['fingerprint'][:12]}, expected {fingerprint[:12]}); export the model again"
            )
        space = manifest.get("space") or fingerprint
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
            "files": {file: _sha256(_read(folder, file)) for file in HASHED_FILES},
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

    def read(self, name: str) -> bytes:
        """Read one of the three files; the bytes are those that the manifest has the hash of.

        Raises:
            ArtifactError: it was damaged or replaced since.
        """
        return _read(self.folder, name, self.files[name])

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


def _read_manifest(folder: Path, expected: str) -> dict[str, Any]:
    path = folder / MANIFEST_FILE
    if not path.is_file():
        setting = "`artifact` or CE2DE_ARTIFACT" if expected == ENCODER else f"`{expected}`"
        raise ArtifactNotFoundError(
            f"{folder}: no {MANIFEST_FILE} there; pass a folder written by 'ce2de export' in {setting}"
        )
    _check_inside(path)
    manifest = read_json(path, MANIFEST_BYTES, ArtifactError)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError(f"{path}: not a format {FORMAT} manifest; use the ce2de-os version that wrote it")
    manifest.setdefault("kind", ENCODER)  # the first format had no other kind
    manifest.setdefault("languages", [ENGLISH])
    manifest.setdefault("token_dim", None)  # an older format has none
    for key, (kind, is_right, wanted) in _FIELDS.items():
        value = manifest.get(key)
        if not isinstance(value, kind) or isinstance(value, bool) or not is_right(value):
            raise ArtifactError(f"{path}: '{key}' is {_shown(value)}, expected {wanted}; {_AGAIN}")
    return manifest


def _shown(value: Any) -> str:  # noqa: ANN401 - whatever the manifest holds
    return "missing" if value is None else f"{one_line(repr(value)):.60}"


def _check_inside(path: Path) -> None:
    """Refuse a link to a file outside of the model folder."""
    # realpath, for resolve fails with a link to itself.
    if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(path.parent)):
        raise ArtifactError(f"{path}: a link to a file outside of the folder; copy the file here instead")


def _read(folder: Path, name: str, expected: str | None = None) -> bytes:
    """Read a file of the folder and compare its sha256 with ``expected``, if given."""
    path = folder / name
    _check_inside(path)
    try:
        content = read_bytes(path, _MOST_BYTES[name], ArtifactError)
    except ArtifactError as error:
        raise ArtifactError(f"{error}; copy the folder again or run 'ce2de export'") from error
    if expected is not None and (got := _sha256(content)) != expected:
        raise ArtifactError(
            f"{path}: damaged or replaced (sha256 is {got[:12]}…, the manifest says {expected[:12]}…); "
            "copy the folder again or run 'ce2de export'"
        )
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
