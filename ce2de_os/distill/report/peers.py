"""The systems that a student is compared with, and a cache for those that take minutes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import bm25s
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ce2de_os.arrays import Embeddings, l2_normalize, read_array, write_array
from ce2de_os.distill.data.prefixes import NO_PREFIXES, Prefixes
from ce2de_os.distill.models.teacher import Teacher, embed_ids
from ce2de_os.distill.precision import resolve
from ce2de_os.evaluation import Collection, Runs
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import BATCH_TOKENS, OnnxEncoder
from ce2de_os.records import ScoredDoc
from ce2de_os.student import StudentModel

Embed = Callable[[Sequence[str]], Embeddings]
"""Texts to ``(B, D)`` embeddings in the order given."""

Done = Callable[[int], None]
"""Receives the number of finished items."""

BM25_K1, BM25_B = 1.2, 0.75  # the defaults of OpenSearch
BM25_WORDS = "lower-cased words of two or more letters or digits, without bm25s's 33 English stop words"
SIF_A = 1e-3
MAX_LENGTH = 256
CHUNK = 512
"""Items that are computed and stored together: less than a minute's work for a 6-layer encoder on a core."""


class Scorer(Protocol):
    """A cross-encoder, such as `ce2de_os.distill.models.cross_encoder.CrossEncoder`."""

    def logits(self, pairs: Sequence[tuple[str, str]], /) -> NDArray[np.float32]:
        """Compute the relevance of each pair of query and document, ``(B,)``, higher is better."""


@dataclass(frozen=True)
class Peer:
    """An encoder to be measured.

    Attributes:
        name: for people.
        key: cache key of the vectors: weights, lengths, number format.
        encode_queries: returns embeddings of queries.
        encode_documents: returns embeddings of documents.
    """

    name: str
    key: str
    encode_queries: Embed
    encode_documents: Embed


def teacher_peer(
    teacher: Teacher,
    prefixes: Prefixes = NO_PREFIXES,
    *,
    max_length: int = MAX_LENGTH,
    precision: str = "auto",
) -> Peer:
    """Return the DE that the student was made from, in PyTorch, at full depth, with its own prefixes.

    It gets the same small batches as the student, in which PyTorch is at least as fast on a CPU as in large
    ones.
    """
    number_format = resolve(precision)
    tokenize = _tokenize(teacher.tokenizer, max_length)

    def encode(texts: Sequence[str]) -> Embeddings:
        return embed_ids(teacher.embed, tokenize(texts), number_format, BATCH_TOKENS)

    key = f"{teacher.digest} {teacher.pooling} {max_length} {number_format}"
    if any(prefixes):
        key += f" {tuple(prefixes)}"
    return Peer(
        f"{teacher.name}, {number_format}, PyTorch", key,
        lambda texts: encode(prefixes.queries(texts)), lambda texts: encode(prefixes.documents(texts)),
    )  # fmt: skip


def student_peer(encoder: OnnxEncoder) -> Peer:
    """Return the exported student, as it is served."""
    return Peer(
        f"{encoder.artifact.name}, int8, ONNX Runtime", encoder.fingerprint,
        encoder.encode_queries, encoder.encode_documents,
    )  # fmt: skip


def float_student_peer(run: Path, artifact: Artifact) -> Peer:
    """Load the unquantized student of a run folder; length and prefixes are the artifact's.

    Raises:
        DataError: ``run`` holds no finished student.
    """
    student = StudentModel.load(run)
    tokenize = _tokenize(Tokenizer.from_file(str(artifact.tokenizer_path)), artifact.max_length)

    def encode(texts: Sequence[str]) -> Embeddings:
        return embed_ids(student, tokenize(texts), "fp32")

    before = Prefixes(artifact.query_prefix, artifact.document_prefix)
    return Peer(
        f"{artifact.name}, fp32, PyTorch", f"{artifact.fingerprint} fp32",
        lambda texts: encode(before.queries(texts)), lambda texts: encode(before.documents(texts)),
    )  # fmt: skip


@dataclass(frozen=True)
class StaticTable:
    """One vector for each token of the vocabulary, looked up instead of computed from context.

    Attributes:
        vectors: ``(V, D)``, row ``t`` the DE's embedding of token ``t`` alone.
        tokenize: texts to token ids without special tokens.
    """

    vectors: Embeddings
    tokenize: Callable[[Sequence[str]], list[list[int]]]

    def fit(self, documents: Sequence[str]) -> Embed:
        """Return an embed function with the collection's token weights, without its common direction.

        A text's vector is the mean over its tokens of ``a / (a + p(t)) * vector(t)``, ``a`` 0.001 and ``p``
        the token's share of the documents' tokens; the direction that the documents' vectors have most in
        common (their first singular vector) is removed, and the rest is scaled to length 1. Source: Arora,
        Liang, Ma, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", ICLR 2017.
        """
        rows = self.tokenize(documents)
        counts = Counter(token for row in rows for token in row)
        shares = np.zeros(len(self.vectors))
        shares[list(counts)] = np.array(list(counts.values())) / max(1, counts.total())
        weighted = self.vectors * (SIF_A / (SIF_A + shares))[:, None].astype(np.float32)
        common = _first_direction(_means(weighted, rows))

        def embed(texts: Sequence[str]) -> Embeddings:
            means = _means(weighted, self.tokenize(texts))
            return l2_normalize(means - np.outer(means @ common, common))

        return embed


