"""What a reranker adds to hybrid search, and what 50 hits cost.

    python -m benchmarks.reranker_quality runs/my-reranker --data DATA [--weights 0.25 0.5 1] [--json FILE]

DATA holds collections in the BEIR layout, see `benchmarks.student_quality`. The reranker is an exported
cross-encoder; it reads the first 50 documents of BM25 + the packaged student, by exact search. A weight is
`Question.rerank_weight`: the share of its logits in the final order; 1 is its order alone. nDCG@10, and in
parentheses the p-value of a paired t-test against the hybrid search, without correction. The time is that of
50 documents of one question, one thread.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import finish
from benchmarks.paired_students import COLLECTIONS, dense_runs, judged
from ce2de_os.distill.report.evaluate import DEPTH, hybrid_runs
from ce2de_os.distill.report.peers import bm25_runs, student_peer
from ce2de_os.evaluation import Collection, Runs, mean, measure, paired_t_test
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.model.reranker import OnnxReranker
from ce2de_os.search.rerank import blended, reordered

HITS = 50
TIMED_QUESTIONS = 30


class Reranked:
    """The logits of one collection's first hits, read once for all weights."""

    def __init__(self, collection: Collection, first: Runs, reranker: OnnxReranker) -> None:
        self.first, self.ms = first, []
        self.logits: dict[str, list[float]] = {}
        texts = dict(zip(collection.doc_ids, collection.documents, strict=True))
        for query_id, query in zip(collection.query_ids, collection.queries, strict=True):
            documents = [texts[one.doc_id] for one in first[query_id][:HITS]]
            began = time.perf_counter()
            self.logits[query_id] = reranker.score(query, documents).tolist()
            if len(documents) == HITS:
                self.ms.append((time.perf_counter() - began) * 1000)

    def runs(self, weight: float) -> Runs:
        """Order the hits by ``weight`` parts of their logits and the rest of their fused scores."""
        found = {}
        for query_id, logits in self.logits.items():
            run = self.first[query_id]
            keys = blended(logits, [one.score for one in run[:HITS]], weight)
            found[query_id] = [document for document, _ in reordered(run, logits, keys)]
        return found


def main() -> None:
    """Print a row for each collection, then the time, then JSON if asked."""
    args = _options()
    encoder = student_peer(OnnxEncoder(threads=args.threads))
    reranker = OnnxReranker(args.reranker, threads=1)
    rows, times = [], []
    print("collection       BM25  hybrid" + "".join(f"{f'weight {w:g}':>16}" for w in args.weights))
    for name in args.collections:
        collection = judged(args, name)
        lexical = bm25_runs(collection, DEPTH)
        first = hybrid_runs(lexical, dense_runs(collection, encoder))
        found = Reranked(collection, first, reranker)
        times += found.ms[:TIMED_QUESTIONS]
        rows.append(row := _row(collection, lexical, found, args.weights))
        cells = "".join(f"{one['ndcg']:>8.4f} ({one['p']:.3f})" for one in row["reranked"].values())
        print(f"{name:<14}{row['bm25']:>7.4f}{row['hybrid']:>8.4f}{cells}", flush=True)
    p50, p95 = np.percentile(times, (50, 95))
    print(f"{HITS} hits: p50 {p50:.0f} ms, p95 {p95:.0f} ms; {reranker.fingerprint}")
    finish({"rows": rows, "p50_ms": float(p50), "p95_ms": float(p95)}, args.json)


def _row(collection: Collection, lexical: Runs, found: Reranked, weights: list[float]) -> dict[str, Any]:
    before = measure(collection.qrels, found.first)
    after = {weight: measure(collection.qrels, found.runs(weight)) for weight in weights}
    return {
        "collection": collection.name, "queries": len(before),
        "bm25": mean(measure(collection.qrels, lexical)), "hybrid": mean(before),
        "reranked": {
            f"{weight:g}": {"ndcg": mean(scores), "p": paired_t_test(before, scores)}
            for weight, scores in after.items()
        },
    }  # fmt: skip


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reranker", type=Path, help="folder of an exported cross-encoder")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--collections", nargs="+", default=list(COLLECTIONS))
    parser.add_argument("--weights", nargs="+", type=float, default=[0.25, 0.5, 0.75, 1.0])
    parser.add_argument("--debian-limit", type=int, default=6000, help="documents of debian")
    parser.add_argument("--threads", type=int, default=1, help="cores to embed with")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
