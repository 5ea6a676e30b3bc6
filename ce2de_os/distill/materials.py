"""From texts, queries and scores to tokens and targets: what a training run needs in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.ranking import RankingSet, ranking_set
from ce2de_os.distill.teacher import SHARD_TEXTS, Teacher, teacher_shards
from ce2de_os.distill.texts import Passage, sample_passages
from ce2de_os.records import ScoredDoc

_WORDS_PER_TOKEN = 0.57  # English prose in WordPieces, special tokens included

Phase = Callable[[str, int, int], None]
"""Receives the name of a step, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Examples:
    """Queries with candidates that a cross-encoder has scored.

    Attributes:
        queries: text by query id.
        documents: text by document id.
        scores: by query id, its candidates with the cross-encoder's logits.
        positives: by query id, the document known to answer it; queries may be absent.
    """

    queries: Mapping[str, str]
    documents: Mapping[str, str]
    scores: Mapping[str, Sequence[ScoredDoc]]
    positives: Mapping[str, str]


def read_passages(texts: Sequence[Path], config: DistillConfig, phase: Phase) -> list[Passage]:
    """The passages that the text losses learn from."""
    phase("texts", 0, 1)
    passages = sample_passages(texts, int(config.unique_tokens * _WORDS_PER_TOKEN), config.seed)
    phase("texts", 1, 1)
    return passages


def token_ids(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids of each text, special tokens included, cut to ``max_length``."""
    tokenizer.enable_truncation(max_length)
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
    tokenizer.no_truncation()
    return ids


def teacher_targets(
    teacher: Teacher, texts: Sequence[str], config: DistillConfig, cache: Path, precision: str, phase: Phase
) -> NDArray[np.float16]:
    """The teacher's embeddings of ``texts``, ``(N, D)`` float16, from ``cache`` where they are known."""
    ids = token_ids(teacher.tokenizer, texts, config.max_length)
    shards: list[NDArray[np.float16]] = [np.empty((0, teacher.dim), dtype=np.float16)]
    phase("teacher", 0, len(ids))
    for shard in teacher_shards(teacher, ids, cache, precision):
        shards.append(shard)
        phase("teacher", min((len(shards) - 1) * SHARD_TEXTS, len(ids)), len(ids))
    return np.concatenate(shards)


def tokenized(examples: Examples, tokenizer: Tokenizer, config: DistillConfig) -> RankingSet:
    """The examples in the student's tokens; only documents that are somebody's candidate are kept."""
    named = {doc.doc_id for run in examples.scores.values() for doc in run}
    kept = {doc_id: text for doc_id, text in examples.documents.items() if doc_id in named}
    asked = {query: text for query, text in examples.queries.items() if query in examples.scores}
    return ranking_set(
        dict(zip(asked, token_ids(tokenizer, list(asked.values()), config.max_length), strict=True)),
        dict(zip(kept, token_ids(tokenizer, list(kept.values()), config.max_length), strict=True)),
        examples.scores,
        examples.positives,
        config.candidates,
    )
