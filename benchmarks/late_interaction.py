"""Late interaction: what MaxSim of token vectors does to quality, latency and disk, through a real cluster.

    ce2de export runs/student --out my-token-model --token-vectors
    python -m benchmarks.late_interaction --data ../shared/data --artifact my-token-model --url URL

Each collection goes into an index of its own with the English analyzer, once with and once without token
vectors, and is deleted again. Quality: nDCG@10 of vectors alone and of the hybrid, each as it is and with its
100 best hits ordered anew, for several shares of MaxSim, with a paired t-test against the former. Latency:
what scoring adds to a hybrid search of 10 hits, median over queries, where it is done by the cluster, from
stored token vectors, and from the hits' texts.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from opensearchpy import OpenSearch

from benchmarks.machine import finish
from ce2de_os import HybridSearcher, OnnxEncoder
from ce2de_os.arrays import Embeddings, TokenVectors
from ce2de_os.config import OpenSearchSettings
from ce2de_os.evaluation import Judged, judged_files, load_judged, mean, measure, paired_t_test
from ce2de_os.index.bulk import WriteAction, write_documents
from ce2de_os.index.client import connect
from ce2de_os.index.documents import document_text
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.index.target_body import target_body
from ce2de_os.index.token_field import to_json
from ce2de_os.index.vector_field import VectorField
from ce2de_os.records import ScoredDoc, read_documents
from ce2de_os.search.late_interaction import LateInteraction, Scoring
from ce2de_os.search.rerank import blended, reordered
from ce2de_os.search.result import SearchResult

FIELDS = ("title", "text")
DEPTH = 100
WEIGHTS = (1.0, 0.75, 0.5, 0.25)
DEPTHS = (20, 50, 100)
SCORINGS: tuple[Scoring, ...] = ("cluster", "stored", "text")
METRIC = "nDCG@10"
BATCH = 20


class _Encoded(NamedTuple):
    """A collection's documents by id, and what the model makes of each."""

    sources: dict[str, dict[str, str]]
    embeddings: Embeddings
    tokens: list[TokenVectors]


