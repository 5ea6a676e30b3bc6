"""One student against another on the same queries, alone and with BM25.

    python -m benchmarks.paired_students runs/new/model --data DATA [--against FOLDER] [--json FILE]

DATA holds collections in the BEIR layout, see `benchmarks.student_quality`. Both are exported models; without
``--against`` the other one is the packaged student. nDCG@10 by exact search, and the p-value of a paired
t-test over the queries, without correction for the number of collections.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.machine import finish
from benchmarks.student_quality import limited
from ce2de_os.distill.report.evaluate import DEPTH, hybrid_runs
from ce2de_os.distill.report.peers import Peer, bm25_runs, student_peer
from ce2de_os.evaluation import Collection, Runs, exact_search, load_collection, mean, measure, paired_t_test
from ce2de_os.model.encoder import OnnxEncoder

COLLECTIONS = ("adi", "cisi", "cranfield", "med", "debian")


def main() -> None:
    """Print a row for each collection, alone and with BM25, then JSON if asked."""
    args = _options()
    students = [student_peer(OnnxEncoder(one, threads=args.threads)) for one in (args.against, args.student)]
    rows = []
    print("collection  queries  system       before     new       p")
    for name in args.collections:
        for row in _rows(judged(args, name), students):
            rows.append(row)
            print(
                f"{row['collection']:<12}{row['queries']:>7}  {row['system']:<10}{row['before']:>9.4f}"
                f"{row['new']:>8.4f}{row['p']:>8.4f}", flush=True,
            )  # fmt: skip
    finish({"students": [student.name for student in students], "rows": rows}, args.json)


def _rows(collection: Collection, students: list[Peer]) -> list[dict[str, str | float]]:
    lexical = bm25_runs(collection, DEPTH)
    dense = [dense_runs(collection, student) for student in students]
    hybrid = [hybrid_runs(lexical, runs) for runs in dense]
    rows: list[dict[str, str | float]] = []
    for system, (before, new) in (("alone", dense), ("with BM25", hybrid)):
        scores = [measure(collection.qrels, runs) for runs in (before, new)]
        rows.append({
            "collection": collection.name, "queries": len(scores[0]), "system": system,
            "before": mean(scores[0]), "new": mean(scores[1]), "p": paired_t_test(*scores),
        })  # fmt: skip
    return rows


def judged(args: argparse.Namespace, name: str) -> Collection:
    """Load a collection of ``--data``; of Debian's documents ``--debian-limit``."""
    collection = load_collection(args.data / name)
    return limited(collection, args.debian_limit) if name == "debian" else collection


def dense_runs(collection: Collection, student: Peer) -> Runs:
    """Search by the student's vectors, to `DEPTH` documents a query."""
    documents = student.encode_documents(collection.documents)
    return exact_search(collection, documents, student.encode_queries(collection.queries), DEPTH)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("student", type=Path, help="model folder")
    parser.add_argument(
        "--against", type=Path, help="the other model's folder (default: the packaged student)"
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--collections", nargs="+", default=list(COLLECTIONS))
    parser.add_argument("--debian-limit", type=int, default=6000, help="documents of debian")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
