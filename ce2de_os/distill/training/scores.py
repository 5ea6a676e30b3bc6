"""Score candidates with a cross-encoder, and merge the scores of several."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ce2de_os.distill.data.score_file import (
    Ranking,
    is_finished,
    only_known,
    read_scores,
    write_in_parts,
    write_scores,
)
from ce2de_os.errors import ConfigError, DataError
from ce2de_os.progress import Progress
from ce2de_os.records import ScoredDoc

if TYPE_CHECKING:
    from ce2de_os.distill.models.cross_encoder import PairTeacher

PART_S = 15.0
"""Target time of a part in seconds, which an interruption loses."""

_FLOPS = {"cpu": 3e10, "cuda": 1e13}  # cautious guesses per second and device
_SMALLEST_PART, _LARGEST_PART = 16, 8192  # pairs
_CHARS_PER_TOKEN = 32  # text beyond max_length times this is not even tokenized
_SAMPLE = 200  # texts on which the vocabulary is checked
_MAX_UNKNOWN = 0.5
_BYTE = re.compile("<0x[0-9A-F]{2}>")  # sentencepiece's name for a byte


@dataclass(frozen=True)
class ScoreReport:
    """Counts of a teacher's scores; dropped are candidates that the collection does not have."""

    queries: int
    pairs: int
    dropped: int


@dataclass(frozen=True)
class MergeReport:
    """Counts of the merged scores.

    Attributes:
        queries: queries in the merged file.
        pairs: their documents.
        dropped_queries: queries that some teacher did not score, or with fewer than two common documents.
        dropped_pairs: documents of the kept queries that some teacher did not score.
    """

    queries: int
    pairs: int
    dropped_queries: int
    dropped_pairs: int


def score_candidates(
    teacher: PairTeacher,
    queries: Mapping[str, str],
    documents: Mapping[str, str],
    candidates: Path,
    out: Path,
    *,
    drop_unknown: bool = False,
    progress: Progress | None = None,
) -> ScoreReport:
    """Write the teacher's logit of every candidate to ``out``, a score file in the candidates' order.

    After an interruption the same call resumes and gives the same file as an uninterrupted call.

    Args:
        teacher: a loaded cross-encoder or sequence-to-sequence teacher.
        queries: texts by query id.
        documents: texts by document id.
        candidates: a score file; its scores are not used.
        out: the file to make, ``.gz`` or not.
        drop_unknown: leave out candidates that ``queries`` or ``documents`` do not have.
        progress: receives the number of pairs scored and of all.

    Raises:
        DataError: a file cannot be used, a candidate is unknown, ``out`` belongs to other work, or a logit
            is not finite.
        ConfigError: most of the texts' characters are unknown to the teacher.
    """
    read = list(read_scores(candidates))
    rankings = only_known(read, candidates, queries, documents, drop_unknown)
    offsets = np.cumsum([0, *(len(ranking) for _, ranking in rankings)])
    pairs = int(offsets[-1])
    work = _work(teacher, queries, documents, rankings)
    if not is_finished(out, work):
        check_vocabulary(teacher, [queries[query_id] for query_id, _ in rankings], "queries")
        check_vocabulary(teacher, [documents[doc.doc_id] for _, run in rankings for doc in run], "documents")

    def compute(part: range) -> list[Ranking]:
        chosen = [rankings[position] for position in part]
        texts = [
            (_readable(queries[query_id], teacher), _readable(documents[doc.doc_id], teacher))
            for query_id, ranking in chosen for doc in ranking
        ]  # fmt: skip
        logits = iter(teacher.logits(texts).tolist())
        return [
            (query_id, [ScoredDoc(doc.doc_id, next(logits)) for doc in ranking])
            for query_id, ranking in chosen
        ]

    def done(count: int) -> None:
        if progress:
            progress(int(offsets[count]), pairs)

    parts = list(_parts([len(ranking) for _, ranking in rankings], pairs_at_once(teacher)))
    write_in_parts(out, work, [query_id for query_id, _ in rankings], parts, compute, done)
    return ScoreReport(len(rankings), pairs, sum(len(ranking) for _, ranking in read) - pairs)


