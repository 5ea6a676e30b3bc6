"""Read the queries, candidates and documents of a distillation, from files or a cluster."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ce2de_os.config import Settings
from ce2de_os.errors import DataError
from ce2de_os.recipes.distill_request import DistillRequest
from ce2de_os.recipes.distill_translations import Translated
from ce2de_os.writing import replacing

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from ce2de_os.distill.data.candidates import Retrieve
    from ce2de_os.distill.data.queries import QuerySet
    from ce2de_os.distill.data.texts import TrainingPassage
    from ce2de_os.distill.data.translations import Coverage
    from ce2de_os.distill.training.examples import Collected
    from ce2de_os.progress import Phase
    from ce2de_os.records import Document

TEXTS_FILE = "texts.jsonl.gz"


class Sources:
    """Reads the sources that a request names."""

    def __init__(self, request: DistillRequest) -> None:
        self.request = request
        self.rankings = request.rankings
        self.index, self.corpus = request.documents.index, request.documents.corpus
        self.translated = Translated(request.languages)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of candidates, without the one that queries are taken from.

        A document that holds its query word for word would teach only to match words.
        """
        named = self.named_fields
        return tuple(field for field in named if field != self.rankings.query_field) or named

    @property
    def named_fields(self) -> tuple[str, ...]:
        """All fields of a document, which embeddings are learned from."""
        return self.request.documents.text_fields

    @cached_property
    def settings(self) -> Settings:
        """The connection, and the model for dense candidates."""
        return self.request.settings or Settings.from_env()

    @cached_property
    def client(self) -> OpenSearch:
        """The cluster."""
        from ce2de_os.index.client import connect

        return connect(self.settings.opensearch)

    @cached_property
    def documents(self) -> dict[str, str]:
        """The texts of a corpus file by id."""
        from ce2de_os.records import read_documents

        return {doc.doc_id: self._text(doc) for doc in read_documents(Path(str(self.corpus)))}

    @cached_property
    def originals(self) -> dict[str, Document]:
        """All documents by id, to be compared with translations; those of an index have no title."""
        from ce2de_os.records import Document, read_documents

        if self.corpus is not None:
            return {doc.doc_id: doc for doc in read_documents(self.corpus)}
        from ce2de_os.index.documents import field_texts

        found = field_texts(self.client, str(self.index), self.named_fields)
        return {doc_id: Document(doc_id, "", text) for doc_id, text in found}

    def coverage(self) -> list[Coverage]:
        """Measure how the translations fit the originals; raise like `check_coverage`."""
        return self.translated.coverage(self.originals) if self.translated.table.translations else []

    def parallel(self) -> list[TrainingPassage]:
        """Read all parallel text to learn embeddings from."""
        return self.translated.passages(self.originals if self.translated.table.translations else {})

    def collected(self) -> Collected:
        """Return the sources in the form that the steps need."""
        from ce2de_os.distill.training.examples import Collected

        return Collected(
            self._queries, self._searches, self._fetch, self.translated.languages, self.translated.queries,
            self.translated.table.skip,
        )  # fmt: skip

    def texts(self, run: Path, phase: Phase, words: int, seed: int) -> list[Path]:
        """Use the documents themselves as training texts, where no other texts are given.

        From an index with more than this number of ``words``, take a random sample with this ``seed``.
        """
        if self.corpus is not None:
            return [self.corpus]
        if self.index is None:
            return []
        path = run / TEXTS_FILE
        if not path.is_file():
            self._write_texts(path, phase, words, seed)
        return [path]

    def _write_texts(self, path: Path, phase: Phase, words: int, seed: int) -> None:
        from ce2de_os.index.documents import field_texts

        count = taken = 0
        documents = field_texts(self.client, str(self.index), self.named_fields, seed)
        with closing(documents), replacing(path) as file:
            for count, (_, text) in enumerate(documents, start=1):
                file.write(json.dumps({"text": text}) + "\n")
                phase("documents", count, count + 1)
                taken += len(text.split())
                if taken > words:
                    break
            if not count:
                raise DataError(
                    f"'{self.index}': no document has text in {', '.join(self.named_fields)}; set other "
                    "documents.text_fields"
                )
        phase("documents", count, count)

    def _queries(self) -> QuerySet:
        from ce2de_os.distill.data import queries

        asked = self.rankings
        if asked.queries is not None:
            return queries.queries_from_file(asked.queries, asked.max_queries)
        if asked.query_log is not None:
            return queries.queries_from_log(asked.query_log, asked.log_field, asked.max_queries)
        return queries.queries_from_documents(self._field_values(), asked.max_queries)

    def _field_values(self) -> Iterator[tuple[str, str]]:
        from ce2de_os.index.documents import field_texts
        from ce2de_os.records import json_lines

        if self.index is not None:
            yield from field_texts(self.client, self.index, [str(self.rankings.query_field)])
            return
        for place, row in json_lines(Path(str(self.corpus))):
            if not isinstance(row.get("_id"), str):
                raise DataError(f"{place}: missing '_id', or it is not a string")
            yield row["_id"], str(row.get(str(self.rankings.query_field)) or "")

    def _searches(self, asked: QuerySet) -> Mapping[str, Retrieve]:
        file = self.rankings.candidates_file
        if file is not None:
            from ce2de_os.distill.data.candidates import imported

            known: Container[str] = self.documents if self.corpus is not None else _Everything()
            return {f"import {file}": imported(file, asked.queries, known)}
        language = self.translated.languages.selector.documents[0]
        given = self.index if language == self.translated.languages.original else None
        index = self.translated.table.selector_index or given
        return dict(self._live_searches(index) if index is not None else self._local_searches(language))

    def _live_searches(self, index: str) -> Iterator[tuple[str, Retrieve]]:
        from ce2de_os.model.encoder import OnnxEncoder
        from ce2de_os.search.retrieve import Bm25Retriever, DenseRetriever

        bm25 = Bm25Retriever(self.client, index, self.fields)
        yield f"BM25 {index} {','.join(self.fields)}", bm25
        if self.rankings.dense_candidates:
            encoder = OnnxEncoder(self.settings.artifact, threads=self.settings.threads)
            yield f"dense {index} {encoder.fingerprint}", DenseRetriever(self.client, index, encoder)

    def _local_searches(self, language: str) -> Iterator[tuple[str, Retrieve]]:
        from ce2de_os.distill.data.local_retrieve import bm25_retriever, dense_retriever
        from ce2de_os.model.encoder import OnnxEncoder

        documents = self._in_language(language)
        ids, texts = list(documents), list(documents.values())
        yield (
            f"BM25 {self.translated.table.translations.get(language, self.corpus)}",
            bm25_retriever(ids, texts, language),
        )
        if self.rankings.dense_candidates:
            encoder = OnnxEncoder(self.settings.artifact, threads=self.settings.threads)
            vectors = encoder.encode_documents(texts)
            yield f"dense {encoder.fingerprint}", dense_retriever(ids, vectors, encoder.encode_queries)

    def _fetch(self, doc_ids: Sequence[str], language: str) -> Mapping[str, str]:
        if self.corpus is not None or language != self.translated.languages.original:
            texts = self._in_language(language)
            return {doc_id: texts[doc_id] for doc_id in doc_ids if doc_id in texts}
        from ce2de_os.index.documents import documents

        return documents(self.client, str(self.index), doc_ids, self.fields)

    def _in_language(self, language: str) -> Mapping[str, str]:
        """Return texts by id: of the corpus, or of a translation those that have an original."""
        if language == self.translated.languages.original:
            return self.documents
        found = {
            doc_id: self._text(doc)
            for doc_id, doc in self.translated.documents[language].items() if doc_id in self.originals
        }  # fmt: skip
        return {doc_id: text for doc_id, text in found.items() if text.strip()}

    def _text(self, document: Document) -> str:
        return document.text if self.rankings.query_field == "title" else document.whole


class _Everything:
    """Contains every id: the documents of an index are only known when their texts are fetched."""

    def __contains__(self, doc_id: object) -> bool:
        return True
