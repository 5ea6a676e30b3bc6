"""Read and write rankings and judgments in TREC's formats, which every evaluation tool reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ce2de_os.errors import DataError
from ce2de_os.evaluation.metrics import Qrels, Runs
from ce2de_os.records import ScoredDoc, text_lines
from ce2de_os.writing import replacing


def read_run(path: Path) -> dict[str, list[ScoredDoc]]:
    """Read a TREC run (``query-id Q0 doc-id rank score tag``), ``.gz`` or not, its queries in their order.

    The score decides, as in trec_eval, not the rank; equal scores keep the order of the file, while trec_eval
    would order them by id.

    Raises:
        DataError: the file cannot be read, a line has other columns, or a document of a query comes twice.
    """
    runs: dict[str, dict[str, float]] = {}
    for number, line in enumerate(text_lines(path), start=1):
        columns = line.split()
        if not columns:
            continue
        query_id, doc_id, score = _run_columns(columns, f"{path}:{number}")
        run = runs.setdefault(query_id, {})
        if doc_id in run:
            raise DataError(f"{path}:{number}: document '{doc_id}' of query '{query_id}' comes twice")
        run[doc_id] = score
    return {
        query_id: sorted((ScoredDoc(*pair) for pair in run.items()), key=lambda doc: -doc.score)
        for query_id, run in runs.items()
    }


def write_run(path: Path, runs: Runs, tag: str) -> None:
    """Write a TREC run to a temporary file, then rename it; gzip if named ``.gz``.

    Ranks count from 1. Where a score is not below the one before it (equal ones, or a re-ranker's before a
    first stage's), the next lower float32 is written, so that every tool sees the order of ``runs``.

    Raises:
        DataError: the file cannot be written, an id or the tag has white space in it or is empty, or a score
            is not finite.
    """
    _check_word(path, "tag", tag)
    with replacing(path) as file:
        for query_id, run in runs.items():
            _check_word(path, "query", query_id)
            for rank, (document, score) in enumerate(zip(run, _falling(path, run), strict=True), start=1):
                _check_word(path, "document", document.doc_id)
                file.write(f"{query_id} Q0 {document.doc_id} {rank} {score} {tag}\n")


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Write judgments as BEIR's ``qrels.tsv`` to a temporary file, then rename it.

    Raises:
        DataError: the file cannot be written.
    """
    with replacing(path) as file:
        file.write("query-id\tcorpus-id\tscore\n")
        for query_id, judged in qrels.items():
            file.writelines(f"{query_id}\t{doc_id}\t{grade}\n" for doc_id, grade in judged.items())


def _falling(path: Path, run: Sequence[ScoredDoc]) -> list[np.float32]:
    """Return the scores of a query, lowered where needed so that they strictly fall."""
    found: list[np.float32] = []
    before = np.float32(np.inf)
    for document in run:
        with np.errstate(over="ignore"):
            score = np.float32(document.score)
        if not np.isfinite(score):
            raise DataError(
                f"{path}: document '{document.doc_id}' has the score {document.score}; expected a number"
            )
        before = min(score, np.nextafter(before, np.float32(-np.inf)))
        found.append(before)
    return found


def _check_word(path: Path, kind: str, word: str) -> None:
    if len(word.split()) != 1 or word != word.strip():
        raise DataError(
            f"{path}: the {kind} '{word}' is empty or has white space in it; TREC's files cannot hold it"
        )


def _run_columns(columns: Sequence[str], place: str) -> tuple[str, str, float]:
    """Return query, document and score of a line."""
    if len(columns) != 6:
        raise DataError(f"{place}: got {len(columns)} columns, expected 'query-id Q0 doc-id rank score tag'")
    score = _number(columns[4])
    if score is None:
        raise DataError(f"{place}: the score is '{columns[4]:.40}', expected a number in the fifth column")
    return columns[0], columns[2], score


def _number(text: str) -> float | None:
    """Read a finite number; ``None``: it is none. Python's own ``1_0`` is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None
