"""Compare a student with its peers on judged collections: quality, uncertainty and significance.

Every system ranks all documents of a collection; hybrids fuse the first hundred of each leg. A system is
compared with the one that it replaces: a dense one with the DE, a hybrid with the hybrid of the DE.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ce2de_os.arrays import Embeddings
from ce2de_os.distill.report.peers import (
    BM25_B,
    BM25_K1,
    BM25_WORDS,
    Done,
    Peer,
    Scorer,
    StaticTable,
    bm25_runs,
    kept_rows,
)
from ce2de_os.errors import DataError
from ce2de_os.evaluation import Collection, Qrels, Runs, exact_search
from ce2de_os.evaluation.figures import MAIN_METRIC, KeptFigure, compare_with_references
from ce2de_os.fusion import fuse_min_max
from ce2de_os.progress import Phase
from ce2de_os.reading import RUN_BYTES, read_object
from ce2de_os.records import ScoredDoc
from ce2de_os.writing import replacing

EVALUATION_FILE = "evaluation.json"
DEPTH = 100
RERANK_DEPTH = 50

BM25, TEACHER, STUDENT, STUDENT_FP32 = "BM25", "DE", "student int8", "student fp32"
ASYMMETRIC, STATIC = "asymmetric", "static table"  # asymmetric: the student's queries over the DE's documents
HYBRID, RERANKED = "BM25 + {}", "{}, CE re-ranks"


@dataclass(frozen=True)
class Systems:
    """The systems to compare; ``None`` leaves one out.

    Attributes:
        teacher: the DE.
        student: the exported student.
        student_fp32: the student before it was quantized.
        static: the DE's static table.
        cross_encoder: re-ranks BM25's and the student's hybrid results.
    """

    teacher: Peer
    student: Peer
    student_fp32: Peer | None = None
    static: StaticTable | None = None
    cross_encoder: Scorer | None = None


@dataclass(frozen=True)
class StudentResult:
    """One system on one collection; ``reference`` names the system it is compared with, ``None`` for none."""

    system: str
    reference: str | None
    figures: dict[str, KeptFigure]


@dataclass(frozen=True)
class CollectionResult:
    """All systems on one collection, in the order of the table."""

    collection: str
    documents: int
    queries: int
    systems: list[StudentResult]


@dataclass(frozen=True)
class Evaluation:
    """The results of `evaluate`; ``settings`` describes the method, in words and numbers."""

    collections: list[CollectionResult]
    settings: dict[str, Any] = field(default_factory=dict)

    def figure(self, collection: str, system: str, metric: str = MAIN_METRIC) -> KeptFigure | None:
        """Return one figure; ``None`` if it was not measured."""
        for result in self.collections:
            for one in result.systems:
                if (result.collection, one.system) == (collection, system):
                    return one.figures.get(metric)
        return None

    def kept(self, system: str = STUDENT, metric: str = MAIN_METRIC) -> float | None:
        """Average over collections the share that ``system`` keeps; ``None`` if one has no share."""
        figures = [self.figure(result.collection, system, metric) for result in self.collections]
        shares = [figure.kept for figure in figures if figure is not None and figure.kept is not None]
        return float(np.mean(shares)) if shares and len(shares) == len(figures) else None

    def save(self, path: Path) -> None:
        """Write it as JSON, completely or not at all."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False)
        with replacing(path) as file:
            file.write(text + "\n")

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        """Read a file of `save`.

        Raises:
            DataError: the file is missing or damaged.
        """
        try:
            raw = read_object(path, RUN_BYTES)
            return cls([_collection_result(row) for row in raw["collections"]], dict(raw["settings"]))
        except (DataError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{path}: not an evaluation ({error!r}); evaluate the student again") from error


def evaluate(
    collections: Sequence[Collection],
    systems: Systems,
    *,
    cache: Path | None = None,
    rerank_depth: int = RERANK_DEPTH,
    phase: Phase = lambda name, done, total: None,
) -> Evaluation:
    """Rank every collection with every system, and compare.

    Args:
        collections: results of `ce2de_os.evaluation.load_collection`.
        systems: the systems to compare.
        cache: folder for embeddings and logits, by content; the same call after an interruption resumes
            there. ``None`` keeps nothing.
        rerank_depth: documents of a query that the cross-encoder reads.
        phase: receives the progress.

    Raises:
        DataError: a collection has no queries, or a model gives numbers that are not finite.
    """
    results = []
    for collection in collections:
        runs = _runs(collection, systems, cache, rerank_depth, phase)
        results.append(
            CollectionResult(
                collection.name, len(collection.documents), len(collection.queries),
                _results(collection.qrels, runs, references(list(runs))),
            )
        )  # fmt: skip
    return Evaluation(results, _settings(systems, rerank_depth))


def references(systems: Sequence[str]) -> dict[str, str]:
    """Choose each system's reference: the DE for dense ones, the hybrid of the DE for hybrids."""
    dense = (STUDENT, STUDENT_FP32, ASYMMETRIC, STATIC)
    pairs = {name: TEACHER for name in dense} | {
        HYBRID.format(name): HYBRID.format(TEACHER) for name in dense
    }
    return {name: reference for name, reference in pairs.items() if name in systems}


def _results(qrels: Qrels, runs: dict[str, Runs], compared: dict[str, str]) -> list[StudentResult]:
    figures = compare_with_references(qrels, runs, compared, KeptFigure.of)
    return [StudentResult(name, compared.get(name), found) for name, found in figures.items()]


def _runs(
    collection: Collection, systems: Systems, cache: Path | None, rerank_depth: int, phase: Phase
) -> dict[str, Runs]:
    """Compute every system's rankings, in the order of the table."""
    phase(f"{collection.name}: {BM25}", 0, 1)
    runs: dict[str, Runs] = {BM25: bm25_runs(collection, DEPTH)}
    phase(f"{collection.name}: {BM25}", 1, 1)
    for name, (documents, queries) in _vectors(collection, systems, cache, phase).items():
        if not (np.isfinite(documents).all() and np.isfinite(queries).all()):
            raise DataError(f"{name}: gives embeddings that are not finite; train or export it again")
        runs[name] = exact_search(collection, documents, queries, DEPTH)
    for name in (TEACHER, STUDENT, ASYMMETRIC):
        runs[HYBRID.format(name)] = hybrid_runs(runs[BM25], runs[name])
    if systems.cross_encoder is not None:
        for name in (BM25, HYBRID.format(STUDENT)):
            step = f"{collection.name}: CE reads {name}"
            runs[RERANKED.format(name)] = rerank(
                collection, runs[name], systems.cross_encoder, rerank_depth, cache,
                partial(_tell, phase, step, len(collection.queries) * rerank_depth),
            )  # fmt: skip
    return runs


def hybrid_runs(lexical: Runs, dense: Runs) -> Runs:
    """Fuse two runs of the same queries by min-max with equal weights, to `DEPTH` documents a query."""
    return {key: fuse_min_max([lexical[key], dense[key]], [1.0, 1.0])[:DEPTH] for key in dense}


def _vectors(
    collection: Collection, systems: Systems, cache: Path | None, phase: Phase
) -> dict[str, tuple[Embeddings, Embeddings]]:
    """Compute each dense system's embeddings of documents and of queries."""
    peers = {TEACHER: systems.teacher, STUDENT: systems.student, STUDENT_FP32: systems.student_fp32}
    found: dict[str, tuple[Embeddings, Embeddings]] = {}
    for name, peer in peers.items():
        if peer is not None:
            found[name] = _embed(collection, name, peer, cache, phase)
    found[ASYMMETRIC] = found[TEACHER][0], found[STUDENT][1]
    if systems.static is not None:
        embed = systems.static.fit(collection.documents)
        found[STATIC] = embed(collection.documents), embed(collection.queries)
    return found


def _embed(
    collection: Collection, name: str, peer: Peer, cache: Path | None, phase: Phase
) -> tuple[Embeddings, Embeddings]:
    step = f"{collection.name}: {name}"
    documents, total = len(collection.documents), len(collection.documents) + len(collection.queries)
    phase(step, 0, total)
    return (
        kept_rows(
            cache, f"{peer.key} document", collection.documents, peer.encode_documents,
            lambda done: phase(step, done, total),
        ),
        kept_rows(
            cache, f"{peer.key} query", collection.queries, peer.encode_queries,
            lambda done: phase(step, documents + done, total),
        ),
    )  # fmt: skip


def _tell(phase: Phase, step: str, total: int, done: int) -> None:
    phase(step, done, total)


def rerank(
    collection: Collection,
    runs: Runs,
    scorer: Scorer,
    depth: int,
    cache: Path | None = None,
    done: Done = lambda count: None,
) -> Runs:
    """Sort the first ``depth`` documents of each query by the cross-encoder's logits; the others follow.

    The logits are kept in ``cache`` if the scorer has a ``digest`` that names its weights.
    """
    texts = dict(zip(collection.doc_ids, collection.documents, strict=True))
    queries = dict(zip(collection.query_ids, collection.queries, strict=True))
    wanted = [(query_id, found.doc_id) for query_id in queries for found in runs[query_id][:depth]]
    digest = getattr(scorer, "digest", None)
    key = f"{digest} {getattr(scorer, 'max_length', '')} {getattr(scorer, 'precision', '')} logits"
    pairs = [(queries[query_id], texts[doc_id]) for query_id, doc_id in wanted]
    if not pairs:
        return runs
    logits = kept_rows(cache if digest else None, key, pairs, scorer.logits, done)
    read: dict[str, list[ScoredDoc]] = {query_id: [] for query_id in queries}
    for (query_id, doc_id), logit in zip(wanted, logits, strict=True):
        read[query_id].append(ScoredDoc(doc_id, float(logit)))
    return {
        query_id: [*sorted(found, key=lambda doc: -doc.score), *runs[query_id][depth:]]
        for query_id, found in read.items()
    }


def _settings(systems: Systems, rerank_depth: int) -> dict[str, Any]:
    return {
        "teacher": systems.teacher.name,
        "student": systems.student.name,
        "student_key": systems.student.key,
        "cross_encoder": getattr(systems.cross_encoder, "name", None),
        "bm25": f"Lucene's formula, k1 {BM25_K1}, b {BM25_B}; {BM25_WORDS}; no stemming",
        "hybrid": f"min-max scores of the first {DEPTH} of each leg, equal weights",
        "rerank_depth": rerank_depth if systems.cross_encoder is not None else None,
        "interval": "95%, percentile bootstrap over queries, 2,000 resamples",
        "test": "two-sided paired t-test over queries",
        "correction": "Holm, over the comparisons of one metric on one collection",
    }


def _collection_result(row: dict[str, Any]) -> CollectionResult:
    systems = [
        StudentResult(
            one["system"],
            one["reference"],
            {metric: KeptFigure(**figure) for metric, figure in one["figures"].items()},
        )
        for one in row["systems"]
    ]
    return CollectionResult(row["collection"], row["documents"], row["queries"], systems)
