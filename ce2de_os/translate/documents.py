"""Translate documents or queries, under the same ids.

It is the first step of Translate-Distill (Yang et al., ECIR 2024, arXiv 2401.04810): the teacher scores the
originals, and the student learns from the same scores with the translations.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ce2de_os.distill.data.queries import queries_from_file
from ce2de_os.distill.data.score_file import exclusive, is_finished, work_note
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.records import Document, read_documents
from ce2de_os.translate.base import Translation, Translator
from ce2de_os.translate.cache import TranslationCache
from ce2de_os.translate.sentences import fitting, is_language, joined, sentences
from ce2de_os.writing import replacing

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Receives how many documents are written, and how many of their characters."""

_MOST_HELD = 20_000_000  # characters of documents that wait for their translations

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Originals:
    """Documents, or queries, to translate.

    Attributes:
        name: the file, or the index and its fields; part of the identity of the work.
        read: streams them, the same ones every time; a query is a document without a title.
        titled: whether they have titles; queries have none.
        sources: query id to the ``doc_id`` of its source, for queries that were taken from a document.
    """

    name: str
    read: Callable[[], Iterable[Document]]
    titled: bool = True
    sources: Mapping[str, str] = field(default_factory=dict)

    def row(self, document: Document) -> dict[str, str]:
        """Build a line of the file: ``_id``, ``title`` (of documents) and ``text``."""
        row = {"_id": document.doc_id}
        if self.titled:
            row["title"] = document.title
        row["text"] = document.text
        if document.doc_id in self.sources:
            row["source_id"] = self.sources[document.doc_id]
        return row


@dataclass(frozen=True)
class Survey:
    """Counts of the texts to translate."""

    documents: int
    characters: int


@dataclass
class TranslateReport:
    """Counts of the translated texts.

    Attributes:
        documents: written to the file.
        translated: pieces (sentences, as a rule) that the translator was given.
        from_cache: pieces whose translation was known, repeats within the run among them.
        not_whole: pieces whose translation is empty, or was stopped because it found no end.
        characters: of the originals.
        seconds: of the whole call.
    """

    documents: int = 0
    translated: int = 0
    from_cache: int = 0
    not_whole: int = 0
    characters: int = 0
    seconds: float = 0.0


def corpus_originals(path: Path, name: str | None = None) -> Originals:
    """Return the documents of a ``corpus.jsonl`` (``_id``, ``title``, ``text``); ``name``: their source."""
    return Originals(name or os.path.realpath(path), lambda: map(_plain, read_documents(path)))


def query_originals(path: Path) -> Originals:
    """Read the queries of a ``.txt``, ``.tsv`` or ``.jsonl`` file as `queries_from_file` does."""
    found = queries_from_file(path)
    documents = [Document(query.query_id, "", query.text) for query in found.queries]
    return Originals(os.path.realpath(path), lambda: documents, titled=False, sources=found.sources)


def survey(originals: Originals) -> Survey:
    """Read everything once, so that a broken line fails at once, not after hours of work.

    Raises:
        DataError: a line is broken, an id comes twice, or there is nothing.
    """
    seen: set[str] = set()
    characters = 0
    for document in originals.read():
        if document.doc_id in seen:
            raise DataError(
                f"{originals.name}: id '{document.doc_id}' comes a second time; give each document its own"
            )
        seen.add(document.doc_id)
        characters += _size(document)
    if not seen:
        raise DataError(f"{originals.name}: holds no documents")
    return Survey(len(seen), characters)


def translate(
    originals: Originals, translator: Translator, out: Path, cache: Path, progress: Progress | None = None
) -> TranslateReport:
    """Write the translations of ``originals`` to ``out``; the same call resumes after an interruption.

    Titles and texts are translated separately, sentence by sentence. Every part of about 15 seconds' work is
    kept in ``cache`` at once, and is not translated again, neither after a crash nor for another file.
    ``out`` appears when it is complete. Parts begin where the last one ended, so an interrupted run puts
    the same sentences together and gives the same file.

    Raises:
        DataError: ``out`` holds something else or is being written, or the cache cannot be used.
    """
    began = time.monotonic()
    report = TranslateReport()
    with claimed(out, originals, translator.identity), TranslationCache(cache, translator.identity) as known:
        work = _Work(translator, known, report)
        write_rows(
            out, (originals.row(one) for one in _counted(work.run(originals.read()), report, progress))
        )
    report.from_cache -= report.translated
    report.seconds = time.monotonic() - began
    if report.not_whole:
        logger.warning(
            "%d of %d translations are empty or were stopped because they found no end", report.not_whole,
            report.translated + report.from_cache, extra={"action": "translate"},
        )  # fmt: skip
    return report


