"""Latency of queries: what the searcher adds, the ways to search, and two peers on the same documents.

    python -m benchmarks.query_latency --data ../shared/data --url http://127.0.0.1:9200 \
        --reranker my-reranker --json latency.json

The peers are left out unless ``--peers`` is given; they live in a folder of their own::

    pip install --target peers -c constraints.txt langchain-community opensearch-haystack
    PYTHONPATH=peers python -m benchmarks.query_latency --data ../shared/data --peers

1. Added: the same ``_msearch`` body through `HybridSearcher` and by hand with opensearch-py, in turn, the
   query's vector known already. Encoding is timed by itself, on one core.
2. Ways: BM25, dense, hybrid and, with ``--reranker``, hybrid + CE, with 1 and with 8 callers (threads) that
   share one searcher. Every query is encoded anew.
3. Peers: the same questions through LangChain's and Haystack's OpenSearch integrations, each with its own
   defaults, with all-MiniLM-L6-v2 on sentence-transformers.

All ask for 10 hits. The documents' vectors are the packaged student's for everyone: it learned the vector
space of all-MiniLM-L6-v2, and latency does not depend on whose they are. The indexes are deleted again.
Percentiles include whatever else the machine does: run it on an idle one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from opensearchpy import OpenSearch, helpers

from benchmarks.machine import finish
from ce2de_os import HybridSearcher, OnnxEncoder
from ce2de_os.arrays import Embeddings
from ce2de_os.config import OpenSearchSettings
from ce2de_os.index.metadata import IndexMetadata
from ce2de_os.index.target_body import target_body
from ce2de_os.index.vector_field import VectorField
from ce2de_os.model.reranker import OnnxReranker
from ce2de_os.records import Document, read_documents, read_queries

INDEX, HAYSTACK = "benchmark-query-latency", "benchmark-query-latency-haystack"
FIELDS = ("title", "text")
# LangChain's hybrid query knows the names "text" and "vector_field" only.
VECTOR_FIELD = "vector_field"
TOP_K = 10
WORDS = 10
CALLERS = (1, 8)
TURN = 40  # questions asked one way before it is the next way's turn
MODES = ("bm25", "dense", "hybrid")
COLUMNS = ("p50", "p90", "p99")

Ask = Callable[[str], object]
Times = tuple[float, float]
"""Wall and CPU milliseconds."""


class Recorder(OpenSearch):
    """Remembers the body of the last ``_msearch``."""

    def msearch(self, *, body: Any, **arguments: Any) -> Any:  # noqa: ANN401
        """Send it as ever."""
        self.sent = body
        return super().msearch(body=body, **arguments)


def main() -> None:
    """Measure and print the tables."""
    options = _options()
    encoder = OnnxEncoder(options.artifact)
    reranker = OnnxReranker(options.reranker) if options.reranker else None
    documents = list(
        islice(read_documents(options.data / "debian" / "corpus.en.jsonl.gz"), options.documents)
    )
    questions = [query.text for query in read_queries(options.data / "debian" / "queries.dev.jsonl")]
    questions = questions[: options.questions]
    vectors = _vectors(encoder, documents, options.vectors)
    result: dict[str, Any] = {"documents": len(documents), "questions": len(questions)}
    with (
        Recorder(**OpenSearchSettings(url=options.url).client_kwargs()) as client,
        _indexed(client, encoder, documents, vectors, options.peers),
    ):
        print(f"{len(documents):,} documents, {len(questions)} questions, {TOP_K} hits; milliseconds")
        result["encoding"] = _encoding(encoder, questions)
        result["added"] = _added(client, encoder, questions)
        ways = _ways(client, encoder, reranker)
        if options.peers:
            ways |= _peers(client, options.url, questions, result)
        result["latency"] = _latency(ways, questions)
    finish(result, options.json)


def _encoding(encoder: OnnxEncoder, questions: Sequence[str]) -> dict[str, float]:
    """One query of ten words after the other, on one core."""
    words = " ".join(questions).split()
    texts = [" ".join(words[at : at + WORDS]) for at in range(0, len(words) - WORDS, WORDS)][:200]
    return _print(
        "encode 10 words", [_timed(lambda text: encoder.encode_queries([text]), one) for one in texts]
    )


def _added(client: Recorder, encoder: OnnxEncoder, questions: Sequence[str]) -> dict[str, Any]:
    """Compare the searcher with the same body sent by hand, question by question."""
    found = {}
    for mode in MODES:
        searcher = HybridSearcher(client, INDEX, encoder, mode=mode, cached_queries=len(questions))
        searcher.warm_up()
        bodies = {}
        for text in questions:
            searcher.search(text)
            bodies[text] = client.sent
        ways = {
            "searcher": searcher.search,
            "by hand": lambda text, all_=bodies: client.msearch(body=all_[text]),
        }
        times = _in_turn(ways, questions)
        for name, pairs in times.items():
            _print(f"{mode}, {name}", [wall for wall, _ in pairs])
        found[mode] = _differences(times["searcher"], times["by hand"])
        print(f"{mode}: added " + ", ".join(f"{name} {value:.2f}" for name, value in found[mode].items()))
    return found


def _differences(ours: Sequence[Times], by_hand: Sequence[Times]) -> dict[str, float]:
    """Compute what the searcher adds, in wall time and in CPU time, which noise affects less."""
    wall, cpu = (
        [(left[clock], right[clock]) for left, right in zip(ours, by_hand, strict=True)] for clock in (0, 1)
    )
    return {
        "at_p50_ms": statistics.median(left for left, _ in wall)
        - statistics.median(right for _, right in wall),
        "median_difference_ms": statistics.median(left - right for left, right in wall),
        "cpu_median_difference_ms": statistics.median(left - right for left, right in cpu),
    }


def _in_turn(ways: Mapping[str, Ask], questions: Sequence[str]) -> dict[str, list[Times]]:
    """Wall and CPU milliseconds of each question, each way, in a random order."""
    rng = random.Random(0)
    times: dict[str, list[Times]] = {name: [] for name in ways}
    for text in questions:
        for name in rng.sample(list(ways), len(ways)):
            cpu = time.thread_time()
            wall = _timed(ways[name], text)
            times[name].append((wall, 1000 * (time.thread_time() - cpu)))
    return times


def _ways(client: OpenSearch, encoder: OnnxEncoder, reranker: OnnxReranker | None) -> dict[str, Ask]:
    """Return the searches that this package offers, without a cache of query vectors."""
    plain = HybridSearcher(client, INDEX, encoder, cached_queries=0)
    plain.warm_up()
    ways: dict[str, Ask] = {
        "BM25": partial(plain.search, mode="bm25"),
        "dense": partial(plain.search, mode="dense"),
        "hybrid": plain.search,
        f"hybrid, {TOP_K} candidates": partial(plain.search, candidates=TOP_K),
    }
    if reranker is not None:
        second = HybridSearcher(client, INDEX, encoder, reranker=reranker, cached_queries=0)
        second.warm_up()
        ways["hybrid + CE"] = second.search
    return ways


def _peers(client: OpenSearch, url: str, questions: Sequence[str], result: dict[str, Any]) -> dict[str, Ask]:
    from benchmarks.query_peers import CountingEncoder, encoded_each, haystack_ways, langchain_ways

    encoder = CountingEncoder()
    peers = {
        "LangChain": langchain_ways(client, url, INDEX, encoder),
        "Haystack": haystack_ways(url, HAYSTACK, encoder),
    }
    ways = {f"{peer} {name}": ask for peer, found in peers.items() for name, ask in found.items()}
    _print("sentence-transformers, one query", [_timed(encoder.encode, text) for text in questions])
    result["peers_encode_each_query"] = encoded_each(ways, encoder, questions[:10])
    return dict(ways)


def _latency(ways: Mapping[str, Ask], questions: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = {}
    for callers in CALLERS:
        print(f"\n{f'{callers} caller(s)':34}" + "".join(f"{name:>9}" for name in COLUMNS))
        times: dict[str, list[float]] = {name: [] for name in ways}
        for ask in ways.values():
            _callers(ask, questions[: max(20, callers)], callers)  # kernels, connections, the server's caches
        # The ways take turns, so that noise troubles all alike.
        for start in range(0, len(questions), TURN):
            for name, ask in ways.items():
                times[name] += _callers(ask, questions[start : start + TURN], callers)
        found[str(callers)] = {name: _print(name, values) for name, values in times.items()}
    return found


def _callers(ask: Ask, questions: Sequence[str], callers: int) -> list[float]:
    """Milliseconds of each question, asked by so many threads at once."""
    if callers == 1:
        return [_timed(ask, text) for text in questions]
    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(partial(_timed, ask), questions))


def _timed(ask: Ask, text: str) -> float:
    start = time.perf_counter()
    ask(text)
    return 1000 * (time.perf_counter() - start)


def _print(name: str, times_ms: Sequence[float]) -> dict[str, float]:
    percentiles = [float(value) for value in np.percentile(times_ms, [50, 90, 99])]
    print(f"{name:34}" + "".join(f"{value:9.2f}" for value in percentiles), flush=True)
    return dict(zip(COLUMNS, percentiles, strict=True))


def _vectors(encoder: OnnxEncoder, documents: Sequence[Document], file: Path | None) -> Embeddings:
    """Read the documents' vectors from ``file`` if it has enough of them; else compute and write them."""
    if file is not None and file.exists():
        known: Embeddings = np.load(file)
        if len(known) >= len(documents):
            return known[: len(documents)]
    vectors = encoder.encode_documents([document.whole for document in documents])
    if file is not None:
        np.save(file, vectors)
    return vectors


