"""Read the translations and parallel texts of a distillation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ce2de_os.distill.data.languages import Languages
from ce2de_os.distill.tables import LanguagesTable

if TYPE_CHECKING:
    from ce2de_os.distill.data.texts import TrainingPassage
    from ce2de_os.distill.data.translations import Coverage
    from ce2de_os.evaluation import Collection
    from ce2de_os.records import Document


class Translated:
    """Reads the files that the table names, each once."""

    def __init__(self, table: LanguagesTable) -> None:
        self.table = table

    @cached_property
    def languages(self) -> Languages:
        """The languages that each part reads."""
        return self.table.languages

    @cached_property
    def queries(self) -> dict[str, dict[str, str]]:
        """Translated queries by language and id."""
        from ce2de_os.distill.data.queries import query_texts

        return {language: query_texts(path) for language, path in self.table.translated_queries.items()}

    @cached_property
    def documents(self) -> dict[str, dict[str, Document]]:
        """Translated documents by language and id."""
        from ce2de_os.distill.data.translations import read_translation

        return {language: read_translation(path) for language, path in self.table.translations.items()}

    def coverage(self, originals: Mapping[str, Document]) -> list[Coverage]:
        """Measure how the documents fit their originals; raise like `check_coverage`."""
        from ce2de_os.distill.data.translations import check_coverage

        return [
            check_coverage(
                originals.keys(), found.keys(), ("documents", language), self.table.translations[language],
                skip=self.table.skip,
            )
            for language, found in self.documents.items()
        ]  # fmt: skip

    def passages(self, originals: Mapping[str, Document]) -> list[TrainingPassage]:
        """Read all parallel text: translated documents with their originals, and the files of pairs."""
        from ce2de_os.distill.data.translations import parallel_documents, parallel_source, read_parallel

        found: list[TrainingPassage] = []
        for language, translations in self.documents.items():
            source = parallel_source(self.table.translations[language], language)
            found += parallel_documents(originals, translations, source)
        for language, path in self.table.parallel.items():
            found += read_parallel(path, parallel_source(path, language))
        return found


def judged(dev: Path | None, translations: Mapping[str, Path]) -> list[Collection]:
    """Load the collections that pick the best checkpoint: ``dev``, or it with each of its translations."""
    from ce2de_os.distill.data.translations import read_translation, translated_collection
    from ce2de_os.evaluation import load_collection

    if dev is None:
        return []
    collection = load_collection(dev)
    return [
        translated_collection(collection, read_translation(path), language)
        for language, path in translations.items()
    ] or [collection]
