"""Quality of BM25, dense and hybrid search on judged collections, through a real cluster.

    python -m benchmarks.cranfield_quality --data ../shared/data --url http://127.0.0.1:9200

Each collection goes into an index of its own with the English analyzer, is embedded by the artifact, asked
through `HybridSearcher`, and deleted again. The figures come from trec_eval: nDCG@10 takes the judgement as
gain; recall@100 counts relevant documents among the first hundred.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import pytrec_eval
from opensearchpy import OpenSearch

from benchmarks.machine import finish
from ce2de_os import HybridSearcher, OnnxEncoder
from ce2de_os.config import OpenSearchSettings
from ce2de_os.index.bulk import WriteAction, write_documents
from ce2de_os.index.client import connect
from ce2de_os.index.documents import document_text
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.index.target_body import target_body
from ce2de_os.index.vector_field import VectorField
from ce2de_os.records import Hit, Query, read_documents, read_qrels, read_queries

FIELDS = ("title", "text")
MEASURES = {"ndcg_cut_10": "nDCG@10", "recall_100": "recall@100"}
TOP_K = 100

Search = Callable[[str], list[Hit]]
Qrels = dict[str, dict[str, int]]


def main() -> None:
    """Measure every collection and print a table."""
    options = _options()
    encoder = OnnxEncoder(options.artifact, threads=options.threads)
    result: dict[str, Any] = {"fingerprint": encoder.fingerprint}
    with connect(OpenSearchSettings(url=options.url)) as client:
        print(f"{'':32}" + "".join(f"{name:>12}" for name in MEASURES.values()))
        for name in options.collections:
            result[name] = _measure(client, options.data / name, encoder, options.weights)
    finish(result, options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of collections in the BEIR layout")
    parser.add_argument("--url", default=OpenSearchSettings().url, help="OpenSearch's address")
    parser.add_argument("--artifact", type=Path, help="model folder (default: the packaged student)")
    parser.add_argument("--collections", nargs="+", default=["cranfield", "cisi"])
    parser.add_argument("--weights", nargs="+", type=float, default=[0.3, 0.5, 0.7])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


def _measure(client: OpenSearch, folder: Path, encoder: OnnxEncoder, weights: list[float]) -> dict[str, Any]:
    qrels = _qrels(folder / "qrels.tsv")
    queries = [query for query in read_queries(folder / "queries.jsonl") if query.query_id in qrels]
    figures = {}
    with _indexed(client, folder / "corpus.jsonl", encoder) as (index, count):
        print(f"{folder.name}: {count:,} documents, {len(queries)} queries")
        for name, search in _ways(client, index, encoder, weights).items():
            figures[name] = _evaluate(search, queries, qrels)
            print(f"  {name:30}" + "".join(f"{value:12.3f}" for value in figures[name].values()))
    return {"documents": count, "queries": len(queries), "figures": figures}


def _ways(client: OpenSearch, index: str, encoder: OnnxEncoder, weights: list[float]) -> dict[str, Search]:
    """Every way to search, by its name in the table."""
    plain = HybridSearcher(client, index, encoder)
    ways: dict[str, Search] = {
        mode: partial(plain.search, top_k=TOP_K, mode=mode) for mode in ("bm25", "dense")
    }
    for weight in weights:
        searcher = HybridSearcher(client, index, encoder, dense_weight=weight)
        ways[f"hybrid, min-max, dense {weight}"] = partial(searcher.search, top_k=TOP_K)
    rrf = HybridSearcher(client, index, encoder, fusion="rrf")
    ways["hybrid, RRF"] = partial(rrf.search, top_k=TOP_K)
    return ways


def _evaluate(search: Search, queries: list[Query], qrels: Qrels) -> dict[str, float]:
    # trec_eval orders by score, and equal scores by id; so it is given our order as scores.
    run = {query.query_id: {hit.doc_id: 1 / hit.rank for hit in search(query.text)} for query in queries}
    per_query = pytrec_eval.RelevanceEvaluator(qrels, set(MEASURES)).evaluate(run)
    return {
        name: mean(scores[measure] for scores in per_query.values()) for measure, name in MEASURES.items()
    }


@contextmanager
def _indexed(client: OpenSearch, corpus: Path, encoder: OnnxEncoder) -> Iterator[tuple[str, int]]:
    """Index ``corpus``; yield the index and its number of documents, and delete the index afterwards."""
    index = f"benchmark-{corpus.parent.name}"
    sources = {
        document.doc_id: {"title": document.title, "text": document.text}
        for document in read_documents(corpus)
    }
    embeddings = encoder.encode_documents([document_text(source, FIELDS) for source in sources.values()])
    metadata = IndexMetadata(
        "ce2de_vector",
        FIELDS,
        encoder.fingerprint,
        encoder.dim,
        encoder.artifact.name,
        corpus.parent.name,
        encoder.space,
    )
    text = {"properties": {field: {"type": "text", "analyzer": "english"} for field in FIELDS}}
    client.indices.delete(index=index, params={"ignore": [404]})
    client.indices.create(index=index, body=target_body({}, text, metadata, VectorField(encoder.dim), "hash"))
    try:
        pairs = zip(sources.items(), embeddings.tolist(), strict=True)
        actions = (
            WriteAction(i, 1, None, {**source, "ce2de_vector": vector}) for (i, source), vector in pairs
        )
        report = write_documents(client, index, actions)
        client.indices.refresh(index=index)
        yield index, report.written
    finally:
        client.indices.delete(index=index)


def _qrels(path: Path) -> Qrels:
    """Read the judgments of every query that has a relevant document."""
    qrels: Qrels = {}
    for qrel in read_qrels(path):
        qrels.setdefault(qrel.query_id, {})[qrel.doc_id] = qrel.relevance
    return {query_id: judged for query_id, judged in qrels.items() if any(judged.values())}


if __name__ == "__main__":
    main()
