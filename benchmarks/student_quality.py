"""Retrieval quality of the student next to its teacher, by exact search over test collections.

    python -m benchmarks.student_quality --data DATA [--artifact FOLDER] [--json FILE] [--cache FOLDER]

DATA holds collections in the BEIR layout: `cranfield/`, `cisi/` (corpus.jsonl, queries.jsonl, qrels.tsv) and
`debian/` (corpus.en.jsonl.gz, queries.dev.jsonl, qrels.dev.tsv). Both models read at most 256 tokens. nDCG
uses the judgement itself as gain; MRR@10 counts the first relevant document among the first ten. `--cache`
keeps the teacher's embeddings, which take minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.machine import finish
from ce2de_os.arrays import Embeddings
from ce2de_os.artifact import Artifact
from ce2de_os.encoder import OnnxEncoder
from ce2de_os.records import read_documents, read_qrels, read_queries

MAX_LENGTH, TOP_K = 256, 10
Encode = Callable[[Sequence[str]], Embeddings]
Judgements = dict[str, dict[str, int]]


class Collection(NamedTuple):
    """Documents, the judged queries, and their judgements."""

    name: str
    metric: str
    doc_ids: list[str]
    documents: list[str]
    query_ids: list[str]
    queries: list[str]
    judgements: Judgements


def load(name: str, metric: str, files: Sequence[Path], limit: int | None = None) -> Collection:
    """Read corpus, queries and qrels; ``limit`` keeps the relevant documents and the first others."""
    corpus, queries, qrels = files
    judgements: Judgements = defaultdict(dict)
    for qrel in read_qrels(qrels):
        if qrel.relevance > 0:
            judgements[qrel.query_id][qrel.doc_id] = qrel.relevance
    documents = {doc.doc_id: f"{doc.title}. {doc.text}".removeprefix(". ") for doc in read_documents(corpus)}
    if limit is not None:
        relevant = {doc_id for judged in judgements.values() for doc_id in judged}
        others = [doc_id for doc_id in documents if doc_id not in relevant][: max(0, limit - len(relevant))]
        kept = relevant | set(others)
        documents = {doc_id: text for doc_id, text in documents.items() if doc_id in kept}
    judged = [query for query in read_queries(queries) if query.query_id in judgements]
    return Collection(
        name, metric, list(documents), list(documents.values()),
        [query.query_id for query in judged], [query.text for query in judged], judgements,
    )  # fmt: skip


def collections(data: Path, limit: int | None) -> list[Collection]:
    """The three collections of the benchmark."""
    plain = "corpus.jsonl", "queries.jsonl", "qrels.tsv"
    debian = "corpus.en.jsonl.gz", "queries.dev.jsonl", "qrels.dev.tsv"
    return [
        load("cranfield", "nDCG@10", [data / "cranfield" / file for file in plain]),
        load("cisi", "nDCG@10", [data / "cisi" / file for file in plain]),
        load("debian", "MRR@10", [data / "debian" / file for file in debian], limit),
    ]


def measure(collection: Collection, documents: Embeddings, queries: Embeddings) -> float:
    """Mean of the collection's metric over its queries, by exact inner products."""
    best = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :TOP_K]
    metric = reciprocal_rank if collection.metric == "MRR@10" else ndcg
    scores = [
        metric(
            [judged.get(collection.doc_ids[row], 0) for row in rows], sorted(judged.values(), reverse=True)
        )
        for rows, judged in zip(best, (collection.judgements[q] for q in collection.query_ids), strict=True)
    ]
    return float(np.mean(scores))


def ndcg(gains: Sequence[int], ideal: Sequence[int]) -> float:
    """``DCG / ideal DCG`` at 10, gain over log2(1 + rank)."""
    discounts = 1.0 / np.log2(np.arange(2, TOP_K + 2))
    return float(gains @ discounts[: len(gains)] / (ideal[:TOP_K] @ discounts[: len(ideal[:TOP_K])]))


def reciprocal_rank(gains: Sequence[int], ideal: Sequence[int]) -> float:
    """1 / rank of the first relevant document, 0 if there is none."""
    return next((1.0 / rank for rank, gain in enumerate(gains, start=1) if gain), 0.0)


def teacher_encoder(name: str, cache: Path) -> Encode:
    """The teacher in PyTorch, its embeddings kept in ``cache``."""
    from ce2de_os.distill.precision import resolve
    from ce2de_os.distill.teacher import embed_ids, load_teacher

    teacher = load_teacher(name)
    teacher.tokenizer.enable_truncation(MAX_LENGTH)

    def encode(texts: Sequence[str]) -> Embeddings:
        key = hashlib.sha256(json.dumps([teacher.digest, *texts]).encode()).hexdigest()
        path = cache / f"{key[:24]}.npy"
        if not path.exists():
            cache.mkdir(parents=True, exist_ok=True)
            ids = [encoding.ids for encoding in teacher.tokenizer.encode_batch_fast(list(texts))]
            np.save(path, embed_ids(teacher.embed, ids, resolve("auto")))
        embeddings: Embeddings = np.load(path)
        return embeddings

    return encode


def main() -> None:
    """Measure both models and print a table, then JSON if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--artifact", type=Path, help="model folder (default: the packaged student)")
    parser.add_argument("--cache", type=Path, default=Path("runs/teacher_quality"))
    parser.add_argument(
        "--debian-limit", type=int, help="search among so many debian documents instead of all"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    artifact = Artifact.load(args.artifact)
    encoder = OnnxEncoder(artifact, threads=args.threads)
    teacher = teacher_encoder(str(artifact.source["teacher"]), args.cache)
    rows = []
    print("collection  documents  queries  metric   teacher  student   kept  student s")
    for one in collections(args.data, args.debian_limit):
        reference = measure(one, teacher(one.documents), teacher(one.queries))
        started = time.monotonic()
        student = measure(one, encoder.encode_documents(one.documents), encoder.encode_queries(one.queries))
        seconds = time.monotonic() - started
        rows.append({
            "collection": one.name, "documents": len(one.documents), "queries": len(one.queries),
            "metric": one.metric, "teacher": reference, "student": student, "kept": student / reference,
        })  # fmt: skip
        print(
            f"{one.name:<10}{len(one.documents):>11,}{len(one.queries):>9}  {one.metric:<8}{reference:>8.3f}"
            f"{student:>9.3f}{student / reference:>7.1%}{seconds:>11.1f}", flush=True,
        )  # fmt: skip
    facts = {"fingerprint": encoder.fingerprint, "teacher": artifact.source["teacher"], "rows": rows}
    finish(facts, args.json)


if __name__ == "__main__":
    main()
