"""Reindex speed: documents a second from a plain index to a verified vector index, with 1 and 2 workers.

    eval "$(ce2de local env)"
    python -m benchmarks.reindex_speed --data ../shared/data

Beside the jobs the same documents go through the encoder alone and through the bulk writer alone: the slower
of the two is what a job could reach at best. Needs a running cluster and Redis (``ce2de local up``); starts
its own workers, one process each. Reading, encoding and writing overlap in a worker, so their shares may add
up to more than the time that passed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from opensearchpy import OpenSearch, helpers

from benchmarks.machine import finish
from ce2de_os.cli.worker_processes import worker_processes
from ce2de_os.config import Settings
from ce2de_os.index.bulk import BulkWriter, WriteAction
from ce2de_os.index.client import connect
from ce2de_os.index.documents import document_text
from ce2de_os.index.target_body import vector_properties
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.index.vector_field import VectorField
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.records import read_documents
from ce2de_os.reindex.job import DONE, FAILED
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.slices.pipeline import LARGEST_PAGE
from ce2de_os.reindex.status import status
from ce2de_os.worker.queue import CeleryQueue

SOURCE = "bench-reindex"
FIELDS = ("title", "text")
FIELD_MAPPING = {field: {"type": "text"} for field in FIELDS}
STAGES = ("read_s", "encode_s", "write_s")


def main() -> None:
    """Measure and print the table."""
    options = _options()
    settings = Settings.from_env()
    client = connect(settings.opensearch)
    documents = _load(client, options.data, options.documents)
    alone = _alone(client, settings, options.data, documents)
    rows = {}
    for workers in (1, 2):
        with (
            tempfile.TemporaryDirectory() as logs,
            worker_processes(workers, settings, Path(logs), options.app),
        ):
            rows[workers] = _measure(client, settings, workers)
    client.indices.delete(index=f"{SOURCE}*")
    print(
        f"{documents} documents; alone: encoding {alone['encode']:.1f}, writing {alone['write']:.1f} docs/s"
    )
    for workers, row in rows.items():
        stages = ", ".join(f"{stage[:-2]} {row[stage] / row['seconds'] / workers:.0%}" for stage in STAGES)
        print(
            f"{workers} worker(s): {row['docs_per_s']:7.1f} docs/s, {row['seconds']:6.1f} s; "
            f"of a worker's time: {stages}"
        )
    best = min(alone.values())
    print(f"1 worker reaches {rows[1]['docs_per_s'] / best:.0%} of the slower of encoding and writing alone")
    print(f"2 workers are {rows[2]['docs_per_s'] / rows[1]['docs_per_s']:.2f}x as fast as 1")
    finish({"documents": documents, "alone": alone, "workers": rows}, options.output)


def _load(client: OpenSearch, data: Path, limit: int | None) -> int:
    client.indices.delete(index=f"{SOURCE}*", params={"ignore": [404]})
    client.indices.create(index=SOURCE, body={"mappings": {"properties": FIELD_MAPPING}})
    found = islice(read_documents(data / "debian" / "corpus.en.jsonl.gz"), limit)
    actions = (
        {"_index": SOURCE, "_id": document.doc_id, "title": document.title, "text": document.text}
        for document in found
    )
    written, _ = helpers.bulk(client, actions, refresh=True)
    return int(written)


def _alone(client: OpenSearch, settings: Settings, data: Path, documents: int) -> dict[str, float]:
    """Documents a second of one encoder, and of one writer, with nothing else to do."""
    encoder = OnnxEncoder(settings.artifact)
    found = list(islice(read_documents(data / "debian" / "corpus.en.jsonl.gz"), documents))
    sources = [{"title": document.title, "text": document.text} for document in found]
    texts = [document_text(source, FIELDS) for source in sources]
    started = time.monotonic()
    pages = [
        encoder.encode_documents(texts[at : at + LARGEST_PAGE]) for at in range(0, documents, LARGEST_PAGE)
    ]
    encode_s = time.monotonic() - started
    vector = VectorField(encoder.dim)
    values = (value for page in pages for value in vector.encode_json(page))
    target = f"{SOURCE}-alone"
    body = {
        "settings": {"index.knn": True, "refresh_interval": "-1", "number_of_replicas": 0},
        "mappings": {"properties": {**FIELD_MAPPING, **vector_properties(vector, vector.hash_field)}},
    }
    client.indices.create(index=target, body=body)
    started = time.monotonic()
    actions = (
        WriteAction(document.doc_id, 1, None, {**source, vector.name: value})
        for document, source, value in zip(found, sources, values, strict=True)
    )
    with BulkWriter(client) as writer:
        while page := list(islice(actions, LARGEST_PAGE)):
            writer.write(target, page)
    write_s = time.monotonic() - started
    client.indices.delete(index=target)
    return {"encode": documents / encode_s, "write": documents / write_s}


def _measure(client: OpenSearch, settings: Settings, workers: int) -> dict[str, Any]:
    request = JobRequest(SOURCE, TextSpec(FIELDS), f"{SOURCE}-{workers}", f"{SOURCE}-target-{workers}")
    started = time.monotonic()
    job = start(client, request, Artifact.load(settings.artifact), CeleryQueue(settings.broker_url))
    ledger = Ledger(client)
    while ledger.job(job.job_id).job.state not in (
        DONE,
        FAILED,
    ):  # asks for nothing more, so as not to disturb
        time.sleep(0.2)
    seconds = time.monotonic() - started
    found = status(client, job.job_id)
    if found.job.state == FAILED:
        raise SystemExit(found.job.error)
    counts = found.counts
    stages = {stage: getattr(counts, stage) for stage in STAGES}
    return {"seconds": seconds, "docs_per_s": counts.documents / seconds, **stages}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with debian/corpus.en.jsonl.gz")
    parser.add_argument("--documents", type=int, help="only the first so many (default: all)")
    parser.add_argument(
        "--rest", dest="app", action="store_const", const="benchmarks.resting_worker",
        default="ce2de_os.worker.app",
        help="encoders rest three quarters of the time, as if they had cores of their own",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
