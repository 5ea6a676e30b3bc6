"""A reindex beside ingest pipelines and the writers of frameworks; `neural` queries beside `HybridSearcher`.

    ce2de local up --with ml
    eval "$(ce2de local env)"
    python -m benchmarks.connect_speed --data ../shared/data --documents 2000

1. Documents: the same ones, embedded by `ce2de reindex` with one worker, and written through the pipeline of
   `ce2de connect` with batches of 1, 10 and 50, in bulk requests of 500. The time of a reindex is that from
   its start to its end, verification included, of documents that are in an index already; that of a pipeline
   includes writing the documents. CPU seconds are those of the process with the model, and of the node.
2. The same documents, or the first of them, by the writers of LangChain and Haystack with a MiniLM of six
   layers in sentence-transformers, in this process, where their packages are installed; see
   `benchmarks.writers`. Lost is a document that is not in the index afterwards.
3. Questions: `HybridSearcher` and a `neural` query in a `hybrid` one, in turn, each question once; how many
   have the same ten hits in the same order.

Model and node share the machine's cores, and one of each is all there is.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from opensearchpy import OpenSearch, helpers

from benchmarks.machine import finish
from benchmarks.writers import Write, default_folder, writers
from ce2de_os import ConnectRequest, HybridSearcher, JobRequest, OnnxEncoder, TextSpec, connect, reindex
from ce2de_os.cli.worker_processes import worker_processes
from ce2de_os.config import Settings
from ce2de_os.index.client import connect as connect_client
from ce2de_os.local.state import usable_ports
from ce2de_os.recipes.connect import disconnect
from ce2de_os.records import read_documents, read_queries
from ce2de_os.reindex.ledger import LEDGER_INDEX

SOURCE = "bench-connect"
ALIAS = f"{SOURCE}-search"
FIELDS = ("title", "text")
BATCHES = (1, 10, 50)
BULK = 500
VECTOR = "ce2de_vector"
VECTORS = (VECTOR, "vector_field", "embedding")
"""Ours, LangChain's and Haystack's."""

TOP_K, CANDIDATES = 10, 100
TICKS = os.sysconf("SC_CLK_TCK")


class Measured(NamedTuple):
    """Seconds on the wall, and of CPU; documents without a vector afterwards, and those refused or lost."""

    documents: int
    seconds: float
    model_cpu_s: float
    node_cpu_s: float
    without_vector: int
    refused: int


def main() -> None:
    """Measure and print the tables."""
    options = _options()
    settings = Settings.from_env()
    client = connect_client(settings.opensearch)
    corpus = options.data / "debian" / "corpus.en.jsonl.gz"
    sources = [
        {"_id": one.doc_id, "title": one.title, "text": one.text}
        for one in islice(read_documents(corpus), options.documents)
    ]
    questions = [one.text for one in read_queries(options.data / "debian" / "queries.dev.jsonl")]
    _load(client, sources)
    rows = {"reindex": _reindex(client, settings, len(sources))}
    try:
        written = sources[: options.writer_documents]
        for name, write in writers(options.sentence_model or default_folder()).items():
            rows[name] = _writer(client, settings.opensearch.url, write, written)
        with _service() as (url, pid):
            connect(ConnectRequest(ALIAS, url))
            for batch in BATCHES:
                rows[f"pipeline, batches of {batch}"] = _pipeline(client, sources, batch, pid)
            latency = _questions(client, settings, questions[: options.questions])
        disconnect(ALIAS)
    finally:
        _remove(client)
    _print(rows)
    print(
        f"{latency['same']} of {latency['questions']} questions have the same {TOP_K} hits in the same order"
    )
    result = {name: row._asdict() for name, row in rows.items()}
    finish({"documents": len(sources), "rows": result, "latency": latency}, options.json)


def _load(client: OpenSearch, sources: Sequence[dict[str, Any]]) -> None:
    _remove(client)
    properties = {field: {"type": "text"} for field in FIELDS}
    settings = {"index.knn": True, "index.number_of_replicas": 0}
    client.indices.create(index=SOURCE, body={"settings": settings, "mappings": {"properties": properties}})
    helpers.bulk(client, ({"_index": SOURCE, **one} for one in sources), refresh=True)


def _remove(client: OpenSearch) -> None:
    """Delete what an earlier run left: indices, and the records of jobs, which would keep workers busy."""
    client.indices.delete(index=f"{SOURCE}*", params={"ignore": [404]})
    query = {"query": {"wildcard": {"job_id": f"*{SOURCE}*"}}}
    params = {"conflicts": "proceed", "ignore_unavailable": "true", "refresh": "true"}
    client.delete_by_query(index=LEDGER_INDEX, body=query, params=params)


def _reindex(client: OpenSearch, settings: Settings, documents: int) -> Measured:
    with (
        tempfile.TemporaryDirectory() as logs,
        worker_processes(1, settings, Path(logs)),
    ):
        workers = [pid for pid in _children(os.getpid()) if "celery" in _command(pid)]
        request = JobRequest(SOURCE, TextSpec(FIELDS), ALIAS)
        row = _measured(client, workers, lambda: reindex(request, settings=settings), documents)
    return row


def _writer(client: OpenSearch, url: str, write: Write, sources: Sequence[dict[str, Any]]) -> Measured:
    index = f"{SOURCE}-writer"
    client.indices.delete(index=index, params={"ignore": [404]})
    work = partial(write, url, index, sources)
    row = _measured(client, [os.getpid()], work, len(sources), index)
    return row._replace(refused=len(sources) - client.count(index=index)["count"])


def _pipeline(client: OpenSearch, sources: Sequence[dict[str, Any]], batch: int, pid: int) -> Measured:
    """Write all documents anew through the pipeline, with another size of its batches."""
    name = f"ce2de-{ALIAS}-documents"
    body = client.ingest.get_pipeline(id=name)[name]
    for step in body["processors"]:
        if "text_embedding" in step:
            step["text_embedding"]["batch_size"] = batch
    client.ingest.put_pipeline(id=name, body=body)
    client.delete_by_query(index=ALIAS, body={"query": {"match_all": {}}}, params={"refresh": "true"})
    refused = 0

    def write() -> None:
        nonlocal refused
        actions = ({"_index": ALIAS, **one} for one in sources)
        _, errors = helpers.bulk(client, actions, chunk_size=BULK, raise_on_error=False, refresh=True)
        refused = len(errors) if isinstance(errors, list) else errors

    return _measured(client, [pid], write, len(sources))._replace(refused=refused)


def _measured(
    client: OpenSearch, pids: Sequence[int], work: Callable[[], object], documents: int, index: str = ALIAS
) -> Measured:
    family = [each for pid in pids for each in (pid, *_children(pid))]
    before, node = sum(map(_cpu_s, family)), _node_cpu_s(client)
    started = time.monotonic()
    work()
    seconds = time.monotonic() - started
    client.indices.refresh(index=index)
    vectors = {"bool": {"should": [{"exists": {"field": name}} for name in VECTORS]}}
    without = client.count(index=index, body={"query": {"bool": {"must_not": vectors}}})["count"]
    model_cpu_s, node_cpu_s = sum(map(_cpu_s, family)) - before, _node_cpu_s(client) - node
    return Measured(documents, seconds, model_cpu_s, node_cpu_s, without, 0)


def _questions(client: OpenSearch, settings: Settings, questions: Sequence[str]) -> dict[str, Any]:
    searcher = HybridSearcher(client, ALIAS, OnnxEncoder(settings.artifact), cached_queries=1)
    searcher.warm_up()
    ways: dict[str, Callable[[str], list[str]]] = {
        "HybridSearcher": lambda text: [hit.doc_id for hit in searcher.search(text, top_k=TOP_K)],
        "neural in hybrid": lambda text: _neural(client, text),
    }
    for ask in ways.values():
        ask("warm up")
    times: dict[str, list[float]] = {name: [] for name in ways}
    same = 0
    for text in questions:
        found = []
        for name, ask in ways.items():
            started = time.perf_counter()
            found.append(ask(text))
            times[name].append(1000 * (time.perf_counter() - started))
        same += found[0] == found[1]
    result: dict[str, Any] = {"questions": len(questions), "same": same}
    for name, values in times.items():
        result[name] = dict(
            zip(("p50", "p90", "p99"), np.percentile(values, (50, 90, 99)).tolist(), strict=True)
        )
        print(f"{name:<20}" + "".join(f"  {key} {value:6.1f} ms" for key, value in result[name].items()))
    return result


def _neural(client: OpenSearch, text: str) -> list[str]:
    words = {"multi_match": {"query": text, "fields": list(FIELDS), "type": "most_fields", "lenient": True}}
    meaning = {"neural": {VECTOR: {"query_text": text, "k": CANDIDATES}}}
    body = {
        "query": {"hybrid": {"queries": [words, meaning], "pagination_depth": CANDIDATES}},
        "size": TOP_K,
        "_source": {"excludes": ["ce2de_*"]},
    }
    return [hit["_id"] for hit in client.search(index=ALIAS, body=body)["hits"]["hits"]]


@contextmanager
def _service() -> Iterator[tuple[str, int]]:
    (port,) = usable_ports([0])
    command = [sys.executable, "-m", "ce2de_os", "serve", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if "Listening" in line)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


def _cpu_s(pid: int) -> float:
    """CPU time of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            found += [int(child), *_children(int(child))]
    return found


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ")


def _node_cpu_s(client: OpenSearch) -> float:
    nodes = client.nodes.stats(metric="process")["nodes"].values()
    return sum(node["process"]["cpu"]["total_in_millis"] for node in nodes) / 1000


def _print(rows: dict[str, Measured]) -> None:
    for name, row in rows.items():
        rate = row.documents / row.seconds
        print(
            f"{name:<24} {row.documents:7,} documents, {rate:7.1f} docs/s, "
            f"CPU: model {row.model_cpu_s:6.1f} s, node {row.node_cpu_s:6.1f} s; "
            f"refused or lost {row.refused}, without a vector {row.without_vector}"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with debian/")
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--writer-documents", type=int, default=500, help="of LangChain and Haystack")
    parser.add_argument("--sentence-model", type=Path, help="folder for sentence-transformers")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
