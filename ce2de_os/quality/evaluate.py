"""Compare ways to search one index on judged queries, in its own cluster.

Quality is measured in batches, with every query's vector and every pair's logit computed once; latency in
single searches, with no cache between them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from opensearchpy import OpenSearch

from ce2de_os.errors import ConfigError, DataError
from ce2de_os.evaluation import Judged, Runs, mean, measure
from ce2de_os.evaluation.figures import MAIN_METRIC, Figure, compare_with_references
from ce2de_os.index.client import WHOLE, backend_errors, with_part
from ce2de_os.progress import Phase
from ce2de_os.quality.comparison import (
    Comparison,
    ComparisonSettings,
    Latency,
    SystemResult,
    Tuning,
)
from ce2de_os.quality.systems import CE, MAX_SIM, System, Weighting, grid, systems
from ce2de_os.records import Hit, ScoredDoc
from ce2de_os.search.late_interaction import LateInteraction
from ce2de_os.search.question import Fusion, QuestionOptions
from ce2de_os.search.rerank import Reranker
from ce2de_os.search.searcher import HybridSearcher
from ce2de_os.search.vectors import QueryEncoder

LATENCY_TOP_K = 10
_BATCH = 20  # queries in one `_msearch`
_IDS = 1000  # ids in one look-up

Keep = Callable[[str, Runs], None]
"""Receives a system's name and its rankings of every query."""


def evaluate(
    client: OpenSearch,
    index: str,
    encoder: QueryEncoder,
    judged: Judged,
    *,
    reranker: Reranker | None = None,
    settings: ComparisonSettings | None = None,
    phase: Phase = lambda name, done, total: None,
    keep: Keep = lambda name, runs: None,
) -> Comparison:
    """Search every judged query in every way, and compare.

    Args:
        client: the connection to OpenSearch.
        index: an index or an alias with vectors of ``encoder``.
        encoder: encodes the queries.
        judged: the result of `ce2de_os.evaluation.load_judged`.
        reranker: scores the best hits again, in systems of its own.
        settings: how to compare; ``None``: the defaults.
        phase: receives the progress.
        keep: receives each system's rankings, as soon as they are complete.

    Raises:
        ConfigError: a setting is outside its bounds.
        DataError: no relevant document is in the index, or there are too few queries to split.
        IndexSchemaError: no such index, or no vectors in it.
        ArtifactMismatchError: its vectors are another model's.
        BackendError: OpenSearch does not answer, or rejects the request.
    """
    settings = settings or ComparisonSettings()
    if settings.top_k < 100:
        raise ConfigError(
            f"top_k: got {settings.top_k}, expected at least 100, since recall is computed there"
        )
    kept = _kept(reranker) if reranker else None
    asker = _Asker(_searcher(client, index, encoder, kept, settings, len(judged.queries)), judged, phase)
    asker.check()
    relevant = judged.relevant
    missing = len(relevant) - len(existing(client, index, relevant))
    if missing == len(relevant):
        raise DataError(
            f"{index}: none of the {missing:,} relevant documents is in it, the first is '{min(relevant)}'; "
            "expected judgments by the index's own _id"
        )
    tuning, tested = None, judged
    if settings.tune:
        dev, test = split(list(judged.queries), settings.seed)
        tuning, tested = asker.tune(dev, settings.fusions), judged.only(set(test))
    compared = _systems(settings, tuning, reranker)
    answers: dict[str, _Answers] = {}
    for system in compared:
        answers[system.name] = asker.ask(system.name, list(tested.queries), system.options)
        keep(system.name, answers[system.name].runs)
    references = {one.name: one.reference for one in compared if one.reference is not None}
    runs = {name: one.runs for name, one in answers.items()}
    figures = compare_with_references(tested.qrels, runs, references, Figure.of)
    single = _searcher(client, index, encoder, reranker, settings, 0)
    latencies = time_systems(single, compared, _sample(tested, settings), phase)
    results = [
        SystemResult(
            one.name, one.reference, one.options, answers[one.name].strategy, figures[one.name],
            answers[one.name].partial, latencies.get(one.name),
        )
        for one in compared
    ]  # fmt: skip
    return Comparison(
        index, len(tested.queries), missing, len(relevant), tuning, results, settings,
        len(judged.without_text),
    )  # fmt: skip


