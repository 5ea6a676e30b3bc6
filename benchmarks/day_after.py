"""The handover and the days after it: how long writes stand still, how soon a write has its vector.

    eval "$(ce2de local env)"
    python -m benchmarks.day_after handover --documents 10000 50000 --rates 0 100
    python -m benchmarks.day_after follow --rates 10 50 200
    python -m benchmarks.day_after backlog --documents 5000
    python -m benchmarks.day_after idle --shards 1 50

An application writes from a thread of this process; the worker follows in a process of its own, as a Celery
worker would. Needs a running cluster (``ce2de local up``), no Redis.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opensearchpy import OpenSearch, helpers
from opensearchpy.exceptions import TransportError

from benchmarks.machine import finish
from ce2de_os.config import Settings
from ce2de_os.index.client import connect
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.reindex.cutover.finish import finish as finish_job
from ce2de_os.reindex.following.adopt import adopt
from ce2de_os.reindex.following.follow import follow
from ce2de_os.reindex.job import Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.operate import cutover
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.slices.pipeline import run_slices
from ce2de_os.reindex.standing import standing_id
from ce2de_os.reindex.status import status

NAME = "bench-day-after"
TEXT = TextSpec(("title",))
WORDS = ("river", "engine", "poem", "harvest", "signal", "marble", "voyage", "lantern", "orchard", "bridge")
FOLLOW_S = 20.0


class Messages:
    """Carries nothing: the worker's process looks for itself."""

    def embed_slice(self, job: Job, number: int) -> None:
        """Do nothing."""

    def finish_job(self, job: Job) -> None:
        """Do nothing."""

    def follow_job(self, job: Job) -> None:
        """Do nothing."""

    def following(self) -> int:
        """None waits."""
        return 0

    def waiting(self) -> int:
        """No message waits."""
        return 0


def main() -> None:
    """Measure what is asked for, and print it."""
    options = _options()
    client = connect(Settings.from_env().opensearch)
    rows = globals()[f"measure_{options.what}"](client, options)
    _clear(client)
    for row in rows:
        print("  ".join(f"{name} {value:g}" for name, value in row.items()))
    finish({options.what: rows}, options.output)


def measure_handover(client: OpenSearch, options: argparse.Namespace) -> list[dict[str, float]]:
    """Seconds that writes were rejected, by documents and by writes a second."""
    encoder, rows = OnnxEncoder(), []
    for documents, rate in itertools.product(options.documents, options.rates):
        _fill(client, documents, texts=options.texts)
        client.indices.put_alias(index=NAME, name=f"{NAME}-app")
        job = start(
            client,
            JobRequest(NAME, TEXT, f"{NAME}-app", hold=True, follow=False),
            encoder.artifact,
            Messages(),
        )
        for number in range(len(job.ranges)):
            while run_slices(client, encoder, job.job_id, number, "bench", 60.0) is not None:
                continue
        finish_job(client, encoder, job.job_id, "bench")
        with _writing(client, f"{NAME}-app", rate) as journal:
            time.sleep(2.0 if rate else 0.0)
            job = cutover(client, encoder, job.job_id, "bench")
            time.sleep(1.0)
        row = {"documents": documents, "writes_per_s": rate, "blocked_s": round(job.blocked_s or 0.0, 2)}
        row["longest_wait_s"] = round(max(journal.waits, default=0.0), 2)
        rows.append(row)
    return rows


def measure_follow(client: OpenSearch, options: argparse.Namespace) -> list[dict[str, float]]:
    """Seconds from an acknowledged write to its vector, by writes a second."""
    rows = []
    for rate in options.rates:
        _fill(client, 2000, knn=True)
        with _worker(client), _writing(client, NAME, rate) as journal:
            ages = _ages(client, journal)
        row = {"writes_per_s": rate, "seen": len(ages), "p50_s": _share(ages, 0.5)}
        rows.append(row | {"p95_s": _share(ages, 0.95), "p99_s": _share(ages, 0.99)})
    return rows


def measure_backlog(client: OpenSearch, options: argparse.Namespace) -> list[dict[str, float]]:
    """How fast following works off a backlog, as a share of the encoder's own speed."""
    rows, encoder = [], OnnxEncoder()
    for documents in options.documents:
        texts = [_title(number, options.words) for number in range(documents)]
        begun = time.monotonic()
        for at in range(0, documents, 512):
            encoder.encode_documents(texts[at : at + 512])
        alone = documents / (time.monotonic() - begun)
        _fill(client, documents, knn=True, words=options.words)
        with _worker(client) as job_id:
            begun = time.monotonic()
            while (found := status(client, job_id)).lag != 0:
                time.sleep(0.2)
        followed = documents / (time.monotonic() - begun)
        row = {"documents": documents, "encoder_per_s": round(alone, 1), "follow_per_s": round(followed, 1)}
        rows.append(row | {"share": round(followed / alone, 2), "refused": found.dead_letters})
    return rows


def measure_idle(client: OpenSearch, options: argparse.Namespace) -> list[dict[str, float]]:
    """Measure requests and CPU seconds per minute of a standing job without work."""
    rows = []
    for shards in options.shards:
        _fill(client, 500, knn=True, number_of_shards=shards)
        job_id = adopt(
            client, JobRequest(NAME, TEXT, mode="in_place"), OnnxEncoder().artifact, Messages()
        ).job_id
        encoder = OnnxEncoder()
        while status(client, job_id).lag:
            follow(client, encoder, Messages(), job_id, "bench", FOLLOW_S)
        follow(client, encoder, Messages(), job_id, "bench", FOLLOW_S)  # its own updates come round once
        counted = _Counted(client)
        cpu, begun = time.process_time(), time.monotonic()
        follow(client, encoder, Messages(), job_id, "bench", FOLLOW_S)
        minutes = (time.monotonic() - begun) / 60
        cpu_s = (time.process_time() - cpu) / minutes
        rows.append(
            {
                "shards": shards,
                "requests_a_minute": round(counted.stop() / minutes),
                "cpu_s_a_minute": round(cpu_s, 2),
            }
        )
    return rows


