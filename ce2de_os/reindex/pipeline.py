"""The work on one slice: read a page, encode it, write it, move the cursor.

The next page is read and the last one written while the present one is encoded. The cursor follows the
writing, so a worker that dies at any moment loses nothing: its pages are written again, and the target keeps
the newest version of each document. A slow writer holds up the encoder, and that the reader: at most one page
waits at each step.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendUnavailableError, Ce2deError
from ce2de_os.index import admin
from ce2de_os.index.admin import patiently
from ce2de_os.index.bulk import BulkWriter, Refusal
from ce2de_os.reindex import dead_letters
from ce2de_os.reindex.dead_letters import DeadLetter
from ce2de_os.reindex.embedding import DocumentEncoder, Embedded, check_fingerprint, embed
from ce2de_os.reindex.job import DONE, FAILED, WAITING, Counts, Job
from ce2de_os.reindex.ledger import Ledger, StoredSlice, is_poisoned
from ce2de_os.reindex.orders import Orders
from ce2de_os.reindex.source import SourceDocument, read_page

logger = logging.getLogger(__name__)

FIRST_PAGE, LARGEST_PAGE = 64, 512  # documents
PAGE_S = 2.0
"""Pages grow or shrink until one takes about this long, so that a lease is renewed in time on any machine."""

PAGE_BYTES = 4 * 1024 * 1024
"""Pages of an index with large documents shrink to about this much text."""

HELD_S = 6.0
"""A lease that its owner has not renewed for so long is waited for; a living worker renews it sooner."""

IsGone = Callable[[str], bool]


@dataclass(frozen=True)
class Page:
    """Documents of a slice, encoded, with what it cost."""

    documents: list[SourceDocument]
    embedded: Embedded


class LeaseLostError(Exception):
    """Somebody else took the slice over; what this worker wrote stays valid."""


def run_slice(
    client: OpenSearch,
    encoder: DocumentEncoder,
    job_id: str,
    number: int,
    owner: str,
    budget_s: float,
    is_gone: IsGone | None = None,
) -> bool:
    """Work on a slice for about ``budget_s`` seconds; returns whether this worker has more to do on it.

    ``is_gone`` tells whether an owner of a lease is known to be dead; ``None``: nobody is.

    Raises:
        ArtifactMismatchError: the encoder is not the job's.
        BackendUnavailableError: OpenSearch stayed away for minutes; the slice can be taken again later.
        Ce2deError: the slice cannot go on; it is set to failed with this error.
    """
    ledger = Ledger(client)
    job = patiently(lambda: ledger.job(job_id)).job
    check_fingerprint(job_id, job.fingerprint, encoder)
    if Orders(ledger, job).stop():
        return False
    stored = _claim(ledger, job_id, number, owner, is_gone)
    if stored is None:
        return False
    logger.info("Slice taken", extra=_keys("slice_taken", stored))
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


def _claim(
    ledger: Ledger, job_id: str, number: int, owner: str, is_gone: IsGone | None
) -> StoredSlice | None:
    """Take the lease, if need be after waiting for one that its owner does not renew any more.

    The message may be the last that speaks of this slice: without waiting, a slice whose worker has died
    could be forgotten.
    """
    held, since = -1, time.monotonic()
    while True:
        stored = patiently(lambda: ledger.slice(job_id, number))
        claimed = patiently(lambda: ledger.claim(stored, owner, is_gone))  # noqa: B023 - called at once
        if claimed is not None or stored.slice.state in (DONE, FAILED):
            return claimed
        if stored.slice.state == WAITING or held not in (-1, stored.seq_no):
            return None  # somebody was faster, or renews the lease
        held = stored.seq_no
        left_s = stored.slice.lease_until_s - ledger.now()
        time.sleep(max(0.2, min(left_s + 1, HELD_S if time.monotonic() - since < HELD_S else left_s + 1)))


def _record_failure(ledger: Ledger, job_id: str, number: int, owner: str, error: str) -> None:
    stored = ledger.slice(job_id, number)
    if stored.slice.owner == owner:
        ledger.change_slice(stored, state=FAILED, owner=None, last_error=error)
        logger.error("Slice failed", extra=_keys("slice_failed", stored))  # why is in the ledger


class _SliceRun:
    def __init__(
        self, client: OpenSearch, encoder: DocumentEncoder, ledger: Ledger, job: Job, stored: StoredSlice
    ) -> None:
        self._client, self._encoder, self._ledger = client, encoder, ledger
        self._job, self._stored = job, stored
        self._part = job.parts[stored.slice.range.part]
        self._orders = Orders(ledger, job)
        self._writer = BulkWriter(client, pipeline=job.pipeline)
        self._page_documents = FIRST_PAGE
        self._started_s, self._done = time.monotonic(), 0

    def run(self, budget_s: float) -> bool:
        upto = self._upper_bound()
        deadline = time.monotonic() + budget_s
        if is_poisoned(self._stored.slice):
            self._set_killer_aside(upto)
        with ThreadPoolExecutor(2) as pool, self._writer:
            complete = self._pages(pool, upto, deadline)
        if complete:
            self._change(state=DONE, owner=None, cursor=upto, docs_per_s=0.0)
        else:
            self._change(state=WAITING, owner=None)
        keys = _keys("slice_done" if complete else "slice_left", self._stored) | {"documents": self._done}
        logger.info("Slice done" if complete else "Slice left for another task", extra=keys)
        return not complete and not self._orders.stop()

    def _upper_bound(self) -> int:
        """The last ``_seq_no`` of this run, read before the refresh so that all up to it are visible."""
        bounds = self._stored.slice.range
        if bounds.upto is not None:
            return bounds.upto
        checkpoint = patiently(lambda: admin.checkpoints(self._client, self._part.source))[bounds.shard]
        patiently(lambda: admin.refresh(self._client, self._part.source))
        return max(checkpoint, self._stored.slice.cursor)

    def _pages(self, pool: ThreadPoolExecutor, upto: int, deadline: float) -> bool:
        """Go through the pages; whether the end of the slice was reached."""
        reading = pool.submit(self._read, self._stored.slice.cursor, upto)
        writing: Future[None] | None = None
        while True:
            documents, read_s, size = reading.result()
            last_page = len(documents) < size
            in_time = time.monotonic() < deadline and not self._orders.stop()
            if self._stored.slice.page_limit == 1 and writing is not None:
                writing.result()  # alone in hand, so that the ledger tells exactly who kills
            if documents and not last_page and in_time:
                reading = pool.submit(self._read, documents[-1].seq_no, upto)
            page = self._encode(documents, read_s)
            if writing is not None:
                writing.result()
            writing = pool.submit(self._write, page) if documents else None
            self._orders.wait(self._done, self._started_s)
            if last_page or not in_time:
                if writing is not None:
                    writing.result()
                return last_page

    def _read(self, after: int, upto: int) -> tuple[list[SourceDocument], float, int]:
        started, size = time.monotonic(), self._page_size()
        shard = self._stored.slice.range.shard
        documents = patiently(lambda: read_page(self._client, self._part.source, shard, after, upto, size))
        return documents, time.monotonic() - started, size

    def _page_size(self) -> int:
        rate = self._orders.docs_per_s()
        limits = [self._page_documents, self._stored.slice.page_limit or LARGEST_PAGE]
        if rate is not None:
            limits.append(max(1, int(rate * PAGE_S)))
        return min(limits)

    def _encode(self, documents: list[SourceDocument], read_s: float) -> Page:
        started = time.monotonic()
        embedded = embed(self._client, self._encoder, self._job, self._part, documents)
        encode_s = time.monotonic() - started
        chars = sum(len(text) for document in documents for text in _texts(document.source))
        self._page_documents = next_page_size(len(documents), chars, encode_s)
        return Page(
            documents,
            embedded._replace(counts=embedded.counts + Counts(read_s=read_s, encode_s=encode_s)),
        )

    def _write(self, page: Page) -> None:
        started = time.monotonic()
        report = patiently(lambda: self._writer.write(self._part.target, page.embedded.actions))
        self._set_aside(page.documents, report.refused)
        counts = self._stored.slice.counts + page.embedded.counts
        counts += Counts(
            already_newer=report.already_newer,
            refused=len(report.refused),
            rejected=report.rejected,
            written=report.written,
            write_s=time.monotonic() - started,
        )
        self._done += len(page.documents)
        self._advance(page.documents[-1].seq_no, len(page.documents), counts, _refusals(report.refused))
        keys = _keys("page_written", self._stored) | {"documents": len(page.documents)}
        logger.debug("Page written", extra=keys | {"written": report.written, "rejected": report.rejected})

    def _advance(self, cursor: int, documents: int, counts: Counts, error: str | None) -> None:
        record = self._stored.slice
        careful = max(0, record.careful - documents)
        elapsed_s = time.monotonic() - self._started_s
        self._change(
            cursor=cursor,
            lease_until_s=self._ledger.lease_end(),
            deaths=0,
            careful=careful,
            page_limit=record.page_limit if careful else None,
            docs_per_s=self._done / elapsed_s if elapsed_s > 0 else 0.0,
            counts=counts,
            last_error=error or record.last_error,
        )

    def _set_aside(self, documents: Sequence[SourceDocument], refused: Sequence[Refusal]) -> None:
        routing = {document.doc_id: document.routing for document in documents}
        now = self._ledger.now()
        found = [
            DeadLetter(
                self._job.job_id, self._stored.slice.range.part, self._part.source, refusal.doc_id,
                routing.get(refusal.doc_id), refusal.status, refusal.kind, refusal.reason, now,
            )
            for refusal in refused
        ]  # fmt: skip
        patiently(lambda: dead_letters.add(self._client, found))
        if found:  # their ids and reasons are in the dead-letter index: a reason may quote the document
            kinds = sorted({letter.kind for letter in found})
            keys = _keys("documents_refused", self._stored) | {"documents": len(found), "kinds": kinds}
            logger.warning("Documents were refused", extra=keys)

    def _set_killer_aside(self, upto: int) -> None:
        """Pass over the next document, which has killed every worker that read it."""
        record = self._stored.slice
        documents = patiently(
            lambda: read_page(self._client, self._part.source, record.range.shard, record.cursor, upto, 1)
        )
        if not documents:
            return
        reason = f"{record.deaths} workers died of it"
        refusal = Refusal(documents[0].doc_id, 0, dead_letters.KILLER, reason)
        self._set_aside(documents, [refusal])
        counts = record.counts + Counts(documents=1, refused=1)
        self._advance(documents[0].seq_no, 1, counts, _refusals([refusal]))

    def _change(self, **changes: Any) -> None:  # noqa: ANN401 - fields of Slice
        stored = patiently(lambda: self._ledger.change_slice(self._stored, **changes))
        if stored is None:
            raise LeaseLostError
        self._stored = stored


def _keys(action: str, stored: StoredSlice) -> dict[str, Any]:
    """What each log record about a slice says."""
    record = stored.slice
    return {"action": action, "job": record.job_id, "slice": record.number, "cursor": record.cursor}


def next_page_size(documents: int, chars: int, encode_s: float) -> int:
    """How many documents to read next, after a page of ``chars`` characters took ``encode_s`` seconds."""
    if not documents:
        return FIRST_PAGE
    by_time = documents * PAGE_S / max(encode_s, 1e-3)
    by_size = documents * PAGE_BYTES / max(1, chars)
    return max(1, min(LARGEST_PAGE, int(by_time), int(by_size)))


def _texts(source: Any) -> list[str]:  # noqa: ANN401 - any JSON value
    """The strings at the top of a document, which tell how large it is."""
    return [value for value in source.values() if isinstance(value, str)]


def _refusals(refused: Sequence[Refusal]) -> str | None:
    if not refused:
        return None
    first = refused[0]
    return f"{len(refused)} documents refused, the first is '{first.doc_id}': {first.reason}"
