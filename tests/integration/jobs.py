"""Jobs that real workers do: started by the CLI, watched, and counted document by document."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pytest
from opensearchpy import OpenSearch, helpers

from ce2de_os import OnnxEncoder
from ce2de_os.arrays import cosine
from ce2de_os.reindex import dead_letters
from ce2de_os.reindex.job import FINISHING, RUNNING, Job, Part
from ce2de_os.reindex.status import JobStatus, status

PATIENCE_S = 240.0
_FOLLOWED_S = 60.0
FIELDS = ("--text-fields", "title,body")
_SAMPLE = 64

Run = Callable[..., subprocess.CompletedProcess[str]]


class StartWorker(Protocol):
    """Starts a worker in a process group of its own."""

    def __call__(self, app: str = "ce2de_os.worker.app", **environment: str) -> subprocess.Popen[bytes]:
        """``environment`` is added to the usual one."""


def start_arguments(source: str) -> tuple[str, ...]:
    return ("reindex", "start", source, *FIELDS, "--alias", f"{source}-search")


def follow(ce2de: Run, source: str) -> None:
    """Start the job again and follow it to its end."""
    done = ce2de(*start_arguments(source))
    assert done.returncode == 0, done.stderr + done.stdout  # which says why the job failed


def start_detached(ce2de: Run, source: str, *options: str) -> str:
    done = ce2de(*start_arguments(source), "--detach", "--json", *options)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["job_id"])


def lift_throttle(ce2de: Run, job_id: str) -> None:
    done = ce2de("reindex", "throttle", job_id, "--no-limit")
    assert done.returncode == 0, done.stderr


def wait_for(client: OpenSearch, job_id: str, reached: Callable[[JobStatus], bool]) -> JobStatus:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = status(client, job_id)
        if reached(found):
            return found
        time.sleep(0.2)
    pytest.fail(f"not reached in {PATIENCE_S} s: {found.to_json()}")


def has_begun(found: JobStatus) -> bool:
    return found.counts.documents >= 300


def has_ended(found: JobStatus) -> bool:
    return found.job.state not in (RUNNING, FINISHING)


@dataclass(frozen=True)
class Tally:
    """A job's documents, each looked at.

    Attributes:
        documents: in the sources.
        lost: in a source, neither in its target nor among the dead letters.
        duplicate: more than once in a target, or in the target alone.
        stale: with another content, hash or vector than the present text's.
        set_aside: dead letters.
    """

    documents: int = 0
    lost: int = 0
    duplicate: int = 0
    stale: int = 0
    set_aside: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            *(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True))
        )


def tally(client: OpenSearch, job: Job) -> Tally:
    """Compare every document of a job's sources with its targets."""
    encoder = OnnxEncoder()
    return sum((_tally(client, encoder, job, part) for part in job.parts), Tally())


def wait_until_followed(client: OpenSearch, job_id: str) -> None:
    """Wait until the standing job has made up for the last writes; what stays wrong is not waited for."""
    job, deadline = status(client, job_id).job, time.monotonic() + _FOLLOWED_S
    while time.monotonic() < deadline:
        found = tally(client, job)
        if not (found.lost or found.duplicate or found.stale):
            return
        time.sleep(1)


def _tally(client: OpenSearch, encoder: OnnxEncoder, job: Job, part: Part) -> Tally:
    source, copies = _documents(client, job, part.source)
    target, found = _documents(client, job, part.target)
    assert copies.total() == len(source)
    letters = {
        letter.doc_id for letter in dead_letters.letters(client, job.job_id) if letter.source == part.source
    }
    bare = _without_vector(client, job, part.target)
    both = sorted(source.keys() & target.keys())
    stale = {doc_id for doc_id in both if not _is_right(job, source[doc_id], target[doc_id], doc_id in bare)}
    stale |= _wrong_vectors(client, encoder, job, part, [doc_id for doc_id in both if doc_id not in bare])
    return Tally(
        documents=len(source),
        lost=len(source.keys() - target.keys() - letters),
        duplicate=sum(number - 1 for number in found.values()) + len(target.keys() - source.keys()),
        stale=len(stale),
        set_aside=len(letters),
    )


def _documents(client: OpenSearch, job: Job, index: str) -> tuple[dict[str, dict[str, Any]], Counter[str]]:
    """Every document of an index without its vector, by id, and how often each id comes."""
    client.indices.refresh(index=index)
    found, copies = {}, Counter[str]()
    query = {"query": {"match_all": {}}, "_source": {"excludes": [job.vector.name]}}
    for hit in helpers.scan(client, index=index, query=query, size=2000):
        found[hit["_id"]] = hit["_source"]
        copies[hit["_id"]] += 1
    return found, copies


def _without_vector(client: OpenSearch, job: Job, index: str) -> set[str]:
    query = {"query": {"bool": {"must_not": {"exists": {"field": job.vector.name}}}}, "_source": False}
    return {hit["_id"] for hit in helpers.scan(client, index=index, query=query)}


def _is_right(job: Job, source: Mapping[str, Any], target: Mapping[str, Any], is_bare: bool) -> bool:
    text = job.text.text_of(source)
    hashed = {job.hash_field: job.text.hash_of(text, job.fingerprint)} if text else {}
    copied = {name: value for name, value in target.items() if name != job.vector.origin_field}
    return copied == {**source, **hashed} and is_bare == (not text)


def _wrong_vectors(
    client: OpenSearch, encoder: OnnxEncoder, job: Job, part: Part, doc_ids: list[str]
) -> set[str]:
    """Those of a sample whose vector is not that of their present text."""
    sample = random.Random(7).sample(doc_ids, min(_SAMPLE, len(doc_ids)))
    if not sample:
        return set()
    answer = client.mget(index=part.target, body={"ids": sample})
    stored = [entry["_source"] for entry in answer["docs"]]
    again = encoder.encode_documents([job.text.text_of(source) for source in stored])
    vectors = np.array([source[job.vector.name] for source in stored], dtype=np.float32)
    agreed = cosine(vectors, again)
    return {doc_id for doc_id, value in zip(sample, agreed, strict=True) if value < 0.999}