class _Counted:
    """Counts the requests of a client."""

    def __init__(self, client: OpenSearch) -> None:
        self._transport, self.requests = client.transport, 0
        self._perform = client.transport.perform_request
        client.transport.perform_request = self._count  # type: ignore[method-assign]

    def _count(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed through
        self.requests += 1
        return self._perform(*args, **kwargs)

    def stop(self) -> int:
        self._transport.perform_request = self._perform  # type: ignore[method-assign]
        return self.requests


class _Journal:
    """When each write was acknowledged, and how long writers had to wait."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, tuple[str, float]] = {}
        self.waits: list[float] = []


@contextmanager
def _writing(client: OpenSearch, name: str, rate: float) -> Iterator[_Journal]:
    """Write new and changed documents, ``rate`` a second; a write that is rejected is repeated."""
    journal, stop = _Journal(), threading.Event()

    def write() -> None:
        for number in itertools.count():
            if stop.wait(1 / rate):
                return
            doc_id, begun = f"w{number % 5000}", time.monotonic()
            title = f"written {number} {_title(number)}"
            while not stop.is_set():
                try:
                    client.index(index=name, id=doc_id, body={"title": title})
                    break
                except TransportError:
                    time.sleep(0.02)
            journal.waits.append(time.monotonic() - begun)
            journal.acknowledged[doc_id] = (title, time.monotonic())

    writer = threading.Thread(target=write)
    if rate:
        writer.start()
    try:
        yield journal
    finally:
        stop.set()
        if rate:
            writer.join()


def _ages(client: OpenSearch, journal: _Journal) -> list[float]:
    """Look at the newest writes, four times a second, until each has its vector."""
    ages, begun, seen = [], time.monotonic(), set()
    while time.monotonic() - begun < FOLLOW_S:
        waiting = [(key, value) for key, value in list(journal.acknowledged.items()) if value not in seen]
        if waiting:
            body = {"ids": [key for key, _ in waiting]}
            params = {"_source_includes": "title,ce2de_vector_hash"}
            docs = client.mget(index=NAME, body=body, params=params)["docs"]
            now = time.monotonic()
            for (_, value), entry in zip(waiting, docs, strict=True):
                source = entry.get("_source", {})
                if source.get("title") == value[0] and source.get("ce2de_vector_hash"):
                    ages.append(now - value[1])
                    seen.add(value)
        time.sleep(0.1)
    return ages


@contextmanager
def _worker(client: OpenSearch) -> Iterator[str]:
    """Follow in a process of its own, as a worker does."""
    request = JobRequest(NAME, TEXT, mode="in_place")
    job_id = adopt(client, request, OnnxEncoder().artifact, Messages()).job_id
    process = multiprocessing.get_context("spawn").Process(target=_follow, args=[job_id], daemon=True)
    process.start()
    while Ledger(client).job(job_id).job.owner is None:
        time.sleep(0.1)
    try:
        yield job_id
    finally:
        process.kill()
        process.join()


def _follow(job_id: str) -> None:
    client, encoder = connect(Settings.from_env().opensearch), OnnxEncoder()
    while follow(client, encoder, Messages(), job_id, "bench", 20.0):
        continue


def _fill(
    client: OpenSearch,
    documents: int,
    knn: bool = False,
    number_of_shards: int = 1,
    words: int = 6,
    texts: int | None = None,
) -> None:
    """Make the index; the first ``texts`` documents have a title (``None``: all), the others a number."""
    _clear(client)
    settings = {"index.knn": knn, "number_of_shards": number_of_shards, "number_of_replicas": 0}
    mappings = {"properties": {"title": {"type": "text"}, "n": {"type": "long"}}}
    client.indices.create(index=NAME, body={"settings": settings, "mappings": mappings})
    actions = (
        {"_index": NAME, "_id": str(number)}
        | ({"title": _title(number, words)} if texts is None or number < texts else {"n": number})
        for number in range(documents)
    )
    helpers.bulk(client, actions, refresh=True, chunk_size=2000)


def _clear(client: OpenSearch) -> None:
    ledger = Ledger(client)
    ledger.create()
    for job in ledger.jobs():
        if NAME in job.source or job.job_id == standing_id(NAME):
            ledger.forget(job)
    client.indices.delete(index=f"{NAME}*", params={"ignore": [404]})


def _title(number: int, words: int = 6) -> str:
    return (
        " ".join(WORDS[(number // 10 ** (place % 6) + place) % 10] for place in range(words)) + f" {number}"
    )


def _share(ages: list[float], share: float) -> float:
    return round(statistics.quantiles(ages, n=100)[round(share * 100) - 1], 2) if len(ages) > 1 else 0.0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["handover", "follow", "backlog", "idle"])
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--rates", type=float, nargs="+", default=[10, 50, 200], help="writes a second")
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 50])
    parser.add_argument("--texts", type=int, help="documents of a handover that have text (default: all)")
    parser.add_argument("--words", type=int, default=100, help="of each document of a backlog")
    parser.add_argument("--output", type=Path, help="also write JSON here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
