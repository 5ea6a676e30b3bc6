"""The bulk writer: the newest version wins, rejected documents are returned, a busy cluster gets time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, NamedTuple

from opensearchpy import OpenSearch

from ce2de_os.errors import (
    BackendBusyError,
    BackendUnavailableError,
    BulkWriteError,
    GuardGoneError,
    RequestTooLargeError,
)
from ce2de_os.index.bulk.pace import MOST_IN_FLIGHT, BulkPace
from ce2de_os.index.client import backend_errors, error_type, is_busy, reason
from ce2de_os.index.guard import guard_name
from ce2de_os.index.json_text import JsonText, dumps, encoded

PATIENCE_S = 60.0
"""Seconds without any accepted document after which the writer fails."""

_SMALLEST_SHARE_BYTES = 256 * 1024  # below this, a second request costs more than it saves
_BUSY, _CONFLICT, _MISSING, _TOO_LARGE = 429, 409, 404, 413
_MORE = "raise http.max_content_length of the nodes, or the limit of the proxy before them"
TOO_LARGE = "request_too_large"
"""The ``kind`` of a document that is larger than a request may be."""

_NO_INDEX = "index_not_found_exception"
_NO_DOCUMENTS_FAULT = {"security_exception", "index_closed_exception", _NO_INDEX}


class WriteAction(NamedTuple):
    """A document to write: ``version`` is the source's, ``routing`` ``None`` if it has none.

    ``source`` may be a `JsonText`, or a value of it; so may one of an update's fields.
    """

    doc_id: str
    version: int
    routing: str | None
    source: dict[str, Any] | JsonText


class UpdateAction(NamedTuple):
    """Fields to set in a document that is still as it was read, at ``seq_no`` and ``primary_term``."""

    doc_id: str
    seq_no: int
    primary_term: int
    routing: str | None
    fields: dict[str, Any]


class DeleteAction(NamedTuple):
    """A document to delete if it is still as it was read, at ``seq_no`` and ``primary_term``."""

    doc_id: str
    routing: str | None
    seq_no: int
    primary_term: int


class ReplaceAction(NamedTuple):
    """A document to write whole if it is still as it was read, at ``seq_no`` and ``primary_term``."""

    doc_id: str
    seq_no: int
    primary_term: int
    routing: str | None
    source: dict[str, Any] | JsonText


class CreateAction(NamedTuple):
    """A document to write if there is none with its id."""

    doc_id: str
    routing: str | None
    source: dict[str, Any] | JsonText


Action = WriteAction | UpdateAction | DeleteAction | ReplaceAction | CreateAction


class Refusal(NamedTuple):
    """A document that OpenSearch rejected: HTTP ``status``, error type ``kind``, and the reason."""

    doc_id: str
    status: int
    kind: str
    reason: str


@dataclass
class BulkReport:
    """The outcome of the documents of one or more bulk requests.

    Attributes:
        written: documents that were written, updated or deleted.
        already_newer: documents that were changed, or deleted, by another writer in the meantime;
            ``conflicts`` are their ids.
        seq_nos: the ``_seq_no`` of each document that was written, where the server returns it.
        refused: documents that OpenSearch rejected.
        rejected: how often a document was answered with 429 and sent again.
        paused_s: seconds spent waiting for a busy cluster.
    """

    written: int = 0
    seq_nos: list[int] = field(default_factory=list)
    already_newer: int = 0
    conflicts: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    rejected: int = 0
    paused_s: float = 0.0


class _Entry(NamedTuple):
    doc_id: str
    payload: bytes


class _Answer(NamedTuple):
    """The results of one request: an item for each entry, and how long OpenSearch worked on it."""

    entries: list[_Entry]
    items: list[dict[str, Any]]
    took_s: float


class BulkWriter:
    """Writes at the pace that the cluster can take, and keeps that pace from call to call.

    `write` returns when every document has an answer. This gives backpressure: on a busy cluster the pauses
    and the small requests make the call long; a caller that passes its next page only after the last call has
    returned, through a bounded queue, cannot read or encode faster than it writes.
    Memory holds one round of requests (at most 32 MB) besides the caller's page.

    One `write` at a time; the writer's own threads share the client's connections. ``pipeline`` is an ingest
    pipeline to run on documents that are written; ``None``: none, not even the index's default one.
    ``guarded``: write through the index's guard, so only while the job may, see `ce2de_os.index.guard`.
    """

    def __init__(
        self,
        client: OpenSearch,
        pace: BulkPace | None = None,
        pipeline: str | None = None,
        *,
        guarded: bool = False,
    ) -> None:
        self._client, self.pace, self._guarded = client, pace or BulkPace(), guarded
        self._params = {
            "pipeline": pipeline or "_none",
            "filter_path": "took,items.*.status,items.*.error,items.*._seq_no",
            **({"require_alias": "true"} if guarded else {}),
        }
        self._pool = ThreadPoolExecutor(MOST_IN_FLIGHT, thread_name_prefix="bulk")

    def __enter__(self) -> BulkWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the writer's threads."""
        self._pool.shutdown()

    def write(self, index: str, actions: Iterable[Action]) -> BulkReport:
        """Carry out ``actions``, in any order: no two of one call may concern the same document.

        A `WriteAction` has ``version_type: external_gte``: the newer source version of two writes stays, so
        any document may be written twice. An `UpdateAction` or `DeleteAction` whose document has changed does
        nothing and counts as ``already_newer``. What a busy or read-only cluster rejects is sent again.

        Raises:
            BackendUnavailableError: OpenSearch does not answer, or takes no document for a minute; what was
                written stays, and the whole call may be repeated.
            BulkWriteError: the cause is not in a document: no permission, no such index, a broken answer.
            GuardGoneError: the guard is gone; nothing of the last request was written.
        """
        report = BulkReport()
        fresh = map(_serialize, actions)
        waiting: list[_Entry] = []
        progress_s = time.monotonic()
        while self._fill(waiting, fresh):
            self._wait(report)
            requests = list(islice(_share(waiting, self.pace), self.pace.in_flight))
            answers = list(self._pool.map(partial(self._send, index), requests))
            sent = sum(map(len, requests))
            again = [entry for answer in answers for entry in _enter(index, answer, report, self._guarded)]
            waiting = again + waiting[sent:]
            if again:
                self.pace.rejected()
            else:
                self.pace.accepted(max(answer.took_s for answer in answers))
            if len(again) < sent:
                progress_s = time.monotonic()
            elif time.monotonic() - progress_s > PATIENCE_S:
                raise BackendUnavailableError(
                    f"write to '{index}': the cluster is too busy or read-only, it took no document for "
                    f"{PATIENCE_S:.0f} s; see GET _cat/thread_pool/write and GET _cluster/settings"
                )
        return report

    def _wait(self, report: BulkReport) -> None:
        if self.pace.pause_s:
            time.sleep(self.pace.pause_s)
            report.paused_s += self.pace.pause_s

    def _fill(self, waiting: list[_Entry], fresh: Iterator[_Entry]) -> int:
        """Add to ``waiting`` as much as one round may send; its length is returned."""
        size, room = sum(map(_size, waiting)), self.pace.request_bytes * self.pace.in_flight
        while size < room and (entry := next(fresh, None)):
            waiting.append(entry)
            size += _size(entry)
        return len(waiting)

    def _send(self, index: str, entries: list[_Entry]) -> _Answer:
        body = b"".join(entry.payload for entry in entries)
        try:
            with backend_errors(f"write to '{index}'"):
                place = guard_name(index) if self._guarded else index
                answer = self._client.bulk(index=place, body=body, params=self._params)
        except BackendBusyError:
            return _Answer(entries, [{"status": _BUSY}] * len(entries), 0.0)
        except RequestTooLargeError as error:
            return self._send_less(index, entries, error)
        items = [item for result in answer.get("items", []) for item in result.values()]
        if len(items) != len(entries):
            raise BulkWriteError(f"write to '{index}': {len(items)} results for {len(entries)} documents")
        return _Answer(entries, items, answer["took"] / 1000)

    def _send_less(self, index: str, entries: list[_Entry], error: RequestTooLargeError) -> _Answer:
        """Send the halves of a request that is too large; a single document that is too large is rejected."""
        if len(entries) == 1:
            told = f"{error}: the document has {_size(entries[0]):,} bytes; {_MORE}"
            refused = {"status": _TOO_LARGE, "error": {"type": TOO_LARGE, "reason": told}}
            return _Answer(entries, [refused], 0.0)
        self.pace.too_large(sum(map(_size, entries)))
        middle = len(entries) // 2
        first, second = self._send(index, entries[:middle]), self._send(index, entries[middle:])
        return _Answer(entries, first.items + second.items, first.took_s + second.took_s)


