"""Where ``ce2de distill`` takes queries, candidates and documents from: files or a cluster."""

from __future__ import annotations

import gzip
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ce2de_os.errors import DataError

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from ce2de_os.cli.training.distill_translations import Translated
    from ce2de_os.config import Settings
    from ce2de_os.distill.data.candidates import Retrieve
    from ce2de_os.distill.data.queries import QuerySet
    from ce2de_os.distill.data.texts import Passage
    from ce2de_os.distill.data.translations import Coverage
    from ce2de_os.distill.models.sequence_teacher import Answers
    from ce2de_os.distill.training.examples import Collected
    from ce2de_os.progress import Phase
    from ce2de_os.records import Document

TEXTS_FILE = "texts.jsonl.gz"


@dataclass(frozen=True)
class Sources:
    """The options of the command that name queries, candidates and documents."""

    settings: Settings
    cross_encoders: tuple[str, ...]
    answers: Answers | None
    translated: Translated
    queries: Path | None
    query_log: Path | None
    log_field: str | None
    query_field: str | None
    max_queries: int
    index: str | None
    text_fields: str
    corpus: Path | None
    depth: int
    dense_candidates: bool
    candidates: Path | None
    scores: tuple[Path, ...]

    def __post_init__(self) -> None:
        if sum(place is not None for place in (self.queries, self.query_log, self.query_field)) > 1:
            raise click.UsageError("give one of --queries, --query-log and --query-field")
        if self.index is not None and self.corpus is not None:
            raise click.UsageError("give either --index or --corpus")
        if self.given and self.index is None and self.corpus is None:
            raise click.UsageError("queries need documents to rank: give --index NAME or --corpus FILE")
        if self.given and not (self.cross_encoders or self.scores):
            raise click.UsageError("queries need a teacher of rankings: give --cross-encoder or --scores")
        if not self.given and (self.scores or self.candidates):
            raise click.UsageError("--scores and --candidates need the queries' texts: give --queries")
        if self.translated.document_files and self.index is None and self.corpus is None:
            raise click.UsageError("--translations need their originals: give --index NAME or --corpus FILE")
        if self.translated.query_files and not self.given:
            raise click.UsageError("--translated-queries need their originals: give --queries")

    @property
    def given(self) -> bool:
        """Return whether there are queries, so that rankings can be learned."""
        return any(place is not None for place in (self.queries, self.query_log, self.query_field))

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of candidates, without the one that queries are taken from.

        A document that holds its query word for word would teach to look for nothing else.
        """
        named = self.named_fields
        return tuple(field for field in named if field != self.query_field) or named

    @property
    def named_fields(self) -> tuple[str, ...]:
        """All fields of a document: what will be embedded, and so what embeddings are learnt from."""
        return tuple(field.strip() for field in self.text_fields.split(",") if field.strip())

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
        """Compare the translations with the originals; raise like `check_coverage`."""
        return self.translated.coverage(self.originals) if self.translated.document_files else []

    def parallel(self) -> list[Passage]:
        """Return all parallel text from which embeddings are learned."""
        return self.translated.passages(self.originals if self.translated.document_files else {})

    def collected(self) -> Collected:
        """Return the sources in the form that the recipe's steps need."""
        from ce2de_os.distill.training.examples import Collected

        return Collected(
            self._queries, self._searches, self._fetch, self.translated.languages, self.translated.queries,
            self.translated.skip,
        )  # fmt: skip

    def texts(self, run: Path, phase: Phase, words: int, seed: int) -> list[Path]:
        """Return the corpus as training texts, or write the index's documents to a file as such.

        Empty if there is neither. If the index has more than ``words`` words, a random sample by ``seed``.
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

        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        count = taken = 0
        documents = field_texts(self.client, str(self.index), self.named_fields, seed)
        with closing(documents), gzip.open(partial, "wt", encoding="utf-8", compresslevel=4) as file:
            for count, (_, text) in enumerate(documents, start=1):
                file.write(json.dumps({"text": text.encode("utf-8", "replace").decode()}) + "\n")
                phase("documents", count, count + 1)
                taken += len(text.split())
                if taken > words:
                    break
        if not count:
            raise DataError(f"'{self.index}': no document has text in {self.text_fields}; see --text-fields")
        partial.replace(path)
        phase("documents", count, count)

    def _queries(self) -> QuerySet:
        from ce2de_os.distill.data import queries

        if self.queries is not None:
            return queries.queries_from_file(self.queries, self.max_queries)
        if self.query_log is not None:
            return queries.queries_from_log(self.query_log, self.log_field, self.max_queries)
        return queries.queries_from_documents(self._field_values(), self.max_queries)

    def _field_values(self) -> Iterator[tuple[str, str]]:
        from ce2de_os.index.documents import field_texts
        from ce2de_os.records import json_lines

        if self.index is not None:
            yield from field_texts(self.client, self.index, [str(self.query_field)])
            return
        for place, row in json_lines(Path(str(self.corpus))):
            if not isinstance(row.get("_id"), str):
                raise DataError(f"{place}: missing '_id', or it is not a string")
            yield row["_id"], str(row.get(str(self.query_field)) or "")

    def _searches(self, asked: QuerySet) -> Mapping[str, Retrieve]:
        if self.candidates is not None:
            from ce2de_os.distill.data.candidates import imported

            known: Container[str] = self.documents if self.corpus is not None else _Everything()
            return {f"import {self.candidates}": imported(self.candidates, asked.queries, known)}
        language = self.translated.languages.selector.documents[0]
        given = self.index if language == self.translated.languages.original else None
        index = self.translated.selector_index or given
        return dict(self._live_searches(index) if index is not None else self._local_searches(language))

    def _live_searches(self, index: str) -> Iterator[tuple[str, Retrieve]]:
        from ce2de_os.model.encoder import OnnxEncoder
        from ce2de_os.search.retrieve import Bm25Retriever, DenseRetriever

        bm25 = Bm25Retriever(self.client, index, self.fields)
        yield f"BM25 {index} {','.join(self.fields)}", bm25
        if self.dense_candidates:
            encoder = OnnxEncoder(self.settings.artifact, threads=self.settings.threads)
            yield f"dense {index} {encoder.fingerprint}", DenseRetriever(self.client, index, encoder)

    def _local_searches(self, language: str) -> Iterator[tuple[str, Retrieve]]:
        from ce2de_os.distill.data.local_retrieve import bm25_retriever, dense_retriever
        from ce2de_os.model.encoder import OnnxEncoder

        documents = self._in_language(language)
        ids, texts = list(documents), list(documents.values())
        yield (
            f"BM25 {self.translated.document_files.get(language, self.corpus)}",
            bm25_retriever(ids, texts, language),
        )
        if self.dense_candidates:
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
        return document.text if self.query_field == "title" else document.whole


class _Everything:
    """Contains every id: which documents an index has is only known when their texts are fetched."""

    def __contains__(self, doc_id: object) -> bool:
        return True
