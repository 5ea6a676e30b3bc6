"""Convert rankings of passages to rankings of documents; read the files with the document of each passage."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from pathlib import Path

from ce2de_os.errors import DataError
from ce2de_os.evaluation.metrics import Runs
from ce2de_os.records import ScoredDoc, text_lines

DocumentOf = Mapping[str, str] | Callable[[str], str]
"""Maps a passage's id to its document's."""


def max_p(runs: Runs, document_of: DocumentOf) -> dict[str, list[ScoredDoc]]:
    """Convert rankings of passages to rankings of documents: a document gets its best passage's score.

    The best is the one that ranks first, so documents keep the order in which they first appear, equal scores
    too. A ranking of ``top_k`` passages gives fewer documents: rank more passages than documents are
    wanted. Source: "MaxP" of Dai and Callan, "Deeper Text Understanding for IR with Contextual Neural
    Language Modeling", SIGIR 2019, arXiv 1905.09217.

    Raises:
        DataError: a passage is not in the mapping.
    """
    found: dict[str, list[ScoredDoc]] = {}
    for query_id, run in runs.items():
        best: dict[str, float] = {}
        for passage in run:
            best.setdefault(_document(document_of, passage.doc_id, query_id), passage.score)
        found[query_id] = [ScoredDoc(*pair) for pair in best.items()]
    return found


def read_mapping(path: Path, wanted: Container[str]) -> dict[str, str]:
    """Read two columns with a tab between them, ``.gz`` or not: the values of the ids in ``wanted``.

    The first column is a passage's id or a document's, the second its document's id or its language. Other
    ids are skipped: such a file may have a line for each of millions of passages.

    Raises:
        DataError: the file cannot be read, a line has other columns, or an id comes twice with another value.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text_lines(path), start=1):
        if not line.strip():
            continue
        columns = line.rstrip().split("\t")
        if len(columns) != 2 or not all(columns):
            raise DataError(
                f"{path}:{number}: got {len(columns)} columns, expected two with a tab between them, "
                "none of them empty"
            )
        name, value = columns
        if name in wanted and found.setdefault(name, value) != value:
            raise DataError(f"{path}:{number}: '{name}' is '{found[name]}' above and '{value}' here")
    return found


def _document(document_of: DocumentOf, passage_id: str, query_id: str) -> str:
    if callable(document_of):
        return document_of(passage_id)
    try:
        return document_of[passage_id]
    except KeyError:
        raise DataError(
            f"passage '{passage_id}' of query '{query_id}': its document is not known; expected every "
            "passage in the mapping"
        ) from None
