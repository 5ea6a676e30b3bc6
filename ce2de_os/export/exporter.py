"""Export a finished student's folder to an artifact folder."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from torch.nn import Linear

from ce2de_os.errors import DataError, ParityError
from ce2de_os.export import canary
from ce2de_os.export.activations import fix_activation_scales
from ce2de_os.export.folder import new_folder
from ce2de_os.export.graph import StudentGraph
from ce2de_os.export.onnx_model import export_float, quantize
from ce2de_os.export.parity import MIN_MEAN_COSINE, MIN_WORST_COSINE, Parity, compare, student_embeddings
from ce2de_os.export.restore import describe
from ce2de_os.export.token_vectors import student_tokens, token_head, token_means
from ce2de_os.export.truncation import truncate
from ce2de_os.languages import ENGLISH, normalized
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.model.manifest import CANARY_FILE, MODEL_FILE, TOKENIZER_FILE
from ce2de_os.reading import RUN_BYTES, read_json
from ce2de_os.student import Ids, StudentModel
from ce2de_os.writing import replacing

MAX_LENGTH = 256
SAMPLE_STEP = 4  # one held-out text in four measures the 8 activation scales; all of them measure parity
PARITY_FILE = "parity.json"
_FINISHED = "pass a folder that 'ce2de distill' has finished"
_NEEDED = ("teacher", "layers", "texts", "space")


def export(
    run: Path,
    out: Path,
    *,
    name: str | None = None,
    dim: int | None = None,
    token_dim: int | None = None,
    threads: int = 1,
) -> tuple[Artifact, Parity]:
    """Export and quantize the student in ``run``, check it, and write the artifact folder ``out``.

    The texts that ``ce2de distill`` held out measure how close the int8 graph is to the float32 student; the
    result is in ``run/parity.json`` and in the manifest.

    Args:
        run: a finished student's folder; ``languages`` in its ``recipe.json`` has the languages that it was
            made for:
            codes in a list, or the languages of each part of a distillation, ``{"student": "en-it,de",
            ...}``; no such key means English.
        out: folder for the artifact; an existing one is replaced.
        name: the model's name for people; ``None`` or ``""`` means the run folder's name.
        dim: length of an embedding, see `truncate`; ``None`` means the student's own.
        token_dim: length of a token vector, see `token_head`; ``None`` means that the model gives none.
        threads: cores for the check.

    Raises:
        DataError: ``run`` holds no finished student, or its languages are no names, or ``out`` is not empty
            and no artifact, or cannot be written; ``out`` is then as it was.
        ConfigError: ``dim`` or ``token_dim`` is not between 1 and the student's, or the student has no token
            vectors.
        ParityError: the quantized embeddings are too far from the student's; ``out`` is not written.
    """
    student, recipe, sample = StudentModel.load(run), _recipe(run), _sample(run)
    own, languages = student.dim, _languages(run, recipe)
    before = recipe.get("document_prefix", "")
    read = _token_ids(run / TOKENIZER_FILE, sample, before)
    if dim is not None:
        truncate(student, student_embeddings(student, read), dim)
    head = token_head(student, read, token_dim) if token_dim is not None else None
    with new_folder(out) as folder, tempfile.TemporaryDirectory() as scratch:
        _write_files(student, head, run, read[::SAMPLE_STEP], folder, Path(scratch))
        _write_canaries(student, head, languages, before, folder)
        settings = _settings(name or run.absolute().name, student, recipe, own)
        settings |= {"languages": languages, "token_dim": token_dim}
        artifact = Artifact.create(folder, **settings)
        parity = _measure(artifact, student, sample, threads)
        with replacing(run / PARITY_FILE) as file:
            file.write(json.dumps(asdict(parity), indent=2) + "\n")
        _check(run, "embeddings", parity)
        settings["recipe"]["parity"] = asdict(parity)
        if head is not None:
            tokens = _measure_tokens(artifact, student, head, sample, threads)
            _check(run, "token vectors", tokens)
            settings["recipe"]["token_parity"] = asdict(tokens)
        Artifact.create(folder, **settings)
    return Artifact.load(out), parity


def _languages(run: Path, recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the language codes; an unknown name stays as it is, and has no canaries."""
    found = recipe.get("languages", [ENGLISH])
    names = re.split("[-,]", str(found.get("student"))) if isinstance(found, dict) else found
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(
            f"{run / 'recipe.json'}: got languages {found}, expected a list of codes such as ['en', 'it']"
        )
    return tuple(dict.fromkeys(normalized(name) or name for name in names))


