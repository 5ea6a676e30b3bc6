"""Judged collections in the BEIR layout (see `ce2de_os.records`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

from ce2de_os.errors import DataError
from ce2de_os.records import Document, read_documents, read_qrels, read_queries


@dataclass(frozen=True)
class Collection:
    """A judged collection: documents, the queries that have a relevant document, and the judgments.

    A document's text is its title and its text, joined by ``". "``.
    """

    name: str
    doc_ids: list[str]
    documents: list[str]
    query_ids: list[str]
    queries: list[str]
    qrels: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Judged:
    """The queries that have a relevant document.

    Attributes:
        queries: their texts by id.
        qrels: their judgments by id.
        without_text: judged queries that the file of queries lacks, so that they are left out.
    """

    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    without_text: tuple[str, ...] = ()

    @property
    def relevant(self) -> set[str]:
        """The documents that are relevant to some query."""
        return {doc for judged in self.qrels.values() for doc, grade in judged.items() if grade > 0}

    def only(self, query_ids: Set[str]) -> Judged:
        """Return the queries and judgments with these ids only."""
        return Judged(
            {query_id: text for query_id, text in self.queries.items() if query_id in query_ids},
            {query_id: judged for query_id, judged in self.qrels.items() if query_id in query_ids},
        )


def judged_files(folder: Path) -> tuple[Path, Path]:
    """Find the files with the queries and the judgments of a folder in the BEIR layout.

    They are ``queries.jsonl`` with ``qrels.tsv`` or BEIR's own ``qrels/test.tsv`` or ``qrels/dev.tsv``; if
    those are absent, ``queries.dev.jsonl`` with ``qrels.dev.tsv``. Each may be packed: ``queries.jsonl.gz``.

    Raises:
        DataError: one of them is missing.
    """
    return (
        _one_of(folder, "queries.jsonl", "queries.dev.jsonl"),
        _one_of(folder, "qrels.tsv", "qrels/test.tsv", "qrels/dev.tsv", "qrels.dev.tsv"),
    )


def load_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Read the judgments of the queries that have a relevant document, in BEIR's layout or in TREC's.

    Raises:
        DataError: the file is missing or damaged, or judges a document of a query twice and differently.
    """
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    for query_id, doc_id, grade in read_qrels(path):
        before = qrels[query_id].setdefault(doc_id, grade)
        if before != grade:
            raise DataError(
                f"{path}: document '{doc_id}' of query '{query_id}' is judged {before} and {grade}; "
                "keep one of them"
            )
    return {query_id: judged for query_id, judged in qrels.items() if max(judged.values()) > 0}


def load_judged(queries: Path, qrels_file: Path) -> Judged:
    """Read the queries that have a relevant document, in the order of ``queries``.

    Raises:
        DataError: a file is missing or damaged, no query is judged, or a judged one is blank or comes twice.
    """
    qrels = load_qrels(qrels_file)
    judged: dict[str, str] = {}
    for query in read_queries(queries):
        if query.query_id not in qrels:
            continue
        if query.query_id in judged:
            raise DataError(f"{queries}: query '{query.query_id}' comes twice; expected each id once")
        if not query.text.strip():
            raise DataError(f"{queries}: query '{query.query_id}' is empty; write it or remove its judgments")
        judged[query.query_id] = query.text
    if not judged:
        raise DataError(f"{qrels_file}: no query of {queries.name} has a relevant document in it")
    without_text = tuple(query_id for query_id in qrels if query_id not in judged)
    return Judged(judged, {query_id: qrels[query_id] for query_id in judged}, without_text)


def load_collection(folder: Path) -> Collection:
    """Read ``corpus.jsonl[.gz]``, and queries and judgments like `load_judged`, from ``folder``.

    ``corpus.en.jsonl.gz`` is taken where the plain name is absent.

    Raises:
        DataError: a file is missing or damaged, no query is judged, a judgment names an unknown document, or
            two different documents have one id.
    """
    corpus = _one_of(folder, "corpus.jsonl", "corpus.en.jsonl")
    queries, qrels_file = judged_files(folder)
    judged = load_judged(queries, qrels_file)
    documents = texts_by_id(read_documents(corpus), str(corpus))
    unknown = next((doc for one in judged.qrels.values() for doc in one if doc not in documents), None)
    if unknown is not None:
        raise DataError(f"{qrels_file}: judges document '{unknown}', which is not in {corpus.name}")
    return Collection(
        folder.name, list(documents), list(documents.values()),
        list(judged.queries), list(judged.queries.values()), judged.qrels,
    )  # fmt: skip


def texts_by_id(documents: Iterable[Document], where: str) -> dict[str, str]:
    """Return the text of each document by its id; ``where`` starts the message.

    Raises:
        DataError: an id has two different texts.
    """
    texts: dict[str, str] = {}
    for document in documents:
        if texts.setdefault(document.doc_id, document.whole) != document.whole:
            raise DataError(f"{where}: id '{document.doc_id}' has two texts; give each its own id")
    return texts


def _one_of(folder: Path, *names: str) -> Path:
    for name in names:
        for written in (name, f"{name}.gz"):
            if (folder / written).is_file():
                return folder / written
    raise DataError(f"{folder}: has no {names[0]}; expected {', '.join(names)}, or one of them with .gz")
