"""Reindex speed: documents a second from a plain index to a verified vector index, with 1 and 2 workers.

    eval "$(ce2de local env)"
    python -m benchmarks.reindex_speed --data ../shared/data

Needs a running cluster and Redis (``ce2de local up``); starts its own workers, one process each. Reading,
encoding and writing overlap in a worker, so their shares may add up to more than the time that passed.
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
from ce2de_os.artifact import Artifact
from ce2de_os.cli.worker_processes import worker_processes
from ce2de_os.config import Settings
from ce2de_os.index.client import connect
from ce2de_os.records import read_documents
from ce2de_os.reindex.job import DONE, FAILED
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.spec import TextSpec
from ce2de_os.reindex.start import start
from ce2de_os.reindex.status import status
from workers.queue import CeleryQueue

SOURCE = "bench-reindex"
STAGES = ("read_s", "encode_s", "write_s")


def main() -> None:
    """Measure and print the table."""
    options = _options()
    settings = Settings.from_env()
    client = connect(settings.opensearch)
    documents = _load(client, options.data, options.documents)
    rows = {}
    for workers in (1, 2):
        with (
            tempfile.TemporaryDirectory() as logs,
            worker_processes(workers, settings, Path(logs)),
        ):
            rows[workers] = _measure(client, settings, workers)
    client.indices.delete(index=f"{SOURCE}*")
    print(f"{documents} documents")
    for workers, row in rows.items():
        stages = ", ".join(f"{stage[:-2]} {row[stage] / row['seconds'] / workers:.0%}" for stage in STAGES)
        print(
            f"{workers} worker(s): {row['docs_per_s']:7.1f} docs/s, {row['seconds']:6.1f} s; "
            f"of a worker's time: {stages}"
        )
    print(f"2 workers are {rows[2]['docs_per_s'] / rows[1]['docs_per_s']:.2f}x as fast as 1")
    finish({"documents": documents, "workers": rows}, options.output)


def _load(client: OpenSearch, data: Path, limit: int | None) -> int:
    client.indices.delete(index=f"{SOURCE}*", params={"ignore": [404]})
    fields = {"title": {"type": "text"}, "text": {"type": "text"}}
    client.indices.create(index=SOURCE, body={"mappings": {"properties": fields}})
    found = islice(read_documents(data / "debian" / "corpus.en.jsonl.gz"), limit)
    actions = (
        {"_index": SOURCE, "_id": document.doc_id, "title": document.title, "text": document.text}
        for document in found
    )
    written, _ = helpers.bulk(client, actions, refresh=True)
    return int(written)


def _measure(client: OpenSearch, settings: Settings, workers: int) -> dict[str, Any]:
    request = JobRequest(
        SOURCE, TextSpec(("title", "text")), f"{SOURCE}-{workers}", f"{SOURCE}-target-{workers}"
    )
    started = time.monotonic()
    job = start(client, request, Artifact.load(settings.artifact), CeleryQueue(settings.broker_url))
    while (found := status(client, job.job_id)).job.state not in (DONE, FAILED):
        time.sleep(0.2)
    seconds = time.monotonic() - started
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
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