@contextmanager
def _indexed(
    client: OpenSearch, encoder: OnnxEncoder, documents: Sequence[Document], vectors: Embeddings, peers: bool
) -> Iterator[None]:
    """Create the index, and the one that Haystack's fixed names need; delete both afterwards."""
    rows = list(zip(documents, vectors.tolist(), strict=True))
    fields = {name: {"type": "text"} for name in FIELDS}
    ours = (
        {"_id": one.doc_id, "title": one.title, "text": one.text, VECTOR_FIELD: vector}
        for one, vector in rows
    )
    haystacks = (
        {"_id": one.doc_id, "id": one.doc_id, "content": one.whole, "embedding": vector}
        for one, vector in rows
    )
    wanted = [(INDEX, VECTOR_FIELD, fields, ours)]
    if peers:
        plain = {"id": {"type": "keyword"}, "content": {"type": "text"}}
        wanted.append((HAYSTACK, "embedding", plain, haystacks))
    try:
        for index, vector_field, properties, actions in wanted:
            client.indices.delete(index=index, params={"ignore": [404]})
            metadata = IndexMetadata(
                vector_field,
                FIELDS,
                encoder.fingerprint,
                encoder.dim,
                encoder.artifact.name,
                "debian",
                encoder.space,
            )
            field = VectorField(encoder.dim, name=vector_field)
            body = target_body({}, {"properties": properties}, metadata, field, "hash")
            client.indices.create(index=index, body=body)
            helpers.bulk(
                client, ({"_index": index, **one} for one in actions), chunk_size=200, request_timeout=120
            )
            client.indices.forcemerge(index=index, params={"max_num_segments": 1, "request_timeout": 600})
            client.indices.refresh(index=index)
        yield
    finally:
        client.indices.delete(index=f"{INDEX}*")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with debian/ in the BEIR layout")
    parser.add_argument("--url", default=OpenSearchSettings().url, help="OpenSearch's address")
    parser.add_argument("--artifact", type=Path, help="model folder (default: the packaged student)")
    parser.add_argument("--reranker", type=Path, help="folder of an exported cross-encoder")
    parser.add_argument("--documents", type=int, help="only the first so many (default: all)")
    parser.add_argument("--questions", type=int, default=500, help="only the first so many")
    parser.add_argument("--vectors", type=Path, help="keep the documents' vectors in this .npy file")
    parser.add_argument("--peers", action="store_true", help="also time LangChain and Haystack")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