def split(query_ids: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Split queries into dev and test, in the given order; an odd query goes to test.

    Raises:
        DataError: there are fewer than 4 queries.
    """
    if len(query_ids) < 4:
        raise DataError(
            f"tuning: got {len(query_ids)} judged queries, expected at least 4, better 50 or more"
        )
    dev = set(random.Random(seed).sample(sorted(query_ids), len(query_ids) // 2))  # noqa: S311
    return [one for one in query_ids if one in dev], [one for one in query_ids if one not in dev]


def existing(client: OpenSearch, index: str, doc_ids: Collection[str]) -> set[str]:
    """Return the ``doc_ids`` that ``index``, which may be an alias of several indices, has.

    Raises:
        BackendError: OpenSearch does not answer, or rejects the request.
    """
    action = f"look for judged documents in {index}"
    found: set[str] = set()
    ordered = sorted(doc_ids)
    for start in range(0, len(ordered), _IDS):
        body = {
            "query": {"ids": {"values": ordered[start : start + _IDS]}}, "_source": False, "size": 10 * _IDS,
        }  # fmt: skip
        with backend_errors(action):
            answer = with_part(action, client.search(index=index, body=body, params=WHOLE), "hits")
        found.update(hit["_id"] for hit in answer["hits"]["hits"])
    return found


def time_systems(
    searcher: HybridSearcher, compared: Sequence[System], texts: Sequence[str], phase: Phase
) -> dict[str, Latency]:
    """Measure each system's latency, in turn for each query, so that noise affects all alike."""
    if not texts:
        return {}
    searcher.warm_up()
    times: dict[str, list[float]] = {system.name: [] for system in compared}
    for done, text in enumerate(texts):
        phase("Timing", done, len(texts))
        for system in compared:
            options: QuestionOptions = {**system.options, "top_k": LATENCY_TOP_K}
            start = time.perf_counter()
            searcher.search(text, **options)
            times[system.name].append(1000 * (time.perf_counter() - start))
    phase("Timing", len(texts), len(texts))
    return {name: Latency.of(values) for name, values in times.items()}


def first_of_each(hits: Iterable[Hit]) -> list[ScoredDoc]:
    """Convert hits to a run; an id that several indices hold counts only where it comes first."""
    found: dict[str, ScoredDoc] = {}
    for hit in hits:
        found.setdefault(hit.doc_id, ScoredDoc(hit.doc_id, hit.score))
    return list(found.values())


class KeptLogits:
    """A reranker that scores each pair once: the fusions find mostly the same documents."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        self._known: dict[tuple[str, str], float] = {}

    def score(self, query: str, documents: Sequence[str], /) -> NDArray[np.float32]:
        """Return the logits, ``(B,)`` float32; those not known yet are computed together, and kept."""
        new = [text for text in dict.fromkeys(documents) if (query, text) not in self._known]
        if new:
            logits = self._reranker.score(query, new)
            self._known |= {(query, text): float(logit) for text, logit in zip(new, logits, strict=True)}
        return np.array([self._known[query, text] for text in documents], dtype=np.float32)


class KeptMaxSim(LateInteraction):
    """Late interaction that scores each pair of texts once."""

    def __init__(self, late: LateInteraction) -> None:
        super().__init__(late.encoder, scoring=late.scoring)
        self._kept = KeptLogits(late)

    def score(self, query: str, documents: Sequence[str], /) -> NDArray[np.float32]:
        """See `KeptLogits.score`."""
        return self._kept.score(query, documents)


def _kept(reranker: Reranker) -> Reranker:
    return KeptMaxSim(reranker) if isinstance(reranker, LateInteraction) else KeptLogits(reranker)


def _systems(settings: ComparisonSettings, tuning: Tuning | None, reranker: Reranker | None) -> list[System]:
    name = None
    if reranker is not None:
        name = MAX_SIM if isinstance(reranker, LateInteraction) else CE
    reranking: QuestionOptions = {
        "rerank_depth": settings.rerank_depth,
        "rerank_weight": settings.rerank_weight,
    }
    return systems(settings.fusions, tuning.chosen if tuning else None, name, reranking)


@dataclass(frozen=True)
class _Answers:
    runs: Runs
    strategy: str | None
    partial: int


class _Asker:
    """Searches judged queries in batches."""

    def __init__(self, searcher: HybridSearcher, judged: Judged, phase: Phase) -> None:
        self._searcher, self._judged, self._phase = searcher, judged, phase

    def check(self) -> None:
        """Fail at once if the index has no vectors of this model, not after minutes of BM25."""
        self._searcher.search(next(iter(self._judged.queries.values())), mode="dense", rerank_depth=0)

    def ask(self, name: str, query_ids: Sequence[str], options: QuestionOptions) -> _Answers:
        """Search for every query; return rankings, strategy, and the number of incomplete answers."""
        runs: dict[str, list[ScoredDoc]] = {}
        strategies, partial = set(), 0
        self._phase(name, 0, len(query_ids))
        for batch in _batches(query_ids):
            texts = [self._judged.queries[query_id] for query_id in batch]
            results = self._searcher.search_many(texts, **options)
            for query_id, result in zip(batch, results, strict=True):
                runs[query_id] = first_of_each(result)
                strategies.add(result.strategy)
                partial += result.is_partial
            self._phase(name, len(runs), len(query_ids))
        return _Answers(runs, strategies.pop() if strategies else None, partial)

    def tune(self, query_ids: Sequence[str], fusions: Sequence[Fusion]) -> Tuning:
        """Search with every weighting; return the one with the best nDCG@10 on these queries."""
        qrels = self._judged.only(set(query_ids)).qrels
        tried = grid(fusions)
        found: list[tuple[float, Weighting]] = []
        for done, weighting in enumerate(tried):
            self._phase("Tuning", done, len(tried))
            quiet = _Asker(self._searcher, self._judged, lambda name, done, total: None)
            runs = quiet.ask(str(weighting), query_ids, {**weighting.options, "rerank_depth": 0}).runs
            found.append((mean(measure(qrels, runs, MAIN_METRIC)), weighting))
        self._phase("Tuning", len(tried), len(tried))
        found.sort(key=lambda pair: -pair[0])
        return Tuning(found[0][1], len(query_ids), {str(weighting): score for score, weighting in found})


def _searcher(
    client: OpenSearch, index: str, encoder: QueryEncoder, reranker: Reranker | None,
    settings: ComparisonSettings, cached: int,
) -> HybridSearcher:  # fmt: skip
    """Create a searcher: for quality with ``cached`` vectors, without contents; for latency the reverse."""
    options: QuestionOptions = {
        "candidates": settings.candidates, "fields": settings.fields, "vector_field": settings.vector_field,
    }  # fmt: skip
    if cached:
        options |= {"source": False, "top_k": settings.top_k}
    return HybridSearcher(client, index, encoder, reranker=reranker, cached_queries=cached, **options)


def _sample(judged: Judged, settings: ComparisonSettings) -> list[str]:
    texts = list(judged.queries.values())
    if len(texts) <= settings.latency_queries:
        return texts if settings.latency_queries else []
    return random.Random(settings.seed).sample(texts, settings.latency_queries)  # noqa: S311


def _batches(query_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(query_ids), _BATCH):
        yield query_ids[start : start + _BATCH]
