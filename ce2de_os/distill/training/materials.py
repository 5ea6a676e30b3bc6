"""Prepare tokens and targets for a training run, from texts, queries and scores."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ce2de_os.distill.config import DistillConfig
from ce2de_os.distill.data.texts import TrainingPassage, is_packed, packed_passages, sample_passages
from ce2de_os.distill.models.teacher import Teacher, teacher_shards
from ce2de_os.distill.training.ranking import ranking_set
from ce2de_os.distill.training.ranking_data import RankingSet
from ce2de_os.errors import DataError
from ce2de_os.progress import Phase
from ce2de_os.records import ScoredDoc

logger = logging.getLogger(__name__)

_TOKENIZED = 8192  # texts, or pairs of parallel text, that are tokenized at a time
_WORDS_PER_TOKEN = 0.57  # English prose in WordPieces, special tokens included


@dataclass(frozen=True)
class Examples:
    """Queries with candidates that a cross-encoder has scored.

    Attributes:
        queries: text by query id.
        documents: by language, text by document id; documents without a translation are absent.
        scores: by query id, its candidates with the cross-encoder's logits.
        positives: by query id, the document known to answer it; queries may be absent.
    """

    queries: Mapping[str, str]
    documents: Mapping[str, Mapping[str, str]]
    scores: Mapping[str, Sequence[ScoredDoc]]
    positives: Mapping[str, str]


def read_passages(
    texts: Sequence[Path],
    translations: Sequence[TrainingPassage],
    tokenizers: tuple[Tokenizer, Tokenizer],
    config: DistillConfig,
    phase: Phase,
) -> list[TrainingPassage]:
    """Choose the passages that the text losses learn from.

    Args:
        texts: files to cut passages from, or one packed file, see `packed_passages`.
        translations: passages with the text that the teacher reads instead (Reimers & Gurevych 2020, arXiv
            2004.09813). One that is longer than ``max_length`` in either language is left out: a text and its
            translation would be cut at different places.
        tokenizers: the student's and the teacher's.
        config: the number of tokens to take.
        phase: receives the progress.

    Raises like `sample_passages` and `packed_passages`; `DataError` too if a packed file is not alone.
    """
    phase("texts", 0, 1)
    most = int(config.unique_tokens * _WORDS_PER_TOKEN)
    if any(is_packed(path) for path in texts):
        if len(texts) > 1 or translations:
            raise DataError(
                f"texts: got {len(texts)} files and {len(translations)} translations, expected a packed file "
                "alone: it is read in its own order; pack all texts together"
            )
        passages = packed_passages(texts[0], most)
    else:
        words = _words_of(translations, tokenizers, config.max_length)
        passages = sample_passages(texts, most, config.seed, words)
    phase("texts", 1, 1)
    return passages


def _words_of(
    translations: Sequence[TrainingPassage], tokenizers: tuple[Tokenizer, Tokenizer], max_length: int
) -> dict[TrainingPassage, int]:
    """Convert the token count of each translation that fits to words of English with as many tokens."""
    found: dict[TrainingPassage, int] = {}
    for start in range(0, len(translations), _TOKENIZED):
        part = translations[start : start + _TOKENIZED]
        texts = [passage.text for passage in part], [passage.original or passage.text for passage in part]
        students, teachers = (
            [len(ids) for ids in token_ids(tokenizer, one, max_length + 1)]
            for tokenizer, one in zip(tokenizers, texts, strict=True)
        )
        for passage, tokens, longest in zip(part, students, map(max, students, teachers), strict=True):
            if longest <= max_length:
                found[passage] = max(1, round(tokens * _WORDS_PER_TOKEN))
    if len(found) < len(translations):
        logger.warning(
            "%d of %d pairs of parallel text are left out: longer than %d tokens",
            len(translations) - len(found), len(translations), max_length,
            extra={"action": "read_passages"},
        )  # fmt: skip
    return found


def token_ids(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Tokenize each text; token ids include special tokens and are cut to ``max_length``."""
    tokenizer.enable_truncation(max_length)
    ids: list[list[int]] = []
    for start in range(0, len(texts), _TOKENIZED):  # an encoding is many times as large as its ids
        ids += [
            encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts[start : start + _TOKENIZED]))
        ]
    tokenizer.no_truncation()
    return ids


def teacher_targets(
    teacher: Teacher, texts: Sequence[str], config: DistillConfig, cache: Path, precision: str, phase: Phase
) -> NDArray[np.float16]:
    """Compute the teacher's embeddings of ``texts``, ``(N, D)`` float16, or read them from ``cache``."""
    ids = token_ids(teacher.tokenizer, texts, config.max_length)
    shards: list[NDArray[np.float16]] = [np.empty((0, teacher.dim), dtype=np.float16)]
    done = 0
    phase("teacher", done, len(ids))
    for shard in teacher_shards(teacher, ids, cache, precision):
        shards.append(shard)
        done += len(shard)
        phase("teacher", done, len(ids))
    return np.concatenate(shards)


def tokenized(examples: Examples, tokenizer: Tokenizer, config: DistillConfig) -> RankingSet:
    """Tokenize the examples for the student; only documents that are a candidate of a query are kept."""
    named = {doc.doc_id for run in examples.scores.values() for doc in run}
    asked = {query: text for query, text in examples.queries.items() if query in examples.scores}

    before = config.prefixes

    def tokens(ids: Iterable[str], texts: list[str]) -> dict[str, list[int]]:
        return dict(zip(ids, token_ids(tokenizer, texts, config.max_length), strict=True))

    documents = {}
    for language, texts in examples.documents.items():
        candidates = {doc_id: text for doc_id, text in texts.items() if doc_id in named}
        documents[language] = tokens(candidates, before.documents(candidates.values()))
    queries = tokens(asked, before.queries(asked.values()))
    return ranking_set(
        queries, documents, examples.scores, examples.positives, config.candidates, config.mixing
    )