def write_documents(
    client: OpenSearch,
    index: str,
    actions: Iterable[Action],
    pipeline: str | None = None,
    *,
    guarded: bool = False,
) -> BulkReport:
    """Write once, with a pace of this call's own; semantics and errors are those of `BulkWriter.write`."""
    with BulkWriter(client, pipeline=pipeline, guarded=guarded) as writer:
        return writer.write(index, actions)


def _serialize(action: Action) -> _Entry:
    verb, header, body = _parts(action)
    header["_id"] = action.doc_id
    if action.routing is not None:
        header["routing"] = action.routing
    lines = [json.dumps({verb: header})]
    if body is not None:
        lines.append(body)
    return _Entry(action.doc_id, encoded("\n".join([*lines, ""])))


def _parts(action: Action) -> tuple[str, dict[str, Any], str | None]:
    """Return the action's name in the bulk API, the beginning of its header, and its body in JSON."""
    if isinstance(action, WriteAction):
        versioned = {"version": action.version, "version_type": "external_gte"}
        return "index", versioned, _document(action.source)
    if isinstance(action, CreateAction):
        return "create", {}, _document(action.source)
    unchanged = {"if_seq_no": action.seq_no, "if_primary_term": action.primary_term}
    if isinstance(action, ReplaceAction):
        return "index", unchanged, _document(action.source)
    if isinstance(action, UpdateAction):
        return "update", unchanged, dumps({"doc": JsonText(dumps(action.fields))})
    return "delete", unchanged, None


