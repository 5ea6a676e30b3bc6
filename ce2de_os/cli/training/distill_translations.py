"""The options of ``ce2de distill`` that name languages, translations and parallel texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ce2de_os.distill.data.languages import Languages, Reads, read_languages
from ce2de_os.errors import ConfigError

if TYPE_CHECKING:
    from ce2de_os.distill.data.texts import Passage
    from ce2de_os.distill.data.translations import Coverage
    from ce2de_os.evaluation import Collection
    from ce2de_os.records import Document


@dataclass(frozen=True)
class Translated:
    """What is there in other languages than the originals', and who reads it."""

    language: str
    translations: tuple[str, ...]
    translated_queries: tuple[str, ...]
    parallel: tuple[str, ...]
    selector_languages: str | None
    teacher_languages: str | None
    student_languages: str | None
    selector_index: str | None
    missing_translations: str
    dev_translations: tuple[str, ...]

    def __post_init__(self) -> None:
        languages = self.languages
        for option, files in (
            ("--translations", self.document_files),
            ("--translated-queries", self.query_files),
        ):
            if languages.original in files:
                raise ConfigError(
                    f"{option}: '{languages.original}' is the language of the originals; see --language"
                )
        self._check("--selector-languages", languages.selector, documents=self.selector_index is None)
        self._check("--teacher-languages", languages.teacher)
        self._check("--student-languages", languages.student)

    @cached_property
    def languages(self) -> Languages:
        """Who reads what."""
        return read_languages(
            self.language, list(self.document_files), selector=self.selector_languages,
            teacher=self.teacher_languages, student=self.student_languages,
        )  # fmt: skip

    @property
    def skip(self) -> bool:
        """Return whether what is not translated is left out, instead of an error."""
        return self.missing_translations == "skip"

    @cached_property
    def document_files(self) -> dict[str, Path]:
        """Translated documents by language."""
        return _by_language("--translations", self.translations)

    @cached_property
    def query_files(self) -> dict[str, Path]:
        """Translated queries by language."""
        return _by_language("--translated-queries", self.translated_queries)

    @cached_property
    def queries(self) -> dict[str, dict[str, str]]:
        """Translated queries by language and id."""
        from ce2de_os.distill.data.queries import query_texts

        return {language: query_texts(path) for language, path in self.query_files.items()}

    @cached_property
    def documents(self) -> dict[str, dict[str, Document]]:
        """Translated documents by language and id."""
        from ce2de_os.distill.data.translations import read_translation

        return {language: read_translation(path) for language, path in self.document_files.items()}

    def coverage(self, originals: Mapping[str, Document]) -> list[Coverage]:
        """Compare the documents with their originals; raise like `check_coverage`."""
        from ce2de_os.distill.data.translations import check_coverage

        return [
            check_coverage(
                originals.keys(), found.keys(), ("documents", language), self.document_files[language],
                skip=self.skip,
            )
            for language, found in self.documents.items()
        ]  # fmt: skip

    def passages(self, originals: Mapping[str, Document]) -> list[Passage]:
        """Return all parallel text: translated documents with their originals, and the files of pairs."""
        from ce2de_os.distill.data.translations import parallel_documents, parallel_source, read_parallel

        found: list[Passage] = []
        for language, translations in self.documents.items():
            source = parallel_source(self.document_files[language], language)
            found += parallel_documents(originals, translations, source)
        for language, path in _named("--parallel", self.parallel):
            found += read_parallel(path, parallel_source(path, language))
        return found

    def judged(self, dev: Path | None) -> list[Collection]:
        """Load the collections that choose the best checkpoint: ``dev``, or instead its translations."""
        from ce2de_os.distill.data.translations import read_translation, translated_collection
        from ce2de_os.evaluation import load_collection

        files = _by_language("--dev-translations", self.dev_translations)
        if dev is None and files:
            raise click.UsageError("--dev-translations need a judged collection: give --dev")
        if dev is None:
            return []
        collection = load_collection(dev)
        return [
            translated_collection(collection, read_translation(path), language)
            for language, path in files.items()
        ] or [collection]

    def _check(self, option: str, reads: Reads, *, documents: bool = True) -> None:
        original = self.languages.original
        if reads.queries not in (original, *self.query_files):
            raise ConfigError(
                f"{option} {reads}: there are no queries in '{reads.queries}'; "
                f"add --translated-queries {reads.queries}=FILE"
            )
        for language in reads.documents if documents else ():
            if language not in (original, *self.document_files):
                raise ConfigError(
                    f"{option} {reads}: there are no documents in '{language}'; "
                    f"add --translations {language}=FILE"
                )


def _by_language(option: str, values: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for language, path in _named(option, values):
        if language in found:
            raise ConfigError(f"{option}: '{language}' comes twice; expected one file of a language")
        found[language] = path
    return found


def _named(option: str, values: Sequence[str]) -> Iterator[tuple[str, Path]]:
    for value in values:
        language, _, path = value.partition("=")
        if not language.isidentifier() or not path:
            raise click.UsageError(
                f"{option}: got '{value}', expected language=FILE, such as it=corpus.it.jsonl"
            )
        yield language, Path(path)
