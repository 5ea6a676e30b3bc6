"""Retry dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from opensearchpy import OpenSearch

from ce2de_os.errors import Ce2deError
from ce2de_os.index import admin
from ce2de_os.index.bulk import (
    Action,
    CreateAction,
    Refusal,
    ReplaceAction,
    UpdateAction,
    WriteAction,
    write_documents,
)
from ce2de_os.reindex import dead_letters
from ce2de_os.reindex.dead_letters import DeadLetter
from ce2de_os.reindex.failures import error_line, is_failure
from ce2de_os.reindex.job import SOURCE, Job, Part
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.slices.embedding import DocumentEncoder, check_fingerprint, embed
from ce2de_os.reindex.slices.source import SourceDocument, read_documents_by_id
from ce2de_os.reindex.syncing.late_writes import current_of

_BATCH = 16  # read whole, and a rejected document may be as large as a request


@dataclass(frozen=True)
class RetryReport:
    """Numbers of documents that were written, were gone from the source, and were rejected again."""

    written: int
    gone: int
    refused: int


def retry(client: OpenSearch, encoder: DocumentEncoder, job_id: str) -> RetryReport:
    """Embed and write a job's dead letters, as their documents are now; delete those that succeed.

    After a handover a document is only written where the target has none of its id: applications write there.

    Raises:
        ArtifactMismatchError: the encoder is not the job's.
        JobError: there is no such job.
    """
    ledger = Ledger(client)
    job = ledger.job(job_id).job
    check_fingerprint(job_id, job.fingerprint, encoder)
    found = sorted(dead_letters.letters(client, job_id), key=lambda letter: letter.part)
    reports = []
    for number, group in groupby(found, key=lambda letter: letter.part):
        letters = list(group)
        admin.refresh(client, job.parts[number].source)
        for start in range(0, len(letters), _BATCH):
            batch = letters[start : start + _BATCH]
            reports.append(_retry_batch(client, encoder, job, job.parts[number], batch, ledger.now()))
    return RetryReport(
        sum(report.written for report in reports),
        sum(report.gone for report in reports),
        sum(report.refused for report in reports),
    )


def _retry_batch(
    client: OpenSearch, encoder: DocumentEncoder, job: Job, part: Part, batch: list[DeadLetter], now_s: float
) -> RetryReport:
    wanted = {(letter.doc_id, letter.routing) for letter in batch}
    found = read_documents_by_id(client, part.source, sorted({doc_id for doc_id, _ in wanted}))
    documents = [document for document in found if (document.doc_id, document.routing) in wanted]
    refused: dict[tuple[str, str | None], Refusal] = {}
    for document in documents:  # one by one: among them may be one that no worker survives
        for refusal in _write(client, encoder, job, part, document):
            refused[document.doc_id, document.routing] = refusal
    returned = [
        DeadLetter(
            letter.job_id, letter.part, letter.source, letter.doc_id, letter.routing,
            again.status, again.kind, again.reason, now_s,
        )
        for letter in batch
        if (again := refused.get((letter.doc_id, letter.routing)))
    ]  # fmt: skip
    dead_letters.add(client, returned)
    arrived = [letter for letter in batch if (letter.doc_id, letter.routing) not in refused]
    dead_letters.remove(client, arrived)
    return RetryReport(len(documents) - len(refused), len(batch) - len(documents), len(refused))


def _write(
    client: OpenSearch, encoder: DocumentEncoder, job: Job, part: Part, document: SourceDocument
) -> list[Refusal]:
    """Embed and write one document; an unexpected error is a rejection too."""
    try:
        actions = embed(client, encoder, job, part, [document]).actions
        if job.mode == "copy" and job.truth != SOURCE:
            late = _unless_newer(client, job, part, document, actions)
            return write_documents(client, part.target, late, job.pipeline).refused
        guarded = job.mode == "copy"
        return write_documents(client, part.target, actions, job.pipeline, guarded=guarded).refused
    except Ce2deError:
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        return [Refusal(document.doc_id, 0, dead_letters.FAILING, error_line(error))]


def _unless_newer(
    client: OpenSearch,
    job: Job,
    part: Part,
    document: SourceDocument,
    actions: Sequence[WriteAction | UpdateAction],
) -> list[Action]:
    """Return the write in a form that keeps what an application wrote to the target after a handover.

    The target may hold an older version of the document, written before the handover; that is replaced.
    """
    (entry,) = current_of(client, part.target, [document])
    fence = job.fences[part.target][document.shard]  # source and target have the same shards
    late: list[Action] = []
    for one in actions:
        if not isinstance(one, WriteAction):
            continue
        if not entry.get("found"):
            late.append(CreateAction(one.doc_id, one.routing, one.source))
        elif entry["_seq_no"] <= fence:
            place = entry["_seq_no"], entry["_primary_term"]
            late.append(ReplaceAction(one.doc_id, *place, one.routing, one.source))
    return late