def _document(source: dict[str, Any] | JsonText) -> str:
    return source if isinstance(source, JsonText) else dumps(source)


def _size(entry: _Entry) -> int:
    return len(entry.payload)


def _share(entries: list[_Entry], pace: BulkPace) -> Iterator[list[_Entry]]:
    """Cut ``entries`` into requests of even size, to send as many at once as the pace allows."""
    even = -(-sum(map(_size, entries)) // pace.in_flight) + max(map(_size, entries))
    share = min(pace.request_bytes, max(_SMALLEST_SHARE_BYTES, even))
    request: list[_Entry] = []
    size = 0
    for entry in entries:
        if request and size + _size(entry) > share:
            yield request
            request, size = [], 0
        request.append(entry)
        size += _size(entry)
    yield request


def _enter(index: str, answer: _Answer, report: BulkReport, guarded: bool = False) -> Iterator[_Entry]:
    """Add the results of one request to ``report`` and yield the entries to send again."""
    for entry, item in zip(answer.entries, answer.items, strict=True):
        status, kind = item["status"], error_type(item)
        if is_busy(item):
            report.rejected += status == _BUSY
            yield entry
        elif guarded and kind == _NO_INDEX:
            raise GuardGoneError(
                f"the job may not write to '{index}' any more: applications write there now, the job was "
                "cancelled, or the index was deleted or created again; see: ce2de reindex status"
            )
        elif kind in _NO_DOCUMENTS_FAULT:
            raise BulkWriteError(f"write to '{index}': {reason(item)} (HTTP {status})")
        elif status in (_CONFLICT, _MISSING):  # 404: an update or a delete came after another client's delete
            report.already_newer += 1
            report.conflicts.append(entry.doc_id)
        elif status >= 400:
            report.refused.append(Refusal(entry.doc_id, status, kind, reason(item)))
        else:
            report.written += 1
            if "_seq_no" in item:
                report.seq_nos.append(item["_seq_no"])
