"""Find hard negatives for a cross-encoder's pairs: passages that a search ranks high and that do not answer.

They are the setting in which a cross-encoder must be better than the first stage (Nogueira and Cho, arXiv
1901.04085). Words and vectors err in different ways, so the results of both take turns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import bm25s
import numpy as np

from ce2de_os.arrays import Embeddings
from ce2de_os.distill.data.candidates import interleave
from ce2de_os.distill.data.pairs import TrainingPair, read_pairs, write_pairs
from ce2de_os.evaluation.exact import best_first
from ce2de_os.progress import Progress

POOL = 30
"""Hard negatives kept for each query; every pass over the data draws from them anew."""

ALIKE = 0.95
"""Passages with more than this share of the positive's similarity are no negatives: many are answers that are
not marked as such (arXiv 2407.15831)."""

_WORD = r"\w+"
_AT_ONCE = 256  # queries, or passages to embed

Search = Callable[[Sequence[str], int], list[list[str]]]
"""Returns the best passages for each query."""


class TextEncoder(Protocol):
    """Embeds queries and documents to ``(B, D)`` float32, rows of length 1."""

    @property
    def fingerprint(self) -> str:
        """Name the model by its content."""

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        """Embed queries."""

    def encode_documents(self, texts: Sequence[str]) -> Embeddings:
        """Embed documents."""


def mine_negatives(
    pairs: Sequence[TrainingPair],
    encoder: TextEncoder | None = None,
    *,
    pool: int = POOL,
    progress: Progress = lambda done, total: None,
) -> list[TrainingPair]:
    """Give each pair without negatives the ``pool`` best matches among the other pairs' passages.

    A passage with the text of any of the query's positives is never one of them. A query that matches
    nothing gets none.

    Args:
        pairs: the pairs; all their passages are searched.
        encoder: finds matches by vectors too; ``None``: BM25 alone.
        pool: negatives of each pair.
        progress: receives the number of passages and queries done, and of all.
    """
    mined = list(pairs)
    waiting = [row for row, pair in enumerate(pairs) if not pair.negatives]
    if not waiting:
        return mined
    passages = list(dict.fromkeys(pair.positive for pair in pairs))
    own: dict[str, set[str]] = {}
    for pair in pairs:
        own.setdefault(pair.query, set()).add(pair.positive)
    total = len(waiting) + (len(passages) if encoder is not None else 0)
    searches = [_by_words(passages)]
    if encoder is not None:
        searches.append(_by_vectors(passages, encoder, own, lambda done: progress(done, total)))
    depth = min(len(passages), pool + max(len(own[pairs[row].query]) for row in waiting))
    for start in range(0, len(waiting), _AT_ONCE):
        rows = waiting[start : start + _AT_ONCE]
        queries = [pairs[row].query for row in rows]
        found = [search(queries, depth) for search in searches]
        for row, query, *rankings in zip(rows, queries, *found, strict=True):
            hard = [text for text in interleave(rankings, 2 * depth) if text not in own[query]]
            mined[row] = replace(pairs[row], negatives=tuple(hard[:pool]))
        progress(total - len(waiting) + start + len(rows), total)
    return mined


def mined_once(
    pairs: Sequence[TrainingPair],
    encoder: TextEncoder | None,
    folder: Path,
    progress: Progress = lambda done, total: None,
) -> list[TrainingPair]:
    """Mine negatives, or read them if the same call has written them to ``folder`` before.

    Pairs that all have negatives are returned as they are.
    """
    if all(pair.negatives for pair in pairs):
        return list(pairs)
    digest = hashlib.sha256(repr((pairs, encoder and encoder.fingerprint)).encode("utf-8", "replace"))
    path = folder / f"pairs-mined-{digest.hexdigest()[:12]}.jsonl.gz"
    if not path.exists():
        mined = mine_negatives(pairs, encoder, progress=progress)
        folder.mkdir(parents=True, exist_ok=True)
        write_pairs(path, mined)
    return list(_sharing_texts(read_pairs(path)))


def _sharing_texts(pairs: Iterable[TrainingPair]) -> Iterator[TrainingPair]:
    """Keep each passage in memory once: it is the negative of many pairs."""
    known: dict[str, str] = {}
    for pair in pairs:
        positive, *negatives = (known.setdefault(text, text) for text in (pair.positive, *pair.negatives))
        yield replace(pair, positive=positive, negatives=tuple(negatives))


def _by_words(passages: Sequence[str]) -> Search:
    """Create a BM25 search; passages that share no word with a query are not found."""
    words = _words(passages)
    if not any(words):
        return lambda queries, depth: [[] for _ in queries]
    index = bm25s.BM25()
    index.index(words, show_progress=False)

    def search(queries: Sequence[str], depth: int) -> list[list[str]]:
        found, scores = index.retrieve(_words(queries), k=depth, show_progress=False)
        return [
            [passages[place] for place, score in zip(places, values, strict=True) if score > 0]
            for places, values in zip(found, scores, strict=True)
        ]

    return search


def _by_vectors(
    passages: Sequence[str],
    encoder: TextEncoder,
    own: Mapping[str, set[str]],
    progress: Callable[[int], None],
) -> Search:
    """Create an exact search by vectors; passages about as similar as a positive are left out."""
    parts = []
    for start in range(0, len(passages), _AT_ONCE):
        parts.append(encoder.encode_documents(passages[start : start + _AT_ONCE]))
        progress(min(start + _AT_ONCE, len(passages)))
    vectors = np.concatenate(parts)
    place_of = {text: place for place, text in enumerate(passages)}

    def search(queries: Sequence[str], depth: int) -> list[list[str]]:
        rankings = []
        for query, scores in zip(queries, encoder.encode_queries(queries) @ vectors.T, strict=True):
            limit = ALIKE * max(float(scores[place_of[text]]) for text in own[query])
            scores[scores > limit] = -np.inf
            best = best_first(scores, depth)
            rankings.append([passages[place] for place in best if np.isfinite(scores[place])])
        return rankings

    return search


def _words(texts: Sequence[str]) -> list[list[str]]:
    words: list[list[str]] = bm25s.tokenize(
        list(texts), stopwords=None, token_pattern=_WORD, return_ids=False, show_progress=False
    )
    return words
