"""Small indexes and a small encoder for the tests."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from opensearchpy import OpenSearch, helpers

from ce2de_os.arrays import Embeddings, l2_normalize
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.reindex.cutover.finish import finish
from ce2de_os.reindex.following.follow import follow
from ce2de_os.reindex.job import Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.queue import after_finish, after_slices
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.slices.pipeline import run_slices

TEXT_MAPPING = {"properties": {"title": {"type": "text"}, "body": {"type": "text"}}}


@dataclass(frozen=True)
class HashEncoder:
    """Deterministic vectors of a text's hash: tells at once whether a stored vector belongs to its text."""

    fingerprint: str = "a" * 64
    dim: int = 16
    name: str = "hash"
    token_dim: int | None = None

    @property
    def space(self) -> str:
        return self.fingerprint

    @property
    def tokens_read(self) -> int:
        return 0

    def split(self, text: str, length: int, stride: int) -> list[tuple[int, int]]:
        """Characters stand for tokens."""
        starts = range(0, max(1, len(text) - length + stride), stride)
        return [(start, min(start + length, len(text))) for start in starts]

    def encode_documents(self, texts: Sequence[str]) -> Embeddings:
        digests = [hashlib.md5(text.encode("utf-8", "replace")).digest() for text in texts]
        rows = np.array([list(digest) for digest in digests], dtype=np.float32).reshape(len(texts), self.dim)
        return l2_normalize(rows - 127)


class InlineQueue:
    """A task queue without a broker: `run` handles its messages one after the other."""

    def __init__(self) -> None:
        self.messages: deque[tuple[str, int | None]] = deque()
        self.standing: list[str] = []

    def follow_job(self, job: Job) -> None:
        self.standing.append(job.job_id)

    def follow(self, client: OpenSearch, encoder: Any, owner: str = "tester", budget_s: float = 0.0) -> None:
        """Let each standing job that a message speaks of look once, or for a while."""
        for job_id in set(self.standing):
            follow(client, encoder, self, job_id, owner, budget_s)

    def embed_slice(self, job: Job, number: int) -> None:
        self.messages.append((job.job_id, number))

    def finish_job(self, job: Job) -> None:
        self.messages.appendleft((job.job_id, None))

    def following(self) -> int:
        return 0

    def waiting(self) -> int:
        return len(self.messages)

    def run(self, client: OpenSearch, encoder: Any, owner: str = "tester", budget_s: float = 20.0) -> None:
        while self.messages:
            job_id, number = self.messages.popleft()
            if number is None:
                finish(client, encoder, job_id, owner)
                after_finish(Ledger(client), self, job_id)
            else:
                left = run_slices(client, encoder, job_id, number, owner, budget_s)
                after_slices(Ledger(client), self, job_id, left)


def create_index(
    client: OpenSearch,
    name: str,
    sources: Iterable[dict[str, Any]],
    mappings: Any = TEXT_MAPPING,
    **settings: Any,
) -> None:
    client.indices.create(index=name, body={"mappings": mappings, "settings": settings})
    actions = ({"_index": name, "_id": str(number), **source} for number, source in enumerate(sources))
    helpers.bulk(client, actions, refresh=True)


def articles(count: int) -> Iterable[dict[str, Any]]:
    words = ["river", "engine", "poem", "harvest", "signal", "marble", "voyage"]
    for number in range(count):
        first, second = words[number % 7], words[(number // 7) % 7]
        yield {
            "title": f"{first} and {second} {number}",
            "body": f"An account of the {first}, part {number}.",
        }


def all_documents(client: OpenSearch, index: str) -> dict[str, dict[str, Any]]:
    """Every document by id; fails if an id comes twice."""
    client.indices.refresh(index=index)
    found: dict[str, dict[str, Any]] = {}
    for hit in helpers.scan(client, index=index, query={"query": {"match_all": {}}}):
        assert hit["_id"] not in found
        found[hit["_id"]] = hit["_source"]
    return found


def assert_same_documents(client: OpenSearch, source: str, target: str, encoder: Any = None) -> None:
    """Every source document is in the target exactly once, as it is, with the vector of its present text."""
    expected, found = all_documents(client, source), all_documents(client, target)
    vectors = {doc_id: document.pop("ce2de_vector", None) for doc_id, document in found.items()}
    for document in found.values():
        document.pop("ce2de_vector_hash", None)
        document.pop("ce2de_vector_origin", None)
    assert found == expected
    if encoder is None:
        return
    for doc_id, document in expected.items():
        text = "\n".join(str(document[field]) for field in ("title", "body") if document.get(field))
        if text:
            np.testing.assert_allclose(vectors[doc_id], encoder.encode_documents([text])[0], atol=1e-5)
        else:
            assert vectors[doc_id] is None


@contextmanager
def hammer(client: OpenSearch, index: str, threads: int) -> Iterator[list[int]]:
    """Bulk writes from elsewhere in ``threads`` threads; counts those that were turned away."""
    body = "".join(f'{{"index":{{}}}}\n{{"text":"{"noise " * 50}"}}\n' for _ in range(100))
    stop, turned_away = threading.Event(), [0] * threads

    def write(number: int) -> None:
        while not stop.is_set():
            answer = client.bulk(index=index, body=body, params={"ignore": [429]})
            if "error" in answer or answer["errors"]:
                turned_away[number] += 1
                stop.wait(0.5)

    workers = [threading.Thread(target=write, args=[number]) for number in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield turned_away
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def begin(client: OpenSearch, source: str, queue: InlineQueue, encoder: Any = None, **request: Any) -> Job:
    """Start a job of the two text fields with the alias SOURCE-search; ``request`` may say otherwise."""
    wanted = {"text": TextSpec(("title", "body")), "alias": f"{source}-search", **request}
    return start(client, JobRequest(source, **wanted), encoder or HashEncoder(), queue)


def run(client: OpenSearch, source: str, queue: InlineQueue, **request: Any) -> Job:
    """Start a job and let the queue do it; return its record afterwards."""
    job = begin(client, source, queue, **request)
    queue.run(client, HashEncoder())
    return Ledger(client).job(job.job_id).job
