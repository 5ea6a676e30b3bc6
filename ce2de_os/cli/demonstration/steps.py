"""The steps of the demo, each an ordinary use of the library."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from opensearchpy import OpenSearch

from ce2de_os.cli.demonstration.corpus import python_documents
from ce2de_os.cli.jobs.progress import follow
from ce2de_os.config import Settings
from ce2de_os.errors import ConfigError, DataError, JobError
from ce2de_os.index import admin
from ce2de_os.index.bulk import WriteAction, write_documents
from ce2de_os.index.client import backend_errors
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.records import Document, Hit, read_documents
from ce2de_os.reindex.job import DONE
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.status import JobStatus
from ce2de_os.search.question import Mode
from ce2de_os.search.searcher import HybridSearcher
from ce2de_os.worker.queue import CeleryQueue

TEXT_FIELDS = ("title", "body")
MODES: tuple[Mode, ...] = ("bm25", "dense", "hybrid")
TOP_K = 3

# The questions use other words than the documents, as people do.
PYTHON_QUESTIONS = (
    "pause the program for a few seconds",
    "find files whose names match a pattern",
    "show what has changed between two versions of a text",
    "the biggest value in a list",
    "send a mail through a server",
)

_MARK = {"ce2de_demo": True}
_MAPPING = {
    "_meta": _MARK,
    "properties": {field: {"type": "text", "analyzer": "english"} for field in TEXT_FIELDS},
}


@dataclass(frozen=True)
class DemoPlan:
    """The inputs of the demo: ``documents`` streams them, ``source`` is the plain index for them."""

    source: str
    documents: Callable[[], Iterable[Document]]
    questions: tuple[str, ...]

    @property
    def alias(self) -> str:
        """The name through which applications would search and write."""
        return f"{self.source}-search"


@dataclass(frozen=True)
class Answer:
    """The hits of each mode for a question, best first."""

    question: str
    hits: dict[str, Sequence[Hit]]


def plan(corpus: Path | None, questions: Sequence[str]) -> DemoPlan:
    """Choose documents and questions; read a ``corpus`` once to the end, so that a bad line is reported now.

    Raises:
        DataError: the corpus cannot be read, or is empty.
    """
    if corpus is None:
        return DemoPlan("python-docs", python_documents, tuple(questions) or PYTHON_QUESTIONS)
    titles = sample_titles(read_documents(corpus))
    if not titles:
        raise DataError(f"{corpus}: holds no document with a title or text")
    return DemoPlan("demo-corpus", lambda: read_documents(corpus), tuple(questions) or titles)


def sample_titles(documents: Iterable[Document], number: int = 5) -> tuple[str, ...]:
    """Return the titles of ``number`` documents, always the same; first words replace a missing title."""
    titles = {document.title.strip() or " ".join(document.text.split()[:8]) for document in documents}
    return tuple(heapq.nsmallest(number, titles - {""}, key=_digest))


def clear(client: OpenSearch, plan: DemoPlan) -> None:
    """Delete the indices of an earlier demo.

    Raises:
        ConfigError: there is an index of this name that no demo made.
    """
    with backend_errors("look for an earlier demo"):
        found = client.indices.get(index=f"{plan.source},{plan.source}-ce2de-*", ignore_unavailable=True)
    for name, body in found.items():
        if not body["mappings"].get("_meta", {}).get("ce2de_demo"):
            raise ConfigError(f"index '{name}' was not made by the demo; delete it or choose another --home")
    for name in found:
        with backend_errors(f"delete '{name}'"):
            client.indices.delete(index=name)


def fill(client: OpenSearch, plan: DemoPlan) -> int:
    """Make the plain text index and return the number of its documents.

    Raises:
        DataError: OpenSearch rejects a document.
    """
    body = {
        "settings": {"number_of_replicas": 0},
        "mappings": _MAPPING,
        "aliases": {plan.alias: {}},  # applications read and write through it, before and after
    }
    admin.create(client, plan.source, body)
    report = write_documents(client, plan.source, map(_action, plan.documents()))
    if report.refused:
        refusal = report.refused[0]
        raise DataError(f"document '{refusal.doc_id}' was rejected: {refusal.reason}")
    admin.refresh(client, plan.source)
    return admin.count(client, plan.source)


def reindex(client: OpenSearch, plan: DemoPlan, settings: Settings) -> JobStatus:
    """Reindex with the workers and follow the progress.

    Raises:
        JobError: the job did not end well.
    """
    queue = CeleryQueue(settings.broker_url)
    request = JobRequest(plan.source, TextSpec(TEXT_FIELDS), plan.alias)
    job = start(client, request, Artifact.load(settings.artifact), queue)
    found = follow(client, queue, job.job_id)
    if found.job.state != DONE:
        raise JobError(f"job '{job.job_id}' is {found.job.state}: {found.job.error or 'interrupted'}")
    return found


def ask(client: OpenSearch, plan: DemoPlan, settings: Settings) -> list[Answer]:
    """Ask every question in every mode."""
    searcher = HybridSearcher(client, plan.alias, OnnxEncoder(settings.artifact))
    return [
        Answer(
            question,
            {mode: searcher.search(question, top_k=TOP_K, mode=mode, explain=True) for mode in MODES},
        )
        for question in plan.questions
    ]


def _action(document: Document) -> WriteAction:
    return WriteAction(document.doc_id, 1, None, {"title": document.title, "body": document.text})


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
