"""The data of the ranking losses: queries, candidate documents, and the cross-encoder's logits."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ce2de_os.distill.data.languages import Mixing
from ce2de_os.distill.training.mixing import Mixer, usable_languages
from ce2de_os.distill.training.ranking_data import RankingBatch, RankingSet
from ce2de_os.errors import DataError
from ce2de_os.records import ScoredDoc

logger = logging.getLogger(__name__)


def ranking_set(
    queries: Mapping[str, Sequence[int]],
    documents: Mapping[str, Mapping[str, Sequence[int]]],
    scores: Mapping[str, Sequence[ScoredDoc]],
    positives: Mapping[str, str],
    minimum: int,
    mixing: Mixing = "entries",
) -> RankingSet:
    """Join tokenized texts and scores by id; ``documents`` are given by language.

    A query's positive is the document that ``positives`` names if it is among the candidates, else the one
    with the highest score. Queries with fewer than ``minimum`` candidates, see `usable_languages`, are left
    out and counted in a log message.

    Raises:
        DataError: no query has enough candidates in one of the languages, or an id has no text.
    """
    position = {doc_id: row for row, doc_id in enumerate(dict.fromkeys(_ids(documents)))}
    unknown = [query for query in scores if query not in queries]
    unknown += [doc.doc_id for run in scores.values() for doc in run if doc.doc_id not in position]
    if unknown:
        raise DataError(f"scores name {len(unknown):,} ids without a text, the first is '{unknown[0]}'")
    ordered = {query: _positive_first(run, positives.get(query)) for query, run in scores.items()}
    versions = {
        language: [texts.get(doc_id, ()) for doc_id in position] for language, texts in documents.items()
    }
    joined = RankingSet(
        [queries[query] for query in scores],
        versions,
        [np.array([position[doc.doc_id] for doc in run], dtype=np.int64) for run in ordered.values()],
        [np.array([doc.score for doc in run], dtype=np.float32) for run in ordered.values()],
    )
    return _large_enough(joined, minimum, mixing)


def ranking_batches(
    data: RankingSet,
    queries: int,
    candidates: int,
    seed: int,
    *,
    mixing: Mixing = "entries",
    keep_positive: bool = True,
) -> Iterator[RankingBatch]:
    """Yield endless batches of ``queries`` sets of ``candidates`` documents, one set per query.

    The documents are drawn at random from all of a query's, other ones at every visit, as Translate-Distill
    draws 6 of 50 (arXiv 2401.04810); ``keep_positive`` always takes the positive, and puts it first. In
    round robin a query has a set for each language, so that a batch has fewer of them. The sequence depends
    on the arguments only.
    """
    mixer = Mixer(data, candidates, mixing, keep_positive=keep_positive)
    sets = len(data.documents) if mixing == "round-robin" else 1
    size, epoch = min(max(1, queries // sets), len(data.queries)), 0
    while True:
        rng = np.random.default_rng((seed, epoch))
        order = rng.permutation(len(data.queries))
        for start in range(0, len(order) - size + 1, size):
            drawn = mixer.draw(order[start : start + size].tolist(), rng)
            yield RankingBatch(
                [entry.query for entry in drawn],
                np.stack([data.candidates[entry.query][entry.places] for entry in drawn]),
                np.stack([data.logits[entry.query][entry.places] for entry in drawn]),
                np.stack([entry.languages for entry in drawn]),
            )
        epoch += 1


def _ids(documents: Mapping[str, Mapping[str, Sequence[int]]]) -> Iterator[str]:
    for texts in documents.values():
        yield from texts


def _large_enough(data: RankingSet, minimum: int, mixing: Mixing) -> RankingSet:
    """Return the queries with enough candidates, if there are some in each language."""
    usable = [usable_languages(data.translated[:, row], minimum, mixing) for row in data.candidates]
    for number, language in enumerate(data.documents):
        if not any(number in languages for languages in usable):
            where = f" in '{language}'" if len(data.documents) > 1 else ""
            raise DataError(
                f"no query has the {minimum} scored candidates{where} that a batch takes of each; "
                "lower rankings.compared_candidates, or find more candidates"
            )
    kept = [row for row, languages in enumerate(usable) if languages]
    if len(kept) < len(usable):
        logger.warning(
            "%d of %d queries are left out: fewer than %d candidates",
            len(usable) - len(kept), len(usable), minimum, extra={"action": "ranking_set"},
        )  # fmt: skip
    return data.only(kept)


def _positive_first(run: Sequence[ScoredDoc], positive: str | None) -> list[ScoredDoc]:
    return sorted(run, key=lambda doc: (doc.doc_id != positive, -doc.score))
