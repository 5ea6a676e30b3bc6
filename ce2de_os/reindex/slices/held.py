"""A slice whose lease a worker holds: it reads and writes the pages and moves the cursor."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendUnavailableError, Ce2deError, JobError
from ce2de_os.index import admin
from ce2de_os.index.admin import patiently
from ce2de_os.index.bulk import BulkWriter, Refusal
from ce2de_os.reindex import dead_letters, watchdog
from ce2de_os.reindex.dead_letters import DeadLetter
from ce2de_os.reindex.drift import carry_fields
from ce2de_os.reindex.failures import error_line, error_location, is_failure, redacted
from ce2de_os.reindex.identity import check_still_there, source_checkpoints
from ce2de_os.reindex.job import DONE, FAILED, WAITING, Counts, Job, Slice
from ce2de_os.reindex.ledger import LEASE_S, Ledger, StoredSlice, after_failure, is_poisoned
from ce2de_os.reindex.slices.embedding import Embedded
from ce2de_os.reindex.slices.memory import JobMemory
from ce2de_os.reindex.slices.page_reader import PageReader, needed_fields
from ce2de_os.reindex.slices.source import SourceDocument

logger = logging.getLogger(__name__)

PATIENCE_S = 120.0
BRIEFLY_S = 5.0
"""Seconds to try to release a slice when OpenSearch does not answer; then the lease expires."""

RETRY_S = 60.0
"""Seconds until the worker that released a slice takes it again, at the latest."""

MOST_CONDEMNED = 32
"""Documents in a row that may fail before the slice fails: then the cause is not in the documents."""


@dataclass(frozen=True)
class Page:
    """The next documents of a slice, whether they are its last, and the seconds spent reading."""

    held: HeldSlice
    documents: list[SourceDocument]
    is_last: bool
    read_s: float


class HeldSlice:
    """A slice whose lease this worker has taken.

    One thread reads the pages and one writes them, in order; each may `keep` the lease.

    Attributes:
        part: what the slice is a part of.
        open: whether this worker has the lease and work to do: neither done, nor given back, nor lost.
    """

    def __init__(
        self,
        client: OpenSearch,
        ledger: Ledger,
        job: Job,
        stored: StoredSlice,
        writer: BulkWriter,
        memory: JobMemory,
    ) -> None:
        self._client, self._ledger, self._job, self._stored = client, ledger, job, stored
        self._writer, self._tempo, self._updates = writer, memory.tempo, memory.updates[stored.slice.number]
        self.part = job.parts[stored.slice.range.part]
        self.open = True
        self._upto, self._documents = -1, 0
        self._doing: str | None = None
        self._error: str | None = None
        self._failure: BaseException | None = None
        self._unavailable: str | None = None
        bounds, limit = stored.slice.range, stored.slice.read_limit
        self._reader = PageReader(client, self.part.source, bounds.shard, needed_fields(job), limit)
        self._changing = Lock()

    @property
    def number(self) -> int:
        """Number of the slice in the job."""
        return self._stored.slice.number

    @property
    def page_limit(self) -> int | None:
        """Most documents in a page while documents crash workers or fail; ``None``: no limit."""
        return self._stored.slice.page_limit

    @property
    def failed(self) -> bool:
        """Return whether a page failed for a reason that may be in one of its documents."""
        return self._failure is not None

    @contextmanager
    def recording_errors(self) -> Iterator[None]:
        """Record an error raised inside as this slice's error; an unavailable OpenSearch is kept apart.

        A `Ce2deError` names the cause, and the slice fails. Any other error may come from one document.
        """
        try:
            yield
        except BackendUnavailableError as error:
            self._unavailable = str(error)
            raise
        except Ce2deError as error:
            self._error = str(error)
            raise
        except BaseException as error:
            if is_failure(error):
                self._failure = error
            raise

    def begin(self, size: int) -> Page:
        """Find the end of the slice, skip a document that has used all its tries, and read the first page."""
        logger.info("Slice taken", extra=self._keys("slice_taken"))
        with self.recording_errors():
            self._upto = self._prepare_run()
            if is_poisoned(self._stored.slice):
                self._pass_over()
        return self.read(self._stored.slice.cursor, size)

    def read(self, after: int, size: int) -> Page:
        """Read the next page of at most ``size`` documents; this process's own updates are left out."""
        started = time.monotonic()
        after = self._updates.past(after, self._upto)
        if after >= self._upto:
            return Page(self, [], is_last=True, read_s=0.0)
        with self.recording_errors():
            documents, asked = self._reader.read(after, self._upto, size)
        is_last = len(documents) < asked or documents[-1].seq_no >= self._upto
        return Page(self, documents, is_last, time.monotonic() - started)

    def write(self, page: Page, embedded: Embedded) -> None:
        """Write a page and move the cursor behind it; with the last page the slice is done."""
        if not self.open:
            return
        with self.recording_errors():
            counts, refused = self._write(page.documents, embedded)
            cursor = self._upto if page.is_last else page.documents[-1].seq_no
            self._tempo.add(len(page.documents))
            self._doing = None
            self._advance(cursor, len(page.documents), counts, refused, page.is_last)

    def keep(self) -> None:
        """Renew the lease if half of it is over."""
        if self.open and self._stored.slice.lease_until_s - self._ledger.now() < LEASE_S / 2:
            self._change(lease_until_s=self._ledger.lease_end(), doing=self._doing)

    def progress(self, done: int, total: int) -> None:
        """Record how much of a page is encoded; the renewal of the lease of a long page shows it."""
        watchdog.beat()
        self._doing = f"{done:,} of {total:,} passages of this page are encoded"

    def settle(self) -> bool:
        """Release the lease if this worker still has it; return whether another task must continue."""
        if not self.open:
            return False
        away = self._unavailable is not None
        self._change(
            BRIEFLY_S if away else PATIENCE_S, owner=None, doing=None, docs_per_s=0.0, **self._outcome()
        )
        if not self.open:
            return False
        self.open = False
        if self._error is not None:
            logger.error("Slice failed", extra=self._keys("slice_failed"))  # the ledger has the reason
        elif self._failure is not None:
            keys = self._keys("page_failed") | {"failures": self._stored.slice.failures}
            error = {"error": type(self._failure).__name__, "where": error_location(self._failure)}
            logger.error("A page failed; it is retried in smaller pages", extra=keys | error)
        else:
            keys = self._keys("slice_left") | {"documents": self._documents}
            logger.info("Slice left for another task", extra=keys)
        return self._error is None

    def _outcome(self) -> dict[str, Any]:
        """Return the changes to a slice that is released before it is done."""
        if self._error is not None:
            return {"state": FAILED, "last_error": self._error}
        if self._failure is not None:
            return {
                "state": WAITING,
                "last_error": error_line(self._failure),
                **after_failure(self._stored.slice),
            }
        if self._unavailable is not None:  # its owner lives: this must not count as a death
            retry_at_s = self._ledger.now() + RETRY_S
            return {"state": WAITING, "last_error": self._unavailable, "retry_at_s": retry_at_s}
        return {"state": WAITING}

    def _prepare_run(self) -> int:
        """Return this run's last ``_seq_no``; refresh the source and copy its new fields to the target."""
        bounds = self._stored.slice.range
        if bounds.upto is not None:
            return bounds.upto
        cursor = self._stored.slice.cursor
        found = patiently(lambda: source_checkpoints(self._client, self.part, {bounds.shard: cursor}))
        patiently(lambda: admin.refresh(self._client, self.part.source))
        patiently(lambda: carry_fields(self._client, self._job, self.part))
        return max(found[bounds.shard], cursor)

    def _write(self, documents: Sequence[SourceDocument], embedded: Embedded) -> tuple[Counts, list[Refusal]]:
        started = time.monotonic()
        if self._job.mode == "in_place" and embedded.actions:
            patiently(lambda: check_still_there(self._client, self.part))
        report = patiently(lambda: self._writer.write(self.part.target, embedded.actions))
        if self._job.mode == "in_place":
            self._updates.add(report.seq_nos)
        if report.refused:
            self._set_aside(documents, report.refused)
        counts = embedded.counts + Counts(
            already_newer=report.already_newer,
            refused=len(report.refused),
            rejected=report.rejected,
            written=report.written,
            write_s=time.monotonic() - started,
        )
        return counts, report.refused

    def _advance(
        self,
        cursor: int,
        documents: int,
        counts: Counts,
        refused: Sequence[Refusal],
        done: bool,
        condemned: int = 0,
    ) -> None:
        record = self._stored.slice
        careful = max(0, record.careful - documents)
        changes: dict[str, Any] = {
            "cursor": cursor,
            "lease_until_s": self._ledger.lease_end(),
            "deaths": 0,
            "failures": 0,
            "condemned": condemned,
            "careful": careful,
            "page_limit": record.page_limit if careful else None,
            "read_limit": self._reader.limit,
            "retry_at_s": 0.0,
            "doing": None,
            "docs_per_s": self._tempo.docs_per_s,
            "counts": record.counts + counts,
            "last_error": _refusals(refused) or record.last_error,
        }
        if done:
            changes |= {"state": DONE, "owner": None, "docs_per_s": 0.0}
        self._change(**changes)
        if self.open:
            self._documents += documents
            self._tell(documents, counts, done)

    def _tell(self, documents: int, counts: Counts, done: bool) -> None:
        if documents:
            told = {"documents": documents, "written": counts.written, "rejected": counts.rejected}
            logger.debug("Page written", extra=self._keys("page_written") | told)
        if done:
            self.open = False
            logger.info("Slice done", extra=self._keys("slice_done") | {"documents": self._documents})

    def _set_aside(self, documents: Sequence[SourceDocument], refused: Sequence[Refusal]) -> None:
        routing = {document.doc_id: document.routing for document in documents}
        now = self._ledger.now()
        found = [
            DeadLetter(
                self._job.job_id, self._stored.slice.range.part, self.part.source, refusal.doc_id,
                routing.get(refusal.doc_id), refusal.status, refusal.kind, refusal.reason, now,
            )
            for refusal in refused
        ]  # fmt: skip
        patiently(lambda: dead_letters.add(self._client, found))
        # Their ids and reasons are in the dead-letter index: a reason may quote the document.
        kinds = sorted({letter.kind for letter in found})
        keys = self._keys("documents_refused") | {"documents": len(found), "kinds": kinds}
        logger.warning("Documents were rejected", extra=keys)

    def _pass_over(self) -> None:
        """Move the next document to the dead letters: every worker that read it crashed or failed."""
        record = self._stored.slice
        if record.condemned >= MOST_CONDEMNED:
            raise JobError(
                f"{record.condemned} documents in a row failed, the last with: {record.last_error}; fix "
                "that, then start the job again"
            )
        documents = self._reader.next_document(record.cursor, self._upto)
        if documents:
            refused = [_final_rejection(documents[0].doc_id, record)]
            self._set_aside(documents, refused)
            counts, condemned = Counts(documents=1, refused=1), record.condemned + 1
            self._advance(documents[0].seq_no, 1, counts, refused, done=False, condemned=condemned)

    def _change(self, patience_s: float = PATIENCE_S, **changes: Any) -> None:  # noqa: ANN401
        """Change the slice in the ledger, or find that the lease is lost; what was written stays valid."""
        with self._changing:
            stored = patiently(lambda: self._ledger.change_slice(self._stored, **changes), patience_s)
            if stored is None:
                self.open = False
                logger.warning("Lease lost", extra=self._keys("lease_lost"))
            else:
                self._stored = stored

    def _keys(self, action: str) -> dict[str, Any]:
        """Return the extra keys of every log record about a slice."""
        record = self._stored.slice
        return {"action": action, "job": record.job_id, "slice": record.number, "cursor": record.cursor}


def _final_rejection(doc_id: str, record: Slice) -> Refusal:
    """Return the rejection of a document that has used all its tries."""
    if not record.failures:
        return Refusal(doc_id, 0, dead_letters.KILLER, f"{record.deaths} workers crashed on it")
    died = f", and {record.deaths} workers crashed on it" if record.deaths else ""
    reason = f"{record.failures} tries failed{died}; the last: {record.last_error}"
    return Refusal(doc_id, 0, dead_letters.FAILING, reason)


def _refusals(refused: Sequence[Refusal]) -> str | None:
    if not refused:
        return None
    first = refused[0]
    return f"{len(refused)} documents rejected, the first is '{first.doc_id}': {redacted(first.reason)}"