def static_table(teacher: Teacher, cache: Path | None, done: Done = lambda count: None) -> StaticTable:
    """Embed each token of the teacher's vocabulary alone, between the special tokens of a text.

    ``cache`` keeps the vectors; ``None`` means that nothing is kept.
    """
    before, after = _special_tokens(teacher.tokenizer)
    tokens = [[*before, token, *after] for token in range(teacher.model.config.vocab_size)]
    vectors = kept_rows(
        cache, f"{teacher.digest} {teacher.pooling} token", tokens,
        lambda ids: embed_ids(teacher.embed, ids, "fp32"), done, chunk=8192,
    )  # fmt: skip
    return StaticTable(vectors, _tokenize(teacher.tokenizer, None))


def bm25_runs(collection: Collection, top_k: int = 100) -> Runs:
    """Rank by BM25 as Lucene computes it, with k1 1.2 and b 0.75, without stemming.

    A document without any of the query's words is not in the run; equal scores are ordered as in the corpus.
    """
    words = _words(collection.documents)
    index = bm25s.BM25(k1=BM25_K1, b=BM25_B, method="lucene")
    # An artificial word keeps the index from being empty if no document has a word.
    index.index([row or [""] for row in words], show_progress=False)
    runs: dict[str, list[ScoredDoc]] = {}
    for query_id, query in zip(collection.query_ids, _words(collection.queries), strict=True):
        known = [word for word in query if word in index.vocab_dict]
        scores = index.get_scores(known) if known else np.zeros(len(words))
        best = np.argsort(-scores, kind="stable")[:top_k]
        runs[query_id] = [
            ScoredDoc(collection.doc_ids[row], float(scores[row])) for row in best if scores[row] > 0
        ]
    return runs


def kept_rows(
    folder: Path | None,
    key: str,
    items: Sequence[Any],
    compute: Callable[[Sequence[Any]], NDArray[np.float32]],
    done: Done = lambda count: None,
    chunk: int = CHUNK,
) -> NDArray[np.float32]:
    """Compute one row per item, in chunks that are kept in ``folder`` by the hash of their content.

    A new call resumes an interrupted one. ``key`` names the computation of the rows; ``items`` are texts or
    anything that JSON can write. ``folder`` ``None`` means that nothing is kept.
    """
    parts = []
    for start in range(0, len(items), chunk):
        part = items[start : start + chunk]
        parts.append(compute(part) if folder is None else _kept(folder, key, part, compute))
        done(start + len(part))
    return np.concatenate(parts)


def _kept(
    folder: Path, key: str, items: Sequence[Any], compute: Callable[[Sequence[Any]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    name = hashlib.sha256(json.dumps([key, *items]).encode()).hexdigest()[:32]
    path = folder / f"{name}.npy"
    rows = read_array(path)
    if rows is None:
        rows = compute(items)
        write_array(path, rows)
    return rows


def _tokenize(tokenizer: Tokenizer, max_length: int | None) -> Callable[[Sequence[str]], list[list[int]]]:
    """Return a function that tokenizes and cuts texts; ``None``: whole texts, no special tokens."""
    own = Tokenizer.from_str(tokenizer.to_str())  # the caller's tokenizer keeps its settings
    own.no_padding()
    own.no_truncation() if max_length is None else own.enable_truncation(max_length)

    def tokenize(texts: Sequence[str]) -> list[list[int]]:
        special = max_length is not None
        return [row.ids for row in own.encode_batch_fast(list(texts), add_special_tokens=special)]

    return tokenize


def _special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the special tokens that a tokenizer puts before and after a text."""
    encoded = tokenizer.encode("a")
    own = [position for position, special in enumerate(encoded.special_tokens_mask) if not special]
    return encoded.ids[: own[0]], encoded.ids[own[-1] + 1 :]


def _means(vectors: Embeddings, rows: Sequence[Sequence[int]]) -> Embeddings:
    """Average the vectors of each row of token ids; zeros for an empty row."""
    nothing = np.zeros(vectors.shape[1], dtype=np.float32)
    return np.stack([vectors[list(row)].mean(axis=0) if row else nothing for row in rows])


def _first_direction(vectors: Embeddings) -> NDArray[np.float32]:
    """Compute the first right singular vector of ``(B, D)``, of length 1."""
    doubles = vectors.astype(np.float64)
    return np.asarray(np.linalg.eigh(doubles.T @ doubles).eigenvectors[:, -1], dtype=np.float32)


def _words(texts: Sequence[str]) -> list[list[str]]:
    words: list[list[str]] = bm25s.tokenize(
        list(texts), stopwords="english", return_ids=False, show_progress=False
    )
    return words