def main() -> None:
    """Measure every collection and print its tables."""
    options = _options()
    encoder = OnnxEncoder(options.artifact, threads=1)
    result: dict[str, Any] = {"fingerprint": encoder.fingerprint, "token_dim": encoder.artifact.token_dim}
    print(f"token vectors of {encoder.artifact.token_dim} numbers")
    with connect(OpenSearchSettings(url=options.url)) as client:
        for name in options.collections:
            result[name] = _collection(client, options.data / name, encoder, options.queries)
    finish(result, options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of collections in the BEIR layout")
    parser.add_argument("--artifact", type=Path, required=True, help="model folder with token vectors")
    parser.add_argument("--url", default=OpenSearchSettings().url, help="OpenSearch's address")
    parser.add_argument("--collections", nargs="+", default=["cranfield", "cisi"])
    parser.add_argument("--queries", type=int, default=40, help="how many are timed; 0: none")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


def _collection(client: OpenSearch, folder: Path, encoder: OnnxEncoder, timed: int) -> dict[str, Any]:
    judged = load_judged(*judged_files(folder))
    encoded = _encoded(folder, encoder)
    tokens = sum(map(len, encoded.tokens)) / len(encoded.tokens)
    with _indexed(client, folder.name, encoder, encoded, token_dim=None) as index:
        plain = _bytes_per_document(client, index)
    with _indexed(client, folder.name, encoder, encoded, token_dim=encoder.artifact.token_dim) as index:
        disk = _bytes_per_document(client, index)
        print(f"{folder.name}: {disk:,.0f} bytes a document on disk, {plain:,.0f} without token vectors,")
        print(f"  which are {tokens:.1f} a document")
        quality = _quality(client, index, encoder, judged)
        difference = _difference(client, index, encoder, judged)
        print(f"  largest difference of a score: {difference}")
        latency = _latency(client, index, encoder, list(judged.queries.values())[:timed]) if timed else {}
    return {
        "bytes": disk, "plain_bytes": plain, "quality": quality, "difference": difference, "latency": latency,
    }  # fmt: skip


def _quality(client: OpenSearch, index: str, encoder: OnnxEncoder, judged: Judged) -> dict[str, Any]:
    searcher = HybridSearcher(
        client, index, encoder, reranker=LateInteraction(encoder, scoring="stored"), top_k=DEPTH
    )
    figures: dict[str, Any] = {}
    for mode in ("dense", "hybrid"):
        found = _ask(searcher, judged, mode=mode, rerank_depth=DEPTH)
        before = measure(judged.qrels, _runs(found, weight=0), METRIC)
        figures[mode] = mean(before)
        print(f"  {mode:28}{mean(before):8.3f}")
        for weight in WEIGHTS:
            after = measure(judged.qrels, _runs(found, weight), METRIC)
            p = paired_t_test(after, before)
            figures[f"{mode} + MaxSim {weight}"] = (mean(after), p)
            print(f"  {mode + f' + MaxSim, weight {weight}':28}{mean(after):8.3f}   p = {p:.3g}", flush=True)
    return figures


def _ask(searcher: HybridSearcher, judged: Judged, **options: Any) -> dict[str, SearchResult]:  # noqa: ANN401
    names, results = list(judged.queries), []
    for start in range(0, len(names), BATCH):
        texts = [judged.queries[name] for name in names[start : start + BATCH]]
        results += searcher.search_many(texts, source=False, **options)
    return dict(zip(names, results, strict=True))


def _runs(found: dict[str, SearchResult], weight: float) -> dict[str, list[ScoredDoc]]:
    """Rank again with another share of MaxSim, from each hit's first score and its MaxSim."""
    runs = {}
    for name, result in found.items():
        hits = sorted(result, key=lambda hit: -hit.score)
        logits = [hit.logit or 0.0 for hit in hits]
        keys = blended(logits, [hit.score for hit in hits], weight)
        runs[name] = [ScoredDoc(hit.doc_id, hit.score) for hit, _ in reordered(hits, logits, keys)]
    return runs


def _difference(client: OpenSearch, index: str, encoder: OnnxEncoder, judged: Judged) -> dict[str, float]:
    """Compute the largest difference between the cluster's MaxSim and that of the other two ways."""
    logits: dict[str, dict[tuple[str, str], float]] = {}
    few = judged.only(set(list(judged.queries)[:BATCH]))
    for scoring in SCORINGS:
        late = LateInteraction(encoder, scoring=scoring)
        searcher = HybridSearcher(client, index, encoder, reranker=late, top_k=DEPTH, rerank_depth=DEPTH)
        found = _ask(searcher, few)
        logits[scoring] = {
            (name, hit.doc_id): hit.logit or 0.0 for name, result in found.items() for hit in result
        }
    cluster = logits.pop("cluster")
    return {
        scoring: max(abs(value - cluster[key]) for key, value in other.items())
        for scoring, other in logits.items()
    }


def _latency(client: OpenSearch, index: str, encoder: OnnxEncoder, texts: list[str]) -> dict[str, Any]:
    """Milliseconds that scoring takes of a search; the ways take turns, so that noise troubles all alike."""
    searchers = {
        scoring: HybridSearcher(client, index, encoder, reranker=LateInteraction(encoder, scoring=scoring))
        for scoring in SCORINGS
    }
    times: dict[tuple[str, int], list[float]] = {}
    searched: list[float] = []
    for searcher in searchers.values():
        searcher.warm_up()
    for text in texts:
        for scoring, searcher in searchers.items():
            for depth in DEPTHS:
                timings = searcher.search(text, rerank_depth=depth).timings
                times.setdefault((scoring, depth), []).append(timings.rerank_ms)
                searched.append(timings.search_ms)
    print(f"  a hybrid search without it: {median(searched):.1f} ms; scoring adds, at depth")
    print(f"  {'':12}" + "".join(f"{depth:>10}" for depth in DEPTHS))
    for scoring in SCORINGS:
        row = "".join(f"{median(times[scoring, depth]):>7.1f} ms" for depth in DEPTHS)
        print(f"  {scoring:12}{row}")
    return {f"{scoring} {depth}": median(values) for (scoring, depth), values in times.items()}


def _encoded(folder: Path, encoder: OnnxEncoder) -> _Encoded:
    sources = {
        document.doc_id: {"title": document.title, "text": document.text}
        for document in read_documents(folder / "corpus.jsonl")
    }
    texts = [document_text(source, FIELDS) for source in sources.values()]
    return _Encoded(sources, *encoder.encode_documents_and_tokens(texts))


@contextmanager
def _indexed(
    client: OpenSearch, name: str, encoder: OnnxEncoder, encoded: _Encoded, *, token_dim: int | None
) -> Iterator[str]:
    """Index a collection, with token vectors if there is a ``token_dim``; delete the index afterwards."""
    index = f"benchmark-late-{name}"
    field = VectorField(encoder.dim, token_dim=token_dim)
    metadata = IndexMetadata(
        field.name, FIELDS, encoder.fingerprint, encoder.dim, encoder.artifact.name, name, encoder.space,
        token_dim=token_dim,
    )  # fmt: skip
    mappings = {"properties": {one: {"type": "text", "analyzer": "english"} for one in FIELDS}}
    client.indices.delete(index=index, params={"ignore": [404]})
    client.indices.create(index=index, body=target_body({}, mappings, metadata, field, field.hash_field))
    try:
        write_documents(client, index, _actions(encoded, field))
        client.indices.forcemerge(index=index, params={"max_num_segments": 1})
        client.indices.refresh(index=index)
        yield index
    finally:
        client.indices.delete(index=index)


def _actions(encoded: _Encoded, field: VectorField) -> Iterator[WriteAction]:
    vectors = field.encode(encoded.embeddings)
    for (doc_id, source), vector, tokens in zip(
        encoded.sources.items(), vectors, encoded.tokens, strict=True
    ):
        stored = {field.token_field: to_json(tokens)} if field.token_field else {}
        yield WriteAction(doc_id, 1, None, {**source, field.name: vector, **stored})


def _bytes_per_document(client: OpenSearch, index: str) -> float:
    client.indices.flush(index=index)
    primaries = client.indices.stats(index=index)["_all"]["primaries"]
    return float(primaries["store"]["size_in_bytes"] / primaries["docs"]["count"])


if __name__ == "__main__":
    main()
