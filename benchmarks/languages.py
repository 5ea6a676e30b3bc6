"""Documents in three languages: how well their language is told, and what BM25 gains by it.

    eval "$(ce2de local env)"
    python -m benchmarks.languages --data ../shared/data

Debian's package descriptions exist in English, Italian and German. Told: the language of whole descriptions
and of titles alone, and what becomes of a text whose language is not wanted. Found: each title's own
description among those of all three languages, with the text as it is (standard analyzer) and by language.
Needs a running cluster (``ce2de local up``); the vectors are one number each, only words are searched.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from opensearchpy import OpenSearch, helpers

from benchmarks.machine import finish
from ce2de_os.arrays import Embeddings
from ce2de_os.config import Settings
from ce2de_os.index.client import connect
from ce2de_os.index.language_fields import LanguageSpec
from ce2de_os.index.text_spec import TextSpec
from ce2de_os.records import Document, read_documents
from ce2de_os.reindex.cutover.finish import finish as finish_job
from ce2de_os.reindex.job import Job
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.slices.detection import detect
from ce2de_os.reindex.slices.pipeline import run_slice
from ce2de_os.search.searcher import HybridSearcher

LANGUAGES = ("en", "it", "de")
SOURCE = "bench-languages"
TOLD, SEED, TOP_K = 1500, 3, 10
MAPPING = {"properties": {"text": {"type": "text"}, "lang": {"type": "keyword"}}}


class _NoModel:
    """Stands for a model where only words are searched: every vector is ``(1, 0)``."""

    fingerprint = space = "0" * 64
    dim, name, tokens_read = 2, "none", 0

    def encode_documents(self, texts: list[str], /) -> Embeddings:
        return np.tile(np.array([1, 0], dtype=np.float32), (len(texts), 1))

    def split(self, text: str, length: int, stride: int, /) -> list[tuple[int, int]]:
        raise NotImplementedError  # asked for passages only


class _HereQueue:
    """Keeps the messages of a job, which are worked on here afterwards."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def embed_slice(self, job: Job, number: int) -> None:
        self.numbers.append(number)

    def finish_job(self, job: Job) -> None:
        """Done by hand."""

    def follow_job(self, job: Job) -> None:
        """Do nothing: what is measured ends with the job."""

    def following(self) -> int:
        """None waits."""
        return 0

    def waiting(self) -> int:
        return 0


def main() -> None:
    """Measure and print both tables."""
    options = _options()
    corpora = {code: _corpus(options.data, code) for code in LANGUAGES}
    told = {code: _told(code, list(corpus.values())) for code, corpus in corpora.items()}
    for code, row in told.items():
        print(code, ", ".join(f"{name} {share:.2%}" for name, share in row.items()))
    client = connect(Settings.from_env().opensearch)
    ids = sorted(set.intersection(*(set(corpus) for corpus in corpora.values())))
    random.Random(SEED).shuffle(ids)
    ids = ids[: options.documents]
    _load(client, corpora, ids)
    plain, spoken = _reindex(client, "plain", None), _reindex(client, "spoken", LanguageSpec(LANGUAGES))
    found = {
        code: _found(client, plain, spoken, code, corpora[code], ids[: options.queries]) for code in LANGUAGES
    }
    for code, row in found.items():
        print(code, ", ".join(f"{name} {value:.3f}" for name, value in row.items()))
    size = {name: _megabytes(client, index) for name, index in (("plain", plain), ("by language", spoken))}
    print("index, MB:", ", ".join(f"{name} {value:.1f}" for name, value in size.items()))
    client.indices.delete(index=f"{SOURCE}*")
    finish({"told": told, "ndcg@10": found, "megabytes": size}, options.output)


def _corpus(data: Path, code: str) -> dict[str, Document]:
    read = read_documents(data / "debian" / f"corpus.{code}.jsonl.gz")
    return {document.doc_id: document for document in read if document.title and document.text}


def _told(code: str, corpus: Sequence[Document]) -> dict[str, float]:
    """Shares of texts that are told right, that are left out, and whose language was not wanted."""
    sample = random.Random(SEED).sample(list(corpus), TOLD)
    others = tuple(other for other in LANGUAGES if other != code)
    row = {}
    for name, texts in (
        ("whole", [f"{document.title}\n{document.text}" for document in sample]),
        ("titles", [document.title for document in sample]),
    ):
        found = Counter(detect(text, LANGUAGES) for text in texts)
        unwanted = Counter(detect(text, others) for text in texts)
        row |= {
            f"{name}: right": found[code] / TOLD,
            f"{name}: not told": found[None] / TOLD,
            f"{name}: left out where unwanted": unwanted[None] / TOLD,
        }
    return row


def _load(client: OpenSearch, corpora: dict[str, dict[str, Document]], ids: Sequence[str]) -> None:
    client.indices.delete(index=f"{SOURCE}*", params={"ignore": [404]})
    client.indices.create(index=SOURCE, body={"mappings": MAPPING})
    actions = (
        {"_index": SOURCE, "_id": f"{code}/{doc_id}", "text": corpora[code][doc_id].text, "lang": code}
        for doc_id in ids
        for code in LANGUAGES
    )
    helpers.bulk(client, actions, refresh=True)


def _reindex(client: OpenSearch, name: str, languages: LanguageSpec | None) -> str:
    """Copy the index in this process; the language is detected, not read."""
    target, model, queue = f"{SOURCE}-{name}", _NoModel(), _HereQueue()
    request = JobRequest(
        SOURCE, TextSpec(("text",)), f"{target}-alias", target, mode="copy", languages=languages
    )
    job = start(client, request, model, queue)
    for number in queue.numbers:
        while run_slice(client, model, job.job_id, number, "benchmark", 60.0):
            pass
    finish_job(client, model, job.job_id, "benchmark")
    client.indices.forcemerge(index=target, params={"max_num_segments": 1, "request_timeout": 300})
    return target


def _found(
    client: OpenSearch, plain: str, spoken: str, code: str, corpus: dict[str, Document], ids: Sequence[str]
) -> dict[str, float]:
    """nDCG@10 of finding each title's own description, by the way of asking."""
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "as it is": (plain, {}),
        "by language": (spoken, {}),
        "as it is, filtered": (plain, {"filters": {"term": {"lang": code}}}),
        "by language, asked for": (spoken, {"language": code}),
    }
    row = {}
    for name, (index, options) in ways.items():
        searcher = HybridSearcher(client, index, mode="bm25", top_k=TOP_K)
        gains = []
        for doc_id in ids:
            hits = [hit.doc_id for hit in searcher.search(corpus[doc_id].title, **options)]
            wanted = f"{code}/{doc_id}"
            gains.append(1 / math.log2(hits.index(wanted) + 2) if wanted in hits else 0.0)
        row[name] = fmean(gains)
    return row


def _megabytes(client: OpenSearch, index: str) -> float:
    client.indices.refresh(index=index)
    stats = client.indices.stats(index=index, metric="store")
    return float(stats["_all"]["primaries"]["store"]["size_in_bytes"]) / 1e6


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with debian/corpus.*.jsonl.gz")
    parser.add_argument("--documents", type=int, default=4000, help="packages, each in three languages")
    parser.add_argument("--queries", type=int, default=300, help="titles to search for, in each language")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
