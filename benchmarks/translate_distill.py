"""Search across languages: English questions, documents in other languages, each apart and mixed in one list.

    python -m benchmarks.translate_distill --data DATA --system TD=runs/td/model --system ED=runs/ed/model \\
        --reranker runs/teacher --out runs/quality

DATA/debian holds `corpus.en.jsonl.gz` and its translations by people, `corpus.it.jsonl.gz` and
`corpus.de.jsonl.gz`, with the same ids, `queries.dev.jsonl` and `qrels.dev.tsv`. The reference is the English
student on the English originals of the same documents: what a perfect translation of every document would
give. All searches are exact. Rankings are left in `--out` as TREC runs, with the judgements, so that
`ce2de compare` can tell more of them; the table shows MRR@10, nDCG@20, MAP and Recall@1000, the share of the
reference's MRR@10 that a system keeps, and tests against the baseline (`--baseline`).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.machine import finish
from ce2de_os.arrays import Embeddings
from ce2de_os.distill.data.local_retrieve import bm25_retriever
from ce2de_os.distill.data.queries import query_texts
from ce2de_os.distill.models.cross_encoder import CrossEncoder, load_cross_encoder
from ce2de_os.evaluation import Collection, Runs, exact_search, load_judged, mean, write_qrels, write_run
from ce2de_os.evaluation.comparison import compare_runs
from ce2de_os.evaluation.languages import mixed_collection, mixed_language
from ce2de_os.evaluation.significance import ratio_interval
from ce2de_os.fusion import fuse_min_max
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.records import Document, Query, ScoredDoc, read_documents

REFERENCE = "English student, English originals"
METRICS = ("MRR@10", "nDCG@20", "MAP", "Recall@1000")
DEPTH = 1000
RERANKED = 50
HYBRID_DEPTH = 100

Corpora = Mapping[str, Sequence[Document]]


def main() -> None:
    """Search every collection with every system, print the tables, leave runs and figures behind."""
    options = _options()
    folder = options.data / "debian"
    judged = load_judged(folder / "queries.dev.jsonl", folder / "qrels.dev.tsv")
    originals = {one.doc_id: one for one in read_documents(folder / "corpus.en.jsonl.gz")}
    corpora = {
        language: [one for one in read_documents(folder / f"corpus.{language}.jsonl.gz")]
        for language in options.languages
    }
    texts = _translated_queries(options.translated_queries)
    searches = Searches(options, originals, corpora)
    facts = {}
    for name, chosen in _collections(corpora):
        collection = mixed_collection(chosen, judged)
        runs = searches.all(collection, texts)
        facts[name] = report(name, collection, runs, options)
    systems = {REFERENCE: searches.english, **searches.encoders}
    fingerprints = {name: encoder.fingerprint for name, encoder in systems.items()}
    finish({"collections": facts, "systems": fingerprints}, options.out / "result.json")


class Searches:
    """Every system, with the embeddings of all documents."""

    def __init__(
        self, options: argparse.Namespace, originals: Mapping[str, Document], corpora: Corpora
    ) -> None:
        self.originals, self.best = originals, options.system[0][0]
        self.cache: Path = options.cache or options.out / "embeddings"
        self.reranker = load_cross_encoder(options.reranker) if options.reranker else None
        self.english = OnnxEncoder(options.english, threads=options.threads)
        self.encoders = {name: OnnxEncoder(path, threads=options.threads) for name, path in options.system}
        self.vectors: dict[str, dict[str, Embeddings]] = {name: {} for name in (REFERENCE, *self.encoders)}
        for language, documents in corpora.items():
            ids = [f"{language}:{one.doc_id}" for one in documents]
            for name, encoder in {REFERENCE: self.english, **self.encoders}.items():
                read = [originals[one.doc_id] for one in documents] if name == REFERENCE else documents
                what = f"en-of-{language}" if name == REFERENCE else language
                rows = self._embeddings(encoder, what, [one.whole for one in read])
                self.vectors[name] |= dict(zip(ids, rows, strict=True))

    def all(self, collection: Collection, translated: Mapping[str, Mapping[str, str]]) -> dict[str, Runs]:
        """Compute the rankings of each system for one collection, the reference first."""
        asked = dict(zip(collection.query_ids, collection.queries, strict=True))
        found = {
            REFERENCE: self._dense(REFERENCE, self.english, collection),
            "BM25, English questions": _bm25(collection, asked),
        }
        if collection.name in translated:
            found["BM25, translated questions"] = _bm25(collection, asked | translated[collection.name])
        found |= {name: self._dense(name, one, collection) for name, one in self.encoders.items()}
        found[f"BM25 + {self.best}"] = _hybrid(found["BM25, English questions"], found[self.best])
        if self.reranker is not None:
            name = f"{self.best}, teacher re-ranks {RERANKED}"
            found[name] = self._reranked(self.reranker, collection, found[self.best])
        return found

    def _embeddings(self, encoder: OnnxEncoder, what: str, texts: Sequence[str]) -> Embeddings:
        path = self.cache / f"{encoder.fingerprint[:16]}-{what}.npy"
        if not path.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            np.save(path, encoder.encode_documents(texts))
        return np.asarray(np.load(path))

    def _dense(self, name: str, encoder: OnnxEncoder, collection: Collection) -> Runs:
        documents = np.stack([self.vectors[name][doc_id] for doc_id in collection.doc_ids])
        return exact_search(collection, documents, encoder.encode_queries(collection.queries), DEPTH)

    def _reranked(self, reranker: CrossEncoder, collection: Collection, runs: Runs) -> Runs:
        """Rerank with the teacher, which reads the English originals, as in the training."""
        texts = dict(zip(collection.query_ids, collection.queries, strict=True))
        found: dict[str, list[ScoredDoc]] = {}
        for query_id, run in runs.items():
            top = run[:RERANKED]
            pairs = [(texts[query_id], self.originals[_original(doc.doc_id)].whole) for doc in top]
            logits = reranker.logits(pairs)
            order = np.argsort(-logits, kind="stable")
            found[query_id] = [ScoredDoc(top[row].doc_id, float(logits[row])) for row in order]
        return found


def report(
    name: str, collection: Collection, runs: Mapping[str, Runs], options: argparse.Namespace
) -> dict[str, object]:
    """Write the runs, print the table of one collection, return it as data."""
    folder = options.out / name
    folder.mkdir(parents=True, exist_ok=True)
    write_qrels(folder / "qrels.tsv", collection.qrels)
    for system, run in runs.items():
        tag = "".join(letter if letter.isalnum() else "_" for letter in system)
        write_run(folder / f"{tag}.trec.gz", run, tag)
    language_of = mixed_language(set(options.languages)) if "+" in collection.name else None
    found = compare_runs(
        runs, collection.qrels, baseline=options.baseline, metrics=METRICS, language_of=language_of
    )
    reference = found.figures[REFERENCE]["MRR@10"].scores
    print(f"\n{name}: {len(collection.doc_ids):,} documents, {len(collection.query_ids)} questions")
    print(
        f"{'':46}"
        + "".join(f"{metric:>13}" for metric in METRICS)
        + f"{'kept of MRR@10':>22}{'better p':>10}{'equal p':>9}"
    )
    for system, figures in found.figures.items():
        own = figures["MRR@10"]
        low, high = ratio_interval(own.scores, reference)
        p = f"{own.better.corrected:.3f}" if own.better else "-"
        equal = f"{own.equivalent.corrected:.3f}" if own.equivalent else "-"
        print(
            f"{system:46}"
            + "".join(f"{figures[metric].mean:13.3f}" for metric in METRICS)
            + f"{own.mean / mean(reference):10.1%} [{low:.0%}, {high:.0%}]{p:>10}{equal:>9}"
        )
    return asdict(found)


def _collections(corpora: Corpora) -> list[tuple[str, Corpora]]:
    alone: list[tuple[str, Corpora]] = [(language, {language: one}) for language, one in corpora.items()]
    return [*alone, ("mixed", corpora)] if len(corpora) > 1 else alone


def _bm25(collection: Collection, queries: Mapping[str, str]) -> Runs:
    language = "none" if "+" in collection.name else collection.name
    retrieve = bm25_retriever(collection.doc_ids, collection.documents, language)
    return retrieve([Query(*pair) for pair in queries.items()], DEPTH)


def _hybrid(bm25: Runs, dense: Runs) -> Runs:
    return {
        query_id: fuse_min_max(
            [bm25.get(query_id, [])[:HYBRID_DEPTH], dense[query_id][:HYBRID_DEPTH]], [0.5, 0.5]
        )
        for query_id in dense
    }


def _original(doc_id: str) -> str:
    return doc_id.partition(":")[2]


def _translated_queries(given: Sequence[tuple[str, Path]]) -> dict[str, dict[str, str]]:
    return {language: query_texts(path) for language, path in given}


def _pair(text: str) -> tuple[str, Path]:
    name, found, path = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError(f"got '{text}', expected NAME=PATH")
    return name, Path(path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--languages", nargs="+", default=["it", "de"])
    parser.add_argument(
        "--system", type=_pair, action="append", required=True, help="NAME=model folder, best first"
    )
    parser.add_argument(
        "--english", type=Path, help="the reference's model folder (default: the packaged student)"
    )
    parser.add_argument("--reranker", help="the teacher: it re-ranks the first system's results")
    parser.add_argument(
        "--translated-queries", type=_pair, action="append", default=[], help="it=queries.it.tsv"
    )
    parser.add_argument("--cache", type=Path, help="folder for embeddings (default: OUT/embeddings)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--baseline", help="system that the others are tested against")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs, judgements and figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
