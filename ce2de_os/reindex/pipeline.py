"""The work on one slice: read a page, encode it, write it, move the cursor.

The next page is read and the last one written while the present one is encoded. The cursor follows the
writing, so a worker that dies at any moment loses nothing: its pages are written again, and the target keeps
the newest version of each document.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from opensearchpy import OpenSearch

from ce2de_os.arrays import Embeddings
from ce2de_os.errors import ArtifactMismatchError, BackendUnavailableError, Ce2deError
from ce2de_os.index import admin
from ce2de_os.index.admin import patiently
from ce2de_os.index.bulk import BulkReport, WriteAction, write_documents
from ce2de_os.index.documents import document_text
from ce2de_os.reindex.job import DONE, FAILED, WAITING, Counts, Job
from ce2de_os.reindex.ledger import Ledger, StoredSlice, lease_end
from ce2de_os.reindex.source import SourceDocument, read_page

logger = logging.getLogger(__name__)

FIRST_PAGE, LARGEST_PAGE = 64, 512  # documents
PAGE_S = 2.0
"""Pages grow or shrink until one takes about this long, so that a lease is renewed in time on any machine."""

PAGE_BYTES = 4 * 1024 * 1024
"""Pages of an index with large documents shrink to about this much text."""


class DocumentEncoder(Protocol):
    """What the pipeline needs of an encoder; `ce2de_os.OnnxEncoder` is one."""

    @property
    def fingerprint(self) -> str:
        """Name of the vector space."""

    def encode_documents(self, texts: list[str]) -> Embeddings:
        """Encode texts to ``(B, D)`` float32."""


@dataclass(frozen=True)
class Page:
    """Documents of a slice, encoded, with what it cost."""

    documents: list[SourceDocument]
    actions: list[WriteAction]
    counts: Counts


class LeaseLostError(Exception):
    """Somebody else took the slice over; what this worker wrote stays valid."""


def check_fingerprint(job_id: str, wanted: str, encoder: DocumentEncoder) -> None:
    """Refuse to mix two models' vectors.

    Raises:
        ArtifactMismatchError: the encoder is not the model that the job was started with.
    """
    if encoder.fingerprint != wanted:
        raise ArtifactMismatchError(
            f"job '{job_id}' was started with model {wanted[:12]}, this worker has "
            f"{encoder.fingerprint[:12]}; set CE2DE_ARTIFACT to the job's model and restart the worker"
        )


def run_slice(
    client: OpenSearch, encoder: DocumentEncoder, job_id: str, number: int, owner: str, budget_s: float
) -> bool:
    """Work on a slice for about ``budget_s`` seconds; returns whether this worker has more to do on it.

    Raises:
        ArtifactMismatchError: the encoder is not the job's.
        BackendUnavailableError: OpenSearch stayed away for minutes; the slice can be taken again later.
        Ce2deError: the slice cannot go on; it is set to failed with this error.
    """
    ledger = Ledger(client)
    job = patiently(lambda: ledger.job(job_id)).job
    check_fingerprint(job_id, job.fingerprint, encoder)
    stored = patiently(lambda: ledger.claim(job_id, number, owner))
    if stored is None:
        return False
    try:
        return _SliceRun(client, encoder, ledger, job, stored).run(budget_s)
    except LeaseLostError:
        logger.warning("Lease lost", extra={"action": "lease_lost", "job": job_id, "slice": number})
        return False
    except BackendUnavailableError:
        raise  # nothing to record where nothing answers; the lease runs out by itself
    except Ce2deError as error:
        _record_failure(ledger, job_id, number, owner, str(error))
        raise


def _record_failure(ledger: Ledger, job_id: str, number: int, owner: str, error: str) -> None:
    stored = ledger.slice(job_id, number)
    if stored.slice.owner == owner:
        ledger.change_slice(stored, state=FAILED, owner=None, last_error=error)


class _SliceRun:
    def __init__(
        self, client: OpenSearch, encoder: DocumentEncoder, ledger: Ledger, job: Job, stored: StoredSlice
    ) -> None:
        self._client, self._encoder, self._ledger = client, encoder, ledger
        self._job, self._stored = job, stored
        self._page_documents = FIRST_PAGE

    def run(self, budget_s: float) -> bool:
        upto = self._upper_bound()
        deadline = time.monotonic() + budget_s
        with ThreadPoolExecutor(2) as pool:
            complete = self._pages(pool, upto, deadline)
        if complete:
            self._change(state=DONE, owner=None, cursor=upto)
        else:
            self._change(state=WAITING, owner=None)
        return not complete

    def _upper_bound(self) -> int:
        """The last ``_seq_no`` of this run, read before the refresh so that all up to it are visible."""
        bounds = self._stored.slice.range
        if bounds.upto is not None:
            return bounds.upto
        checkpoint = patiently(lambda: admin.checkpoints(self._client, self._job.source))[bounds.shard]
        patiently(lambda: admin.refresh(self._client, self._job.source))
        return max(checkpoint, self._stored.slice.cursor)

    def _pages(self, pool: ThreadPoolExecutor, upto: int, deadline: float) -> bool:
        """Go through the pages; whether the end of the slice was reached."""
        reading = pool.submit(self._read, self._stored.slice.cursor, upto)
        writing: Future[None] | None = None
        while True:
            documents, read_s, size = reading.result()
            last_page = len(documents) < size
            in_time = time.monotonic() < deadline
            if documents and not last_page and in_time:
                reading = pool.submit(self._read, documents[-1].seq_no, upto)
            page = self._encode(documents, read_s)
            if writing is not None:
                writing.result()
            writing = pool.submit(self._write, page) if documents else None
            if last_page or not in_time:
                if writing is not None:
                    writing.result()
                return last_page

    def _read(self, after: int, upto: int) -> tuple[list[SourceDocument], float, int]:
        started, size = time.monotonic(), self._page_documents
        shard = self._stored.slice.range.shard
        documents = patiently(lambda: read_page(self._client, self._job.source, shard, after, upto, size))
        return documents, time.monotonic() - started, size

    def _encode(self, documents: list[SourceDocument], read_s: float) -> Page:
        started = time.monotonic()
        texts = [document_text(document.source, self._job.text_fields) for document in documents]
        wanted = [position for position, text in enumerate(texts) if text]
        embeddings = self._encoder.encode_documents([texts[position] for position in wanted])
        vectors = dict(zip(wanted, vector_values(embeddings), strict=True))
        actions = [
            self._action(document, vectors.get(position)) for position, document in enumerate(documents)
        ]
        encode_s = time.monotonic() - started
        self._page_documents = next_page_size(texts, encode_s)
        counts = Counts(
            documents=len(documents),
            embedded=len(wanted),
            without_text=len(documents) - len(wanted),
            read_s=read_s,
            encode_s=encode_s,
        )
        return Page(documents, actions, counts)

    def _action(self, document: SourceDocument, vector: list[float] | None) -> WriteAction:
        source = {key: value for key, value in document.source.items() if key != self._job.vector_field}
        if vector is not None:
            source[self._job.vector_field] = vector
        return WriteAction(document.doc_id, document.version, document.routing, source)

    def _write(self, page: Page) -> None:
        started = time.monotonic()
        report = patiently(lambda: write_documents(self._client, self._job.target, page.actions))
        counts = self._stored.slice.counts + page.counts
        counts += Counts(
            already_newer=report.already_newer,
            refused=len(report.refused),
            write_s=time.monotonic() - started,
        )
        self._change(
            cursor=page.documents[-1].seq_no,
            lease_until_s=lease_end(),
            attempts=0,
            counts=counts,
            last_error=_refusals(report) or self._stored.slice.last_error,
        )

    def _change(self, **changes: Any) -> None:  # noqa: ANN401 - fields of Slice
        stored = patiently(lambda: self._ledger.change_slice(self._stored, **changes))
        if stored is None:
            raise LeaseLostError
        self._stored = stored


def next_page_size(texts: list[str], encode_s: float) -> int:
    """How many documents to read next, after a page with ``texts`` took ``encode_s`` seconds to encode."""
    if not texts:
        return FIRST_PAGE
    by_time = len(texts) * PAGE_S / max(encode_s, 1e-3)
    by_size = len(texts) * PAGE_BYTES / max(1, sum(map(len, texts)))
    return max(1, min(LARGEST_PAGE, int(by_time), int(by_size)))


def vector_values(embeddings: Embeddings) -> list[list[float]]:
    """Rows as JSON numbers with six decimals: half the bytes of the full ones, the same ranking."""
    values: list[list[float]] = np.round(embeddings.astype(np.float64), 6).tolist()
    return values


def _refusals(report: BulkReport) -> str | None:
    if not report.refused:
        return None
    first = report.refused[0]
    return f"{len(report.refused)} documents refused, the first is '{first.doc_id}': {first.reason}"
