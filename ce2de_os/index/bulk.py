"""The bulk writer: newest wins, refused documents are returned, a busy cluster is given time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from opensearchpy import OpenSearch

from ce2de_os.errors import BackendUnavailableError, BulkWriteError
from ce2de_os.index.client import RETRYABLE_STATUS, backend_errors, reason

BULK_BYTES = 8 * 1024 * 1024
"""A request is sent when it has grown to this size; one larger document goes alone."""

_CONFLICT = 409
_MAX_PAUSES = 10


class WriteAction(NamedTuple):
    """A document to write: ``version`` is the source's, ``routing`` ``None`` if it has none."""

    doc_id: str
    version: int
    routing: str | None
    source: dict[str, Any]


class Refusal(NamedTuple):
    """A document that OpenSearch did not take, and why."""

    doc_id: str
    reason: str


@dataclass
class BulkReport:
    """What became of the documents of one or more bulk requests."""

    written: int = 0
    already_newer: int = 0
    refused: list[Refusal] = field(default_factory=list)


class _Entry(NamedTuple):
    doc_id: str
    payload: bytes


def write_documents(client: OpenSearch, index: str, actions: Iterable[WriteAction]) -> BulkReport:
    """Write documents with ``version_type: external_gte``: of two writes the newer source version stays.

    Any document may therefore be written twice and in any order. Ingest pipelines do not run: the source's
    documents have been through them. Items refused with 429 are sent again after a pause.

    Raises:
        BackendUnavailableError: OpenSearch does not answer, or stays too busy.
        BulkWriteError: the request as a whole was refused.
    """
    report = BulkReport()
    for request in _requests(actions):
        _send(client, index, request, report)
    return report


def _requests(actions: Iterable[WriteAction]) -> Iterator[list[_Entry]]:
    request: list[_Entry] = []
    size = 0
    for action in actions:
        entry = _serialize(action)
        if request and size + len(entry.payload) > BULK_BYTES:
            yield request
            request, size = [], 0
        request.append(entry)
        size += len(entry.payload)
    if request:
        yield request


def _serialize(action: WriteAction) -> _Entry:
    header: dict[str, Any] = {"_id": action.doc_id, "version": action.version, "version_type": "external_gte"}
    if action.routing is not None:
        header["routing"] = action.routing
    # ASCII JSON carries lone surrogates as escapes, just as the source delivered them.
    lines = (json.dumps({"index": header}), json.dumps(action.source, separators=(",", ":")), "")
    return _Entry(action.doc_id, "\n".join(lines).encode("ascii"))


def _send(client: OpenSearch, index: str, entries: list[_Entry], report: BulkReport) -> None:
    pause = 0.5
    for _ in range(_MAX_PAUSES):
        entries = _send_once(client, index, entries, report)
        if not entries:
            return
        time.sleep(pause)
        pause = min(pause * 2, 8.0)
    raise BackendUnavailableError(
        f"write to '{index}': the cluster is too busy (429 for {len(entries)} documents)"
    )


def _send_once(client: OpenSearch, index: str, entries: list[_Entry], report: BulkReport) -> list[_Entry]:
    """Send one request, enter the results in ``report`` and return the entries to send again."""
    body = b"".join(entry.payload for entry in entries)
    with backend_errors(f"write to '{index}'"):
        answer = client.bulk(
            index=index,
            body=body,
            params={"pipeline": "_none", "filter_path": "items.*.status,items.*.error"},
        )
    items = [item["index"] for item in answer.get("items", [])]
    if len(items) != len(entries):
        raise BulkWriteError(f"write to '{index}': {len(items)} results for {len(entries)} documents")
    again = []
    for entry, item in zip(entries, items, strict=True):
        status = item["status"]
        if status in RETRYABLE_STATUS:
            again.append(entry)
        elif status == _CONFLICT:
            report.already_newer += 1
        elif status >= 400:
            report.refused.append(Refusal(entry.doc_id, reason(item)))
        else:
            report.written += 1
    return again
