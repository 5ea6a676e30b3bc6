"""Retrieval quality of the student next to its peers, by exact search over judged collections.

    python -m benchmarks.student_quality --data DATA [--artifact FOLDER] [--json FILE] [--cache FOLDER]

DATA holds collections in the BEIR layout: `cranfield/`, `cisi/` (corpus.jsonl, queries.jsonl, qrels.tsv) and
`debian/` (corpus.en.jsonl.gz, queries.dev.jsonl, qrels.dev.tsv). All models read at most 256 tokens. The
first table shows each collection's usual metric: nDCG@10 uses the judgement itself as gain, MRR@10 counts
the first relevant document among the first ten. The second one shows BM25, hybrids, intervals and tests,
see `ce2de_os.distill.report.evaluate`. `--cache` keeps the embeddings, which take minutes.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.machine import finish
from ce2de_os.distill.data.prefixes import teacher_prefixes
from ce2de_os.distill.models.teacher import load_teacher
from ce2de_os.distill.report.evaluate import STUDENT, TEACHER, Evaluation, Systems, evaluate
from ce2de_os.distill.report.page import Section, Table, to_markdown
from ce2de_os.distill.report.peers import static_table, student_peer, teacher_peer
from ce2de_os.distill.report.quality import quality_section
from ce2de_os.evaluation import Collection, load_collection
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import OnnxEncoder

METRICS = {"cranfield": "nDCG@10", "cisi": "nDCG@10", "debian": "MRR@10"}


def main() -> None:
    """Measure all systems and print two tables, then JSON if asked."""
    args = _options()
    artifact = Artifact.load(args.artifact)
    teacher = load_teacher(str(artifact.source["teacher"]))
    prefixes = teacher_prefixes(artifact.recipe["distill"])
    systems = Systems(
        teacher_peer(teacher, prefixes, max_length=artifact.max_length),
        student_peer(OnnxEncoder(artifact, threads=args.threads)),
        static=static_table(teacher, args.cache) if args.static else None,
    )
    collections = [load_collection(args.data / name) for name in args.collections]
    chosen = [limited(one, args.debian_limit) if one.name == "debian" else one for one in collections]
    found = evaluate(chosen, systems, cache=args.cache)
    rows = _rows(found)
    print("collection  documents  queries  metric   teacher  student   kept")
    for row in rows:
        print(
            f"{row['collection']:<10}{row['documents']:>11,}{row['queries']:>9}  {row['metric']:<8}"
            f"{row['teacher']:>8.3f}{row['student']:>9.3f}{row['kept']:>7.1%}"
        )
    tables = [block for block in quality_section(found).blocks if isinstance(block, Table)]
    print(to_markdown("Quality", "", [Section("", [*tables])]))
    facts = {
        "fingerprint": artifact.fingerprint, "teacher": artifact.source["teacher"], "rows": rows,
        "megabytes": sum(path.stat().st_size for path in artifact.folder.iterdir()) / 1e6,
    }  # fmt: skip
    finish({**facts, "evaluation": asdict(found)}, args.json)


def _rows(found: Evaluation) -> list[dict[str, str | float]]:
    """Teacher and student by the usual metric of each collection."""
    rows: list[dict[str, str | float]] = []
    for result in found.collections:
        metric = METRICS.get(result.collection, "nDCG@10")
        teacher = found.figure(result.collection, TEACHER, metric)
        student = found.figure(result.collection, STUDENT, metric)
        assert teacher is not None
        assert student is not None
        rows.append({
            "collection": result.collection, "documents": result.documents, "queries": result.queries,
            "metric": metric, "teacher": teacher.mean, "student": student.mean,
            "kept": student.mean / teacher.mean,
        })  # fmt: skip
    return rows


def limited(collection: Collection, limit: int | None) -> Collection:
    """Keep the relevant documents and the first others, ``limit`` in all; ``None``: all documents."""
    if limit is None:
        return collection
    relevant = {doc for judged in collection.qrels.values() for doc, value in judged.items() if value > 0}
    others = [doc for doc in collection.doc_ids if doc not in relevant][: max(0, limit - len(relevant))]
    kept = relevant.union(others)
    rows = [row for row, doc in enumerate(collection.doc_ids) if doc in kept]
    return replace(
        collection,
        doc_ids=[collection.doc_ids[row] for row in rows],
        documents=[collection.documents[row] for row in rows],
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--collections", nargs="+", default=list(METRICS))
    parser.add_argument("--artifact", type=Path, help="model folder (default: the packaged student)")
    parser.add_argument("--cache", type=Path, default=Path("runs/teacher_quality"))
    parser.add_argument(
        "--debian-limit", type=int, help="search among so many debian documents instead of all"
    )
    parser.add_argument("--static", action="store_true", help="also measure a static table of the teacher")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
