"""Import translations: check them against the originals and write them in the same layout."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ce2de_os.errors import DataError
from ce2de_os.records import Document, json_lines, text_lines
from ce2de_os.translate.documents import Originals, Progress, claimed, write_rows
from ce2de_os.translate.sentences import is_language

logger = logging.getLogger(__name__)

_NAMED = 3  # most ids in a message
_MAX_UNCHANGED = 0.5  # share of unchanged texts above which they were hardly translated


@dataclass(frozen=True)
class ImportReport:
    """Counts of the imported translations.

    Attributes:
        documents: written to the file.
        skipped: documents that have no translation and were left out.
        unchanged: texts that are the same in both languages.
        untitled: documents whose title has no translation, and is empty now.
        characters: of the originals.
        seconds: of the whole call.
    """

    documents: int
    skipped: int
    unchanged: int
    untitled: int
    characters: int
    seconds: float


def import_translations(
    originals: Originals, file: Path, out: Path, skip_missing: bool = False, progress: Progress | None = None
) -> ImportReport:
    """Write the translations in ``file`` to ``out``, in the order and under the ids of ``originals``.

    ``file`` has lines ``id<TAB>text``, or JSON lines with ``_id`` and ``text``, ``title`` or both. A document
    has no translation if its id is not there or its text is empty there. Ids are kept on disk, so
    that collections of millions fit.

    Args:
        originals: the documents that were translated.
        file: the translations, ``.tsv`` or ``.jsonl``, ``.gz`` or not.
        out: the file to make.
        skip_missing: leave documents without a translation out; otherwise they are an error.
        progress: receives how many documents are written.

    Raises:
        DataError: the file cannot be read, names an id twice or one that is unknown, or lacks some; or
            ``out`` holds something else.
    """
    began = time.monotonic()
    with closing(_Given(file)) as given, claimed(out, originals, f"import {os.path.realpath(file)}"):
        check = _Check()
        for original in originals.read():
            check.see(original, given.find(original.doc_id))
        given.refuse_unknown(originals)
        if check.missing and not skip_missing:
            raise DataError(
                f"{file}: {_told(check.missing, check.named)} of {originals.name} have no translation; "
                "translate them too, or leave them out: `missing=skip`"
            )
        if not check.translated:
            raise DataError(f"{file}: holds no translation of a text in {originals.name}")
        write_rows(out, (originals.row(one) for one in _translations(originals, given, progress)))
    check.warn(file)
    return ImportReport(
        check.read - check.missing, check.missing, check.unchanged, check.untitled, check.characters,
        time.monotonic() - began,
    )  # fmt: skip


class _Row(NamedTuple):
    """A translation, with its place ``file:line``."""

    place: str
    doc_id: str
    title: str
    text: str


class _Given:
    """The translations by id, in a temporary file that is deleted with this object."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows = sqlite3.connect("")
        self._rows.execute("CREATE TABLE given (id BLOB PRIMARY KEY, title TEXT, text TEXT) WITHOUT ROWID")
        self._rows.execute("CREATE TABLE asked (id BLOB PRIMARY KEY) WITHOUT ROWID")
        for row in _rows(file):
            try:
                self._rows.execute(
                    "INSERT INTO given VALUES (?, ?, ?)", (_key(row.doc_id), row.title, row.text)
                )
            except sqlite3.IntegrityError as error:
                raise DataError(
                    f"{row.place}: id '{row.doc_id}' comes a second time; expected one translation of each"
                ) from error

    def close(self) -> None:
        self._rows.close()

    def find(self, doc_id: str) -> Document | None:
        key = _key(doc_id)
        self._rows.execute("INSERT OR IGNORE INTO asked VALUES (?)", (key,))
        found = self._rows.execute("SELECT title, text FROM given WHERE id = ?", (key,)).fetchone()
        return found and Document(doc_id, *found)

    def refuse_unknown(self, originals: Originals) -> None:
        """Raise a `DataError` if there are translations of unknown documents."""
        unknown = "FROM given WHERE id NOT IN (SELECT id FROM asked)"
        count = self._rows.execute(f"SELECT count(*) {unknown}").fetchone()[0]
        if count:
            first = self._rows.execute(f"SELECT id {unknown} LIMIT {_NAMED}")
            names = [str(row[0], "utf-8", "surrogatepass") for row in first]
            raise DataError(
                f"{self._file}: translates {_told(count, names)} that are not in {originals.name}; give the "
                "documents that it was made from"
            )