@contextmanager
def claimed(out: Path, originals: Originals, how: str) -> Iterator[None]:
    """Lock ``out`` for this work during the block; ``FILE.work`` next to it names the work.

    Raises:
        DataError: ``out`` comes from other work or is being written by another run.
        ConfigError: its name is not that of a JSON-lines file, or it is the original.
    """
    if not out.name.removesuffix(".gz").endswith(".jsonl"):
        raise ConfigError(f"{out}: expected a name that ends in .jsonl or .jsonl.gz")
    if os.path.realpath(out) == originals.name:
        raise ConfigError(f"{out}: is the file with the originals; choose another one")
    work = hashlib.sha256(f"{how} {originals.name}".encode("utf-8", "replace")).hexdigest()
    is_finished(out, work)
    with exclusive(work_note(out)) as note:
        note.truncate(0)
        note.write(f"{work}\n".encode())
        note.flush()
        yield


def write_rows(out: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSON-lines file to a temporary file, then rename it; lone surrogates in ids are escaped."""
    with replacing(out) as file:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False)
            file.write(_SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", line) + "\n")


class _Work:
    """Translates documents one after the other, a part of their pieces at a time."""

    def __init__(self, translator: Translator, cache: TranslationCache, report: TranslateReport) -> None:
        self._translator, self._cache, self._report = translator, cache, report
        self._waiting: deque[tuple[Document, list[str], list[str]]] = deque()
        self._part: dict[str, None] = {}  # pieces to translate next, in the order they came
        self._size = self._held = 0  # characters in it, and of documents read since it was begun

    def run(self, documents: Iterable[Document]) -> Iterator[tuple[Document, Document]]:
        """Yield each document with its translation."""
        for document in documents:
            self._waiting.append((document, self._cut(document.title), self._cut(document.text)))
            yield from self._ready()
        self._translate_part()
        yield from self._ready()

    def _cut(self, text: str) -> list[str]:
        """Split the text for `joined`, and queue its unknown pieces; a full queue is translated at once."""
        parts = sentences(text)
        if unknown := self._unknown(parts):
            parts = self._fitted(parts, unknown)
            for piece in self._unknown(parts):
                self._add(piece)
        self._report.from_cache += len(_to_translate(parts))
        self._held = self._held + len(text) if self._part else 0
        if self._held > _MOST_HELD:
            self._translate_part()
        return parts

    def _unknown(self, parts: list[str]) -> list[str]:
        """Return the pieces, each once, that have no translation and are not queued for one."""
        wanted = dict.fromkeys(_to_translate(parts))
        known = self._cache.find(list(wanted)).keys() | self._part.keys()
        return [piece for piece in wanted if piece not in known]

    def _fitted(self, parts: list[str], unknown: list[str]) -> list[str]:
        """Cut the sentences that are too long for the translator; those already translated stay whole."""
        count, most = self._translator.count_tokens, self._translator.max_tokens
        tokens = dict(zip(unknown, count(unknown), strict=True))
        return [
            piece
            for part in parts
            for piece in (fitting(part, count, most) if tokens.get(part, 0) > most else [part])
        ]

    def _add(self, piece: str) -> None:
        self._part[piece] = None
        self._size += len(piece)
        if self._size >= self._translator.part_chars:
            self._translate_part()

    def _translate_part(self) -> None:
        pieces = list(self._part)
        if pieces:
            self._cache.add(dict(zip(pieces, self._translator.translate(pieces), strict=True)))
        self._report.translated += len(pieces)
        self._part, self._size, self._held = {}, 0, 0

    def _ready(self) -> Iterator[tuple[Document, Document]]:
        while self._waiting and self._part.keys().isdisjoint((*self._waiting[0][1], *self._waiting[0][2])):
            document, title, text = self._waiting.popleft()
            yield document, Document(document.doc_id, self._joined(title), self._joined(text))

    def _joined(self, parts: list[str]) -> str:
        found: dict[str, Translation] = self._cache.find(_to_translate(parts))
        self._report.not_whole += sum(not translation.whole for translation in found.values())
        return joined(parts, {piece: translation.text for piece, translation in found.items()})


def _counted(
    pairs: Iterable[tuple[Document, Document]], report: TranslateReport, progress: Progress | None
) -> Iterator[Document]:
    for original, translation in pairs:
        report.documents += 1
        report.characters += _size(original)
        yield translation
        if progress:
            progress(report.documents, report.characters)


def _to_translate(parts: list[str]) -> list[str]:
    return [piece for piece in parts[1::2] if is_language(piece)]


def _plain(document: Document) -> Document:
    """Replace lone surrogates in the texts by question marks; the id stays."""
    title, text = (part.encode("utf-8", "replace").decode("utf-8") for part in document[1:])
    return Document(document.doc_id, title, text)


def _size(document: Document) -> int:
    return len(document.title) + len(document.text)
