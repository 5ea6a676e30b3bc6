"""A worker's task: read, encode and write pages, slice after slice.

The next page is read and the last one written while the present one is encoded, also where the next page is
the first one of another slice: that is taken as soon as the end of the present slice has been read, so the
encoder never waits while there is work. The cursor of a slice follows the writing, so a worker that crashes
at any moment loses nothing: its pages are written again, and the target keeps the newest version of each
document. A slow writer slows the encoder down, and the encoder the reader: at most one page waits at each
step.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TypeVar

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendUnavailableError, Ce2deError
from ce2de_os.index.admin import patiently
from ce2de_os.index.bulk import BulkWriter
from ce2de_os.reindex import watchdog
from ce2de_os.reindex.failures import is_failure
from ce2de_os.reindex.job import Counts
from ce2de_os.reindex.ledger import IsGone, Ledger, StoredSlice
from ce2de_os.reindex.slices.claims import Claims
from ce2de_os.reindex.slices.embedding import DocumentEncoder, Embedded, check_fingerprint, embed
from ce2de_os.reindex.slices.held import HeldSlice, Page
from ce2de_os.reindex.slices.memory import memory_of
from ce2de_os.reindex.slices.orders import LOOK_S, Orders

LARGEST_PAGE = 512  # documents
PAGE_S = 2.0
"""Target time of a page in seconds; pages grow or shrink to it, so that leases are renewed in time."""

PAGE_BYTES = 4 * 1024 * 1024
"""Target size of a page in characters, for an index with large documents."""

T = TypeVar("T")


def run_slices(
    client: OpenSearch,
    encoder: DocumentEncoder,
    job_id: str,
    number: int,
    owner: str,
    budget_s: float,
    is_gone: IsGone | None = None,
    *,
    onward: bool = True,
) -> int | None:
    """Work on a slice, and with ``onward`` on other free ones, for about ``budget_s`` seconds.

    ``is_gone`` returns whether an owner of a lease is known to be dead; ``None``: none is.

    Returns:
        The slice that this worker leaves unfinished; ``None``: none, or the job is to stop.

    Raises:
        ArtifactMismatchError: the encoder is not the job's.
        BackendUnavailableError: OpenSearch did not answer for minutes; the slices can be taken again later.
        Ce2deError: a slice cannot continue; it is set to failed with this error.
    """
    ledger = Ledger(client)
    job = patiently(lambda: ledger.job(job_id)).job
    check_fingerprint(job_id, job.fingerprint, encoder)
    orders = Orders(ledger, job)
    if orders.is_stopped():
        return None
    claims = Claims(ledger, job, owner, is_gone)
    stored = claims.named(number, or_free=onward)
    if stored is None:
        return None
    with BulkWriter(client, pipeline=job.pipeline, guarded=job.mode == "copy") as writer:
        return _Task(client, encoder, claims, orders, writer, budget_s, onward).run(stored)


def run_slice(
    client: OpenSearch,
    encoder: DocumentEncoder,
    job_id: str,
    number: int,
    owner: str,
    budget_s: float,
    is_gone: IsGone | None = None,
) -> bool:
    """Work on one slice as `run_slices` does; return whether this worker has more to do on it."""
    left = run_slices(client, encoder, job_id, number, owner, budget_s, is_gone, onward=False)
    return left is not None


class _Task:
    """The loop of a worker over its slices: threads read, encode and write, and this one keeps the leases."""

    def __init__(
        self,
        client: OpenSearch,
        encoder: DocumentEncoder,
        claims: Claims,
        orders: Orders,
        writer: BulkWriter,
        budget_s: float,
        onward: bool,
    ) -> None:
        self._client, self._encoder, self._claims = client, encoder, claims
        self._orders, self._writer, self._onward = orders, writer, onward
        self._deadline_s = time.monotonic() + budget_s
        self._memory = memory_of(claims.job)
        self._memory.tempo.rest()
        self._held: list[HeldSlice] = []

    def run(self, stored: StoredSlice | None) -> int | None:
        left = None
        while stored is not None:
            left = self._through(stored)
            goes_on = self._onward and left is None and self._in_time() and not self._orders.is_stopped()
            stored = self._claims.free() if goes_on else None
        return None if self._orders.is_stopped() else left

    def _through(self, stored: StoredSlice) -> int | None:
        """Work on this slice, and on next ones taken ahead; return one that is left unfinished."""
        try:
            with ThreadPoolExecutor(3) as pool:  # always waits for its threads
                self._pages(pool, stored)
        except BackendUnavailableError:
            with suppress(BackendUnavailableError):  # else the leases expire
                self._settle()
            raise
        except Ce2deError:
            self._settle()
            raise
        except BaseException as error:
            is_a_pages = any(held.failed for held in self._held)
            if not is_failure(error):
                raise
            left = self._settle()
            if not is_a_pages:
                raise
            return left
        return self._settle()

    def _pages(self, pool: ThreadPoolExecutor, stored: StoredSlice) -> None:
        reading: Future[Page | None] = pool.submit(self._take_up, stored)
        writing: Future[None] | None = None
        while (page := self._result(reading)) is not None and not self._orders.is_stopped():
            if page.held.page_limit == 1 and writing is not None:
                self._result(writing)  # processed alone, so that the ledger shows which slice crashes workers
            reading = pool.submit(self._next_page, page)
            embedded = self._result(pool.submit(self._encode, page))
            watchdog.beat()
            if writing is not None:
                self._result(writing)
            writing = pool.submit(page.held.write, page, embedded)
            self._orders.wait(len(page.documents), self._waiting)
        if writing is not None:
            self._result(writing)

    def _take_up(self, stored: StoredSlice) -> Page:
        held = HeldSlice(
            self._client, self._claims.ledger, self._claims.job, stored, self._writer, self._memory
        )
        self._held.append(held)
        return held.begin(self._page_size(held))

    def _next_page(self, page: Page) -> Page | None:
        """Read the next page, if necessary of another leased slice; ``None``: start no further page."""
        if not self._in_time():
            return None
        if page.held.open and not page.is_last:
            return page.held.read(page.documents[-1].seq_no, self._page_size(page.held))
        if not self._onward or page.held.page_limit is not None:
            return None  # a slice that crashed a worker is processed alone
        stored = self._claims.ahead()
        return None if stored is None else self._take_up(stored)

    def _page_size(self, held: HeldSlice) -> int:
        rate = self._orders.docs_per_s()
        limits = [self._memory.page_documents, held.page_limit or LARGEST_PAGE]
        if rate is not None:
            limits.append(max(1, int(rate * PAGE_S)))
        return min(limits)

    def _encode(self, page: Page) -> Embedded:
        read = Counts(read_s=page.read_s)
        if not page.documents or not page.held.open:
            return Embedded([], read)
        started = time.monotonic()
        held, job = page.held, self._claims.job
        with held.recording_errors():
            embedded = embed(self._client, self._encoder, job, held.part, page.documents, held.progress)
        encode_s = time.monotonic() - started
        chars = sum(len(document.raw) for document in page.documents)
        self._memory.page_documents = next_page_size(len(page.documents), chars, encode_s)
        return embedded._replace(counts=embedded.counts + read + Counts(encode_s=encode_s))

    def _in_time(self) -> bool:
        return time.monotonic() < self._deadline_s

    def _result(self, future: Future[T]) -> T:
        """Wait for a thread and keep the leases: a busy cluster may delay the writer."""
        while not wait([future], timeout=LOOK_S).done:
            self._keep()
        return future.result()

    def _waiting(self) -> None:
        watchdog.beat()
        self._keep()

    def _keep(self) -> None:
        for held in list(self._held):
            held.keep()

    def _settle(self) -> int | None:
        """Release the unfinished slices; return one that another task must continue."""
        left = [held.number for held in self._held if held.settle()]
        self._held.clear()
        return left[-1] if left else None


def next_page_size(documents: int, chars: int, encode_s: float) -> int:
    """Compute the next page's size, after ``chars`` characters took ``encode_s`` seconds."""
    by_time = documents * PAGE_S / max(encode_s, 1e-3)
    by_size = documents * PAGE_BYTES / max(1, chars)
    return max(1, min(LARGEST_PAGE, int(by_time), int(by_size)))