class _Check:
    """Counts documents with and without a translation."""

    def __init__(self) -> None:
        self.read = self.missing = self.translated = self.unchanged = self.untitled = self.characters = 0
        self.named: list[str] = []

    def see(self, original: Document, given: Document | None) -> None:
        self.read += 1
        self.characters += len(original.title) + len(original.text)
        if _is_missing(original, given):
            self.missing += 1
            self.named += [original.doc_id] if len(self.named) < _NAMED else []
        elif given is not None:
            self.untitled += bool(original.title.strip()) and not given.title.strip()
            if is_language(original.text):
                self.translated += 1
                self.unchanged += given.text.strip() == original.text.strip()

    def warn(self, file: Path) -> None:
        if self.unchanged > _MAX_UNCHANGED * self.translated:
            logger.warning(
                "%s: %d of %d translations are equal to the original; check that it is the right file", file,
                self.unchanged, self.translated, extra={"action": "import_translations"},
            )  # fmt: skip
        if self.untitled:
            logger.warning(
                "%s: the titles of %d documents have no translation and are left empty", file, self.untitled,
                extra={"action": "import_translations"},
            )  # fmt: skip


def _translations(originals: Originals, given: _Given, progress: Progress | None) -> Iterator[Document]:
    documents = characters = 0
    for original in originals.read():
        found = given.find(original.doc_id)
        if _is_missing(original, found):
            continue
        documents, characters = documents + 1, characters + len(original.title) + len(original.text)
        yield found or original
        if progress:
            progress(documents, characters)


def _is_missing(original: Document, given: Document | None) -> bool:
    """Return whether a needed translation is missing; a document without any text needs none."""
    if given is None:
        return bool(original.text.strip() or original.title.strip())
    return bool(original.text.strip()) and not given.text.strip()


def _rows(file: Path) -> Iterator[_Row]:
    kind = Path(file.name.removesuffix(".gz")).suffix
    readers = {".tsv": _tsv_rows, ".jsonl": _json_rows}
    if kind not in readers:
        raise DataError(f"{file}: expected a name that ends in .tsv or .jsonl, with or without .gz")
    return readers[kind](file)


def _tsv_rows(file: Path) -> Iterator[_Row]:
    for number, line in enumerate(text_lines(file), start=1):
        doc_id, tab, text = line.rstrip("\r\n").partition("\t")
        if line.strip() and not (tab and doc_id):
            raise DataError(f"{file}:{number}: expected 'id<TAB>text'")
        if line.strip():
            yield _Row(f"{file}:{number}", doc_id, "", text)


def _json_rows(file: Path) -> Iterator[_Row]:
    for place, row in json_lines(file):
        doc_id, title, text = row.get("_id"), row.get("title") or "", row.get("text") or ""
        if not all(isinstance(part, str) for part in (doc_id, title, text)) or not (title or text):
            raise DataError(f"{place}: expected an object with the strings '_id' and 'text', 'title' or both")
        yield _Row(place, str(doc_id), _clean(title), _clean(text))


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _key(doc_id: str) -> bytes:
    return doc_id.encode("utf-8", "surrogatepass")


def _told(count: int, names: Sequence[str]) -> str:
    more = ", …" if count > len(names) else ""
    return f"{count:,} {'id' if count == 1 else 'ids'} ({', '.join(names)}{more})"
