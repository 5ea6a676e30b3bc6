"""The manifest of a model folder: the names of the files, what it may hold, and the fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ce2de_os.errors import ArtifactError, ArtifactNotFoundError
from ce2de_os.languages import ENGLISH
from ce2de_os.reading import read_bytes, read_json
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


def read_manifest(folder: Path, expected: str) -> dict[str, Any]:
    """Read and check the manifest of a model folder; what older formats lack is filled in.

    ``expected`` is the kind of model that the caller looks for.

    Raises:
        ArtifactNotFoundError: the folder or its manifest does not exist.
        ArtifactError: the manifest is not valid.
    """
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


def read_hashed(folder: Path, name: str, expected: str | None = None) -> bytes:
    """Read one of the other files and compare its sha256 with ``expected``, if given.

    Raises:
        ArtifactError: the file is missing, too large, or another one.
    """
    path = folder / name
    _check_inside(path)
    try:
        content = read_bytes(path, _MOST_BYTES[name], ArtifactError)
    except ArtifactError as error:
        raise ArtifactError(f"{error}; copy the folder again or run 'ce2de export'") from error
    if expected is not None and (got := sha256(content)) != expected:
        raise ArtifactError(
            f"{path}: damaged or replaced (sha256 is {got[:12]}…, the manifest says {expected[:12]}…); "
            "copy the folder again or run 'ce2de export'"
        )
    return content


def sha256(content: bytes) -> str:
    """Return the digest of a file in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def fingerprint(manifest: Mapping[str, Any]) -> str:
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