def _check(run: Path, what: str, parity: Parity) -> None:
    if not parity.passed:
        raise ParityError(
            f"{run}: int8 {what} are too far from the student's: cosine mean {parity.mean_cosine}, "
            f"worst {parity.worst_cosine}; expected {MIN_MEAN_COSINE} and {MIN_WORST_COSINE}; train it longer"
        )


def _write_files(
    student: StudentModel,
    head: Linear | None,
    run: Path,
    sample: Ids,
    folder: Path,
    scratch: Path,
) -> None:
    float_path = export_float(StudentGraph(student, MAX_LENGTH, head).eval(), scratch)
    shutil.move(quantize(float_path, scratch, student.body.config), folder / MODEL_FILE)
    shutil.copy(run / TOKENIZER_FILE, folder / TOKENIZER_FILE)
    fix_activation_scales(folder / MODEL_FILE, sample)


def _write_canaries(
    student: StudentModel, head: Linear | None, languages: Sequence[str], before: str, folder: Path
) -> None:
    """Write the canaries' embeddings as documents; ``before`` is put in front of each text."""
    canaries = canary.texts_for(languages)
    ids = _token_ids(folder / TOKENIZER_FILE, canaries, before)
    means = token_means(student_tokens(student, ids, head)) if head else None
    canary.write_canaries(folder / CANARY_FILE, canaries, student_embeddings(student, ids), means)


def _measure(artifact: Artifact, student: StudentModel, sample: Sequence[str], threads: int) -> Parity:
    ids = _token_ids(artifact.tokenizer_path, sample, artifact.document_prefix)
    reference = student_embeddings(student, ids)
    return compare(reference, OnnxEncoder(artifact, threads=threads).encode_documents(sample))


def _measure_tokens(
    artifact: Artifact, student: StudentModel, head: Linear, sample: Sequence[str], threads: int
) -> Parity:
    """Measure the parity of single token vectors; its ``texts`` are tokens."""
    ids = _token_ids(artifact.tokenizer_path, sample, artifact.document_prefix)
    reference = student_tokens(student, ids, head)
    quantized = OnnxEncoder(artifact, threads=threads).encode_document_tokens(sample)
    return compare(np.concatenate(reference), np.concatenate(quantized))


_IN_SOURCE = frozenset({"teacher", "layers", "texts", "text_sources"})


def _settings(name: str, student: StudentModel, recipe: dict[str, Any], own_dim: int) -> dict[str, Any]:
    readout = "of every depth" if student.readout == "all" else "of the last layer"
    if student.pooled:
        readout += f", the last {student.pooled} with one query a text"
    packages = ("onnx", "onnxruntime", "optimum", "optimum-onnx")
    return {
        "name": name,
        "dim": student.dim,
        "max_length": MAX_LENGTH,
        "pooling": f"{student.pooling} {readout}, linear head",
        "query_prefix": recipe.get("query_prefix", ""),
        "document_prefix": recipe.get("document_prefix", ""),
        "space": recipe["space"] if student.dim == own_dim else None,
        "source": {
            "teacher": recipe["teacher"],
            "layers": recipe["layers"],
            "texts": recipe["texts"],
            **({"text_sources": recipe["text_sources"]} if "text_sources" in recipe else {}),
            "student": describe(student),
        },
        "recipe": {
            "distill": {key: value for key, value in recipe.items() if key not in _IN_SOURCE},
            "export": {
                "quantization": "int8: signed per-channel weights, reduced range, fixed activation scales",
                "versions": {package: version(package) for package in packages},
            },
        },
    }


def _token_ids(tokenizer_path: Path, texts: Sequence[str], before: str = "") -> list[list[int]]:
    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_path))
    except Exception as error:  # the library raises a bare one
        raise DataError(f"{tokenizer_path}: not a tokenizer ({error!s:.200}); {_FINISHED}") from error
    tokenizer.enable_truncation(MAX_LENGTH)
    return [encoding.ids for encoding in tokenizer.encode_batch_fast([before + text for text in texts])]


def _recipe(run: Path) -> dict[str, Any]:
    found = _read_json(run, "recipe.json")
    missing = [key for key in _NEEDED if not isinstance(found, dict) or key not in found]
    if missing:
        raise DataError(f"{run / 'recipe.json'}: has no '{missing[0]}'; {_FINISHED}")
    return dict(found)


def _sample(run: Path) -> list[str]:
    found = _read_json(run, "sample.json")
    if not isinstance(found, list) or not found or not all(isinstance(text, str) for text in found):
        raise DataError(f"{run / 'sample.json'}: expected a list of texts; {_FINISHED}")
    return found


def _read_json(run: Path, name: str) -> Any:  # noqa: ANN401 - whatever the file holds
    try:
        return read_json(run / name, RUN_BYTES)
    except DataError as error:
        raise DataError(f"{error}; {_FINISHED}") from error