def check_vocabulary(teacher: PairTeacher, texts: Sequence[str], kind: str) -> None:
    """Reject a teacher whose tokenizer has no pieces for more than half of a sample of ``texts``.

    Characters are counted, not tokens: sentencepiece makes a mark and one unknown token of a word, and of a
    whole Chinese sentence. Words that fall apart into single bytes count as unknown too.

    Raises:
        ConfigError: it would score pairs that it cannot read; ``kind`` names the texts in the message.
    """
    tokenizer = teacher.tokenizer
    unread = {tokenizer.unk_token_id} | {
        token for piece, token in tokenizer.get_vocab().items() if _BYTE.fullmatch(piece)
    }
    sample = [_readable(text, teacher) for text in texts[:: -(-len(texts) // _SAMPLE) or 1]]
    unknown = seen = 0
    for text in sample:
        encoded = tokenizer(
            text, add_special_tokens=False, truncation=True, max_length=teacher.max_length,
            return_offsets_mapping=True,
        )  # fmt: skip
        spans = encoded["offset_mapping"]
        # The bytes of a word all have the word's span.
        lost = {span for span, token in zip(spans, encoded["input_ids"], strict=True) if token in unread}
        unknown += sum(_letters(text[slice(*span)]) for span in lost)
        seen += _letters(text[: max((end for _, end in spans), default=0)])
    if unknown > _MAX_UNKNOWN * seen:
        raise ConfigError(
            f"teacher '{teacher.name}': {unknown / seen:.0%} of the characters of your {kind} are unknown to "
            "it; use a cross-encoder that was trained for their language"
        )


def _letters(text: str) -> int:
    return len("".join(text.split()))


def pairs_at_once(teacher: PairTeacher) -> int:
    """Return the number of pairs between two writes: about 15 seconds of work.

    It is computed from the teacher's size and not measured: batches then hold the same pairs every time, so
    that a run can be repeated exactly.
    """
    speed = _FLOPS.get(teacher.device.type, _FLOPS["cpu"])
    pairs = int(PART_S * speed / (2 * teacher.active_weights * teacher.max_length))
    return min(max(pairs, _SMALLEST_PART), _LARGEST_PART)


def merge_scores(paths: Sequence[Path], out: Path) -> MergeReport:
    """Merge several teachers' score files of the same candidates into one.

    Teachers' logits have different scales, so each is standardized per query over the documents ``C`` that
    all teachers scored, and the results are averaged:

    ``score(d) = mean_t (s_t(d) - mean_C s_t) / std_C s_t``

    ``std`` is that of the population; a teacher that gives all of ``C`` the same score has no information
    and counts 0. The merged scores are in standard deviations, not logits. Queries come in the order of the
    first file, documents too.

    Args:
        paths: score files, at least two.
        out: the file to make, ``.gz`` or not.

    Raises:
        DataError: a file cannot be used, or no query has two documents that all teachers scored.
    """
    others = [dict(read_scores(path)) for path in paths[1:]]
    named = set().union(*others)
    queries = pairs = dropped_pairs = 0

    def merged() -> Iterator[Ranking]:
        nonlocal queries, pairs, dropped_pairs
        for query_id, first in read_scores(paths[0]):
            named.add(query_id)
            tables = [dict(run) for run in (first, *(other.get(query_id, []) for other in others))]
            common = [doc.doc_id for doc in first if all(doc.doc_id in table for table in tables)]
            if len(common) < 2:
                continue
            queries, pairs = queries + 1, pairs + len(common)
            dropped_pairs += len(set().union(*tables)) - len(common)
            scores = np.mean([_standardized([table[doc] for doc in common]) for table in tables], axis=0)
            yield query_id, [ScoredDoc(*pair) for pair in zip(common, scores.tolist(), strict=True)]
        if not queries:
            raise DataError(
                f"{', '.join(map(str, paths))}: no query has two documents that all of them scored; "
                "expected scores of the same candidates"
            )

    write_scores(out, merged())
    return MergeReport(queries, pairs, len(named) - queries, dropped_pairs)


def _standardized(scores: Sequence[float]) -> NDArray[np.float64]:
    values = np.array(scores, dtype=np.float64)
    spread = values.std()
    # Equal numbers have a spread of about 1e-16 times their size, not of 0.
    return (
        (values - values.mean()) / spread if spread > 1e-9 * np.abs(values).max() else np.zeros_like(values)
    )


def _parts(sizes: Sequence[int], most: int) -> Iterator[range]:
    """Yield consecutive queries with at most ``most`` pairs together, but at least one query."""
    start = pairs = 0
    for position, size in enumerate(sizes):
        if position > start and pairs + size > most:
            yield range(start, position)
            start, pairs = position, 0
        pairs += size
    yield range(start, len(sizes))


def _readable(text: str, teacher: PairTeacher) -> str:
    """Return the part of a text that the teacher may read; lone surrogates become '?'."""
    return text[: teacher.max_length * _CHARS_PER_TOKEN].encode("utf-8", "replace").decode("utf-8")


def _work(
    teacher: PairTeacher,
    queries: Mapping[str, str],
    documents: Mapping[str, str],
    rankings: Sequence[Ranking],
) -> str:
    digest = hashlib.sha256(f"{teacher.digest} {teacher.max_length} {teacher.precision}".encode())
    for query_id, ranking in rankings:
        row = [query_id, queries[query_id], *([doc.doc_id, documents[doc.doc_id]] for doc in ranking)]
        digest.update(json.dumps(row).encode("ascii"))
    return digest.hexdigest()
