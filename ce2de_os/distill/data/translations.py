"""Read translations of queries and documents, and compare them with the originals."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from ce2de_os.distill.data.texts import TrainingPassage, source_name
from ce2de_os.errors import DataError
from ce2de_os.evaluation import Collection
from ce2de_os.records import Document, read_documents, text_lines

logger = logging.getLogger(__name__)

_NAMED = 3  # ids that a message names


@dataclass(frozen=True)
class Coverage:
    """Counts of a translation compared with its originals.

    Attributes:
        kind: ``"documents"`` or ``"queries"``.
        language: of the translation.
        originals: number of originals.
        missing: originals without a translation.
        unknown: translations whose id is not among the originals.
    """

    kind: str
    language: str
    originals: int
    missing: int
    unknown: int


def read_translation(path: Path) -> dict[str, Document]:
    """Read the documents of a translated ``corpus.jsonl`` by id, without those that are blank.

    Raises:
        DataError: the file cannot be read, holds no text, or an id comes twice.
    """
    found: dict[str, Document] = {}
    for document in read_documents(path):
        if document.doc_id in found:
            raise DataError(f"{path}: document '{document.doc_id}' comes twice; expected each id once")
        if document.whole.strip():
            found[document.doc_id] = document
    if not found:
        raise DataError(f"{path}: holds no document; expected translations, JSON lines with _id and text")
    return found


def check_coverage(
    originals: Set[str], translated: Set[str], coverage: tuple[str, str], where: object, *, skip: bool
) -> Coverage:
    """Compare the ids of originals and translations; differences are an error, or logged with ``skip``.

    ``coverage`` is kind and language, as in `Coverage`; ``where`` names the translations in messages.

    Raises:
        DataError: no id is common; or ids differ and ``skip`` is not set.
    """
    kind, language = coverage
    missing, unknown = originals - translated, translated - originals
    if not originals & translated:
        raise DataError(
            f"{where}: none of its {len(translated):,} ids is among those of the {len(originals):,} {kind}; "
            "expected translations under the same ids"
        )
    told = [_told(f"{kind} have no translation", missing), _told("translations have no original", unknown)]
    differences = "; ".join(part for part in told if part)
    if differences and not skip:
        raise DataError(f"{where}: {differences}; complete it, or set languages.missing_translations to skip")
    if differences:
        logger.warning("%s: %s; left out", where, differences, extra={"action": "check_translations"})
    return Coverage(kind, language, len(originals), len(missing), len(unknown))


def translated_collection(
    collection: Collection, translations: Mapping[str, Document], language: str
) -> Collection:
    """Replace the collection's documents by translations; those without a translation are left out.

    Queries with no relevant document left are left out too; the others keep their language.

    Raises:
        DataError: no query has a relevant document that is translated.
    """
    qrels = {
        query_id: {doc_id: grade for doc_id, grade in judged.items() if doc_id in translations}
        for query_id, judged in collection.qrels.items()
    }
    kept = [
        query_id for query_id in collection.query_ids if any(grade > 0 for grade in qrels[query_id].values())
    ]
    if not kept:
        raise DataError(
            f"{collection.name}: no query has a relevant document among its translations into '{language}'; "
            "expected translations under the same ids"
        )
    queries = dict(zip(collection.query_ids, collection.queries, strict=True))
    doc_ids = [doc_id for doc_id in collection.doc_ids if doc_id in translations]
    return Collection(
        f"{collection.name} ({language})", doc_ids, [translations[doc_id].whole for doc_id in doc_ids],
        kept, [queries[query_id] for query_id in kept], {query_id: qrels[query_id] for query_id in kept},
    )  # fmt: skip


def parallel_documents(
    originals: Mapping[str, Document], translations: Mapping[str, Document], source: str
) -> list[TrainingPassage]:
    """Return titles, texts and whole documents with their translations, each pair once."""
    pairs = (
        pair
        for doc_id, translation in translations.items() if doc_id in originals
        for pair in _document_pairs(originals[doc_id], translation)
    )  # fmt: skip
    return _passages(pairs, source)


def read_parallel(path: Path, source: str) -> list[TrainingPassage]:
    """Read the pairs of a file with lines ``original<TAB>translation``, ``.gz`` or not, each once.

    Raises:
        DataError: the file cannot be read, a line does not have two columns, or there is no pair.
    """
    found = _passages(_line_pairs(path), source)
    if not found:
        raise DataError(f"{path}: holds no pair; expected lines 'original<TAB>translation'")
    return found


def parallel_source(path: Path, language: str) -> str:
    """Return the name under which a file's pairs are counted among the sources of texts."""
    return f"{source_name(path)} ({language})"


def _document_pairs(original: Document, translation: Document) -> Iterator[tuple[str, str]]:
    if original.title.strip() and translation.title.strip():
        yield original.title, translation.title
        yield original.text, translation.text
    yield original.whole, translation.whole


def _line_pairs(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text_lines(path), start=1):
        columns = line.rstrip("\r\n").split("\t")
        if line.strip() and len(columns) != 2:
            raise DataError(f"{path}:{number}: expected 'original<TAB>translation'")
        if len(columns) == 2:
            yield columns[0], columns[1]


def _passages(pairs: Iterable[tuple[str, str]], source: str) -> list[TrainingPassage]:
    clean = ((" ".join(original.split()), " ".join(text.split())) for original, text in pairs)
    distinct = dict.fromkeys((original, text) for original, text in clean if original and text)
    return [TrainingPassage(text, source, original) for original, text in distinct]


def _told(what: str, ids: Set[str]) -> str:
    named: Sequence[str] = sorted(ids)[:_NAMED]
    more = ", …" if len(ids) > _NAMED else ""
    return f"{len(ids):,} {what} ({', '.join(named)}{more})" if ids else ""
