"""Quality on the public BEIR collections: BM25, the student, its teacher and hybrids, by exact search.

    pip install ir_datasets
    python -m benchmarks.beir scifact nfcorpus fiqa trec-covid --data runs/beir

A collection is fetched by ir_datasets once (``beir/NAME/test``, or ``beir/NAME``) and kept in ``DATA/NAME``
in the BEIR layout; a folder that is there already is used as it is, without a network. nDCG@10 as BEIR
reports it. ``--artifact`` measures another model, ``--teacher none`` leaves the slow encoder out. ``--cache``
keeps the embeddings: the same call continues after an interruption.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.machine import finish
from ce2de_os.distill.data.prefixes import teacher_prefixes
from ce2de_os.distill.models.teacher import load_teacher
from ce2de_os.distill.report.evaluate import BM25, HYBRID, STUDENT, TEACHER, Evaluation, Systems, evaluate
from ce2de_os.distill.report.peers import Peer, student_peer, teacher_peer
from ce2de_os.errors import Ce2deError, DataError
from ce2de_os.evaluation import load_collection
from ce2de_os.evaluation.collection import judged_files
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.progress import Phase
from ce2de_os.writing import replacing

SYSTEMS = (BM25, STUDENT, TEACHER, HYBRID.format(STUDENT), HYBRID.format(TEACHER))


def main() -> None:
    """Fetch what is missing, measure every system on every collection, and print a table."""
    try:
        _measure(_options())
    except Ce2deError as error:
        raise SystemExit(f"beir: {error}") from None


def _measure(args: argparse.Namespace) -> None:
    folders = [prepared(name, args.data) for name in args.collections]
    artifact = Artifact.load(args.artifact)
    student = student_peer(OnnxEncoder(artifact, threads=args.threads))
    systems = Systems(_teacher(args.teacher, artifact) or student, student)
    shown = SYSTEMS if args.teacher != "none" else (BM25, STUDENT, HYBRID.format(STUDENT))
    rows: dict[str, dict[str, float]] = {}
    results = []
    for name, folder in zip(args.collections, folders, strict=True):
        collection = load_collection(folder)
        found = evaluate([collection], systems, cache=args.cache, phase=_phase(name))
        rows[name] = _figures(found, shown)
        results.append(asdict(found))
        _print_row(name, rows[name], shown, first=len(rows) == 1)
    _print_row("mean", {key: mean(row[key] for row in rows.values()) for key in shown}, shown)
    finish({"fingerprint": artifact.fingerprint, "ndcg_at_10": rows, "evaluations": results}, args.json)


def prepared(name: str, data: Path) -> Path:
    """Return the folder of a collection in the BEIR layout; fetch it by ir_datasets if it is missing."""
    folder = data / name
    if not _is_judged(folder):
        write_collection(_load(name, folder), folder)
    return folder


def _is_judged(folder: Path) -> bool:
    try:
        judged_files(folder)
    except DataError:
        return False
    return True


def _load(name: str, folder: Path) -> Any:  # noqa: ANN401 - ir_datasets has no types
    try:
        import ir_datasets
    except ModuleNotFoundError:
        raise SystemExit(f"'{name}': not in {folder}; to fetch it, run: pip install ir_datasets") from None
    names = (f"beir/{name}/test", f"beir/{name}")
    found = next((one for one in names if one in ir_datasets.registry), None)
    if found is None:
        raise SystemExit(f"'{name}': neither in {folder} nor one of ir_datasets' BEIR collections")
    return ir_datasets.load(found)


def write_collection(dataset: Any, folder: Path) -> None:  # noqa: ANN401 - ir_datasets has no types
    """Write documents, queries and judgments of an ir_datasets collection; the judgments come last."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = (
        {"_id": doc.doc_id, "title": getattr(doc, "title", ""), "text": doc.text}
        for doc in dataset.docs_iter()
    )
    _write(folder / "corpus.jsonl", map(json.dumps, documents))
    queries = ({"_id": query.query_id, "text": query.text} for query in dataset.queries_iter())
    _write(folder / "queries.jsonl", map(json.dumps, queries))
    judgments = (f"{one.query_id}\t{one.doc_id}\t{one.relevance}" for one in dataset.qrels_iter())
    _write(folder / "qrels.tsv", _with_heading(judgments))


def _with_heading(rows: Iterable[str]) -> Iterator[str]:
    yield "query-id\tcorpus-id\tscore"
    yield from rows


def _write(path: Path, lines: Iterable[str]) -> None:
    with replacing(path) as file:
        file.writelines(line + "\n" for line in lines)


def _teacher(name: str | None, artifact: Artifact) -> Peer | None:
    if name == "none":
        return None
    loaded = load_teacher(name or str(artifact.source["teacher"]))
    prefixes = teacher_prefixes(artifact.recipe["distill"])
    return teacher_peer(loaded, prefixes, max_length=artifact.max_length)


def _figures(found: Evaluation, shown: Iterable[str]) -> dict[str, float]:
    name = found.collections[0].collection
    figures = {system: found.figure(name, system) for system in shown}
    return {system: figure.mean for system, figure in figures.items() if figure is not None}


def _print_row(name: str, row: dict[str, float], shown: Iterable[str], *, first: bool = False) -> None:
    if first:
        print(f"{'nDCG@10':<14}" + "".join(f"{system:>22}" for system in shown))
    print(f"{name:<14}" + "".join(f"{row[system]:>22.3f}" for system in shown), flush=True)


def _phase(name: str) -> Phase:
    """Show the progress in a terminal, on a line that the next one replaces."""

    def show(what: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"{name}: {what} {done:,} of {total:,}\033[K", end="\r", file=sys.stderr, flush=True)

    return show


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collections", nargs="+", metavar="NAME", help="such as scifact or nfcorpus")
    parser.add_argument("--data", type=Path, required=True, help="folder for the collections")
    parser.add_argument("--artifact", type=Path, help="model folder (default: the packaged student)")
    parser.add_argument("--teacher", help="the slow encoder beside it (default: the student's own; or none)")
    parser.add_argument("--cache", type=Path, default=Path("runs/teacher_quality"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    if args.threads < 1:
        parser.error(f"--threads: got {args.threads}, expected at least 1")
    if args.json is not None and not args.json.parent.is_dir():  # it is written after hours
        parser.error(f"--json: there is no folder {args.json.parent}")
    return args


if __name__ == "__main__":
    main()
