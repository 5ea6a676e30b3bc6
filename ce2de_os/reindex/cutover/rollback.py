"""Roll a job back: copy back what applications wrote, then move the alias back."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from opensearchpy import OpenSearch

from ce2de_os.deep_json import equal
from ce2de_os.errors import Ce2deError, JobError
from ce2de_os.index import admin, aliases
from ce2de_os.index.admin import patiently
from ce2de_os.index.bulk import Action, CreateAction, DeleteAction, ReplaceAction, write_documents
from ce2de_os.index.raw import without
from ce2de_os.reindex import standing
from ce2de_os.reindex.compare import differences
from ce2de_os.reindex.cutover.both_sides import deleted_since, unordered_since, written_on_both_sides
from ce2de_os.reindex.cutover.switch import change_entries, set_ready
from ce2de_os.reindex.cutover.turn import handed_over, take_turn
from ce2de_os.reindex.drift import own_fields
from ce2de_os.reindex.identity import source_checkpoints, target_checkpoints
from ce2de_os.reindex.job import (
    DONE,
    FOLLOWING,
    HANDOVER,
    ROLLED_BACK,
    ROLLING_BACK,
    SOURCE,
    TARGET,
    Job,
    Part,
)
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.slices.source import SourceDocument, read_page
from ce2de_os.reindex.syncing.late_writes import MOST_UNORDERED, current_of
from ce2de_os.reindex.syncing.repair import cursors

logger = logging.getLogger(__name__)

_PAGE = 256


@dataclass(frozen=True)
class RollbackPlan:
    """The writes of applications to the targets since the handover, which a rollback must copy back.

    Attributes:
        written: documents that were created or changed there; ``deleted``: that were deleted there.
        ids: the first of both.
    """

    written: int
    deleted: int
    ids: tuple[str, ...]

    def sentence(self, *, discard: bool = False) -> str:
        """Describe what happens to these writes; ``discard``: they are not copied back."""
        if not self.written and not self.deleted:
            return "Applications have written nothing since the alias moved that the source lacks."
        verb = "LOST to the source" if discard else "copied back to the source"
        return (
            f"Since the alias moved, applications wrote {self.written:,} documents and deleted "
            f"{self.deleted:,} (such as {', '.join(self.ids)}); that will be {verb}."
        )


def plan_rollback(client: OpenSearch, job: Job) -> RollbackPlan:
    """Count what a rollback would copy back; change nothing.

    Raises:
        JobError: the job cannot be rolled back.
    """
    _check(client, job)
    ledger = Ledger(client)
    if job.way != HANDOVER or job.truth != TARGET:
        return RollbackPlan(0, 0, ())
    written = deleted = 0
    ids: list[str] = []
    for number in range(len(job.parts)):
        for action in _changes(client, ledger, job, number):
            written, deleted = (
                written + (not isinstance(action, DeleteAction)),
                deleted + isinstance(action, DeleteAction),
            )
            ids = [*ids, action.doc_id][:5]
    return RollbackPlan(written, deleted, tuple(ids))


def rollback(client: OpenSearch, job_id: str, *, discard_writes: bool = False) -> Job:
    """Restore the alias as it was before the job; the targets stay, and reject writes.

    What was written to the targets since is copied back while they are read-only, so nothing is lost; with
    ``discard_writes`` it stays there alone. An interrupted rollback continues when it is called again.

    Raises:
        JobError: the job has not moved an alias, the alias is another job's by now, or an index is gone.
    """
    ledger = Ledger(client)
    job = ledger.job(job_id).job
    _check(client, job)
    standing.stop(ledger, job)
    if job.mode == "in_place":
        set_ready(client, job, ready=False)
    if job.way == HANDOVER and job.truth == TARGET:
        return _hand_back(client, ledger, job, discard_writes)
    _move_back(client, job)
    standing.restore(client, ledger, job)
    return _change(ledger, job, state=ROLLED_BACK, before=None)


def outcome(client: OpenSearch, job: Job) -> Iterator[str]:
    """Yield lines for the operator on a job that was rolled back."""
    stored = Ledger(client).find_job(standing.standing_id(standing.followed_name(job)))
    if stored is not None and stored.job.state == FOLLOWING:
        yield f"Standing job '{stored.job.job_id}' continues; it needs workers of model '{stored.job.model}'."
    if job.blocked_s is not None and job.way == HANDOVER:
        yield f"Writes were rejected for {job.blocked_s:.1f} s."
    if job.unordered:
        yield f"Written on both sides, left as the source has them: {', '.join(job.unordered[:5])}"


def _hand_back(client: OpenSearch, ledger: Ledger, job: Job, discard_writes: bool) -> Job:
    begun = time.monotonic()
    if job.state == ROLLING_BACK and not _revoked(client, job):
        return _complete(client, ledger, job, begun)  # applications write to the sources already
    job = _change(ledger, job, state=ROLLING_BACK)
    job = _change(ledger, job, turn=take_turn(client, job.targets[0]))
    copies: list[list[Action]] = []
    copied: list[int] = []
    try:
        for name in (*job.targets, *job.sources):
            patiently(lambda: admin.block_writes(client, name))  # noqa: B023
        if not discard_writes:
            copies = _copies(client, ledger, job)
        for part in job.parts:
            patiently(lambda: admin.unblock_writes(client, part.source))  # noqa: B023
        _copy_back(client, ledger, job, copies, copied)
        _move_back(client, job)
    except (Ce2deError, KeyboardInterrupt) as error:
        if _revoked(client, job):
            _stay(client, ledger, job, copies, copied)
            raise
        if isinstance(error, KeyboardInterrupt):
            raise
    return _complete(client, ledger, job, begun)


def _stay(
    client: OpenSearch, ledger: Ledger, job: Job, copies: list[list[Action]], copied: list[int]
) -> None:
    """Let applications write to the targets again; what was copied back so far stays in the sources too."""
    for number, part in enumerate(job.parts):
        admin.block_writes(client, part.source)
        _report(ledger, job, written_on_both_sides(client, ledger, job, number, staying=True))
        if copies:
            gone = deleted_since(client, part, copies[number], copied=number in copied)
            _report(ledger, job, gone)
        _pass_over(client, ledger, job, number)
    for part in job.parts:
        admin.unblock_writes(client, part.target)
    job = _change(ledger, job, state=DONE, turn=None)
    if job.follow:
        standing.start(client, ledger, job)  # a sweep gives it to a worker


def _pass_over(client: OpenSearch, ledger: Ledger, job: Job, number: int) -> None:
    """Move the cursors behind what a part's source has now, so that it counts as known from here on."""
    newest = patiently(lambda: source_checkpoints(client, job.parts[number]))
    for record in patiently(lambda: ledger.slices(job)):
        if record.range.part == number and record.range.upto is None:
            cursor = max(record.cursor, newest[record.range.shard])
            while ledger.change_slice(ledger.slice(job.job_id, record.number), cursor=cursor) is None:
                continue  # another command has changed it since it was read


def _complete(client: OpenSearch, ledger: Ledger, job: Job, begun: float) -> Job:
    for part in job.parts:
        change_entries(client, part.target, {"source": part.source})
    standing.restore(client, ledger, job)
    logger.info("Applications write to the source again", extra={"action": "rolled_back", "job": job.job_id})
    return _change(
        ledger,
        job,
        state=ROLLED_BACK,
        truth=SOURCE,
        before=None,
        turn=None,
        blocked_s=time.monotonic() - begun,
    )


def _report(ledger: Ledger, job: Job, unordered: list[str]) -> None:
    """Add ids to the record before the alias moves: a later process may complete the rollback."""
    known = ledger.job(job.job_id).job.unordered
    if new := [doc_id for doc_id in unordered if doc_id not in known]:
        _change(ledger, job, unordered=(*known, *new)[:MOST_UNORDERED])


def _revoked(client: OpenSearch, job: Job) -> bool:
    """Block every earlier request to move the alias back; ``False``: one has moved it."""
    take_turn(client, job.targets[0])
    return not _moved_back(client, job)


def _check(client: OpenSearch, job: Job) -> None:
    if job.state not in (DONE, ROLLING_BACK):
        raise JobError(f"job '{job.job_id}' is {job.state}; only a job that is done can be rolled back")
    gone = [name for name in job.previous if not admin.exists(client, name)]
    if gone:
        raise JobError(f"job '{job.job_id}' cannot be rolled back: index '{gone[0]}' does not exist any more")
    if job.mode == "in_place" or job.alias is None:
        return
    if not job.before:
        raise JobError(
            f"alias '{job.alias}' pointed nowhere before job '{job.job_id}'; "
            f"let applications search '{job.source}', or remove the alias"
        )
    current = aliases.definitions(client, job.alias)
    if not any(target in current for target in job.targets) and not set(job.before) <= set(current):
        raise JobError(
            f"alias '{job.alias}' points to {', '.join(sorted(current)) or 'nothing'}, not to the index of "
            "job "
            f"'{job.job_id}' any more; roll back the job that moved it last: ce2de reindex list"
        )


def _copies(client: OpenSearch, ledger: Ledger, job: Job) -> list[list[Action]]:
    """Return, for each part, the writes that bring the source to what the target holds.

    Both are blocked. Each write holds only for the document as it is now, so what an application writes to
    the source as soon as that is open is neither overwritten nor deleted: it is a conflict.
    """
    for number in range(len(job.parts)):
        _report(ledger, job, written_on_both_sides(client, ledger, job, number))
    return [list(_changes(client, ledger, job, number)) for number in range(len(job.parts))]


def _copy_back(
    client: OpenSearch, ledger: Ledger, job: Job, copies: list[list[Action]], copied: list[int]
) -> None:
    """Carry the writes out, and report the documents that were written in the source at the same time.

    Add the numbers of the parts that are done to ``copied``.
    """
    for number, (part, actions) in enumerate(zip(job.parts, copies, strict=False)):
        report = patiently(lambda: write_documents(client, part.source, actions))  # noqa: B023
        if report.refused:
            first = report.refused[0]
            raise JobError(
                f"'{part.source}' rejects {len(report.refused)} documents that were written to "
                f"'{part.target}', "
                f"the first is '{first.doc_id}': {first.reason}; change its mapping, or lose them with "
                "`discard_writes`"
            )
        _report(ledger, job, unordered_since(client, job, part, actions, set(report.conflicts)))
        patiently(lambda: admin.refresh(client, part.source))  # noqa: B023
        copied.append(number)


def _changes(client: OpenSearch, ledger: Ledger, job: Job, number: int) -> Iterator[Action]:
    """Yield the writes after which the source holds what the target holds; refresh both indices first.

    What lies beyond the job's cursors was written to the source after the handover: by an earlier try of
    this rollback, or by an application that knows it by name, and then it is kept.
    """
    part, upto = job.parts[number], cursors(ledger, job, number)
    patiently(lambda: admin.refresh(client, part.target))
    patiently(lambda: admin.refresh(client, part.source))
    ours = own_fields(job.vector)
    for batch in _written(client, job, part):
        for document, entry in zip(batch, current_of(client, part.source, batch, "*"), strict=True):
            theirs = document.source.keys() - ours
            content = without(document.raw, ours)
            if not entry.get("found"):
                yield CreateAction(document.doc_id, document.routing, content)
            elif entry["_seq_no"] > upto[document.shard]:
                continue  # source and target have the same shards
            elif not equal(entry["_source"], {name: document.source[name] for name in theirs}):
                where = (entry["_seq_no"], entry["_primary_term"])
                yield ReplaceAction(document.doc_id, *where, document.routing, content)
    for found in differences(client, part, job.vector.origin_field, upto):
        lacking = [
            SourceDocument(one.doc_id, one.shard, one.seq_no, 0, one.routing, {}) for one in found.lost
        ]
        in_target = current_of(client, part.target, lacking)
        in_source = current_of(client, part.source, lacking)
        for document, there, here in zip(lacking, in_target, in_source, strict=True):
            if not there.get("found") and here.get("found"):
                yield DeleteAction(document.doc_id, document.routing, here["_seq_no"], here["_primary_term"])


def _written(client: OpenSearch, job: Job, part: Part) -> Iterator[list[SourceDocument]]:
    """Yield the target's documents written since the handover, in batches; new vectors are writes too."""
    for shard, checkpoint in patiently(lambda: target_checkpoints(client, part)).items():
        after = job.fences[part.target][shard]
        while after < checkpoint:
            batch = patiently(lambda: read_page(client, part.target, shard, after, checkpoint, _PAGE))  # noqa: B023
            if not batch:
                break
            yield batch
            after = batch[-1].seq_no


def _moved_back(client: OpenSearch, job: Job) -> bool:
    current = aliases.definitions(client, str(job.alias))
    return not any(target in current for target in job.targets)


def _move_back(client: OpenSearch, job: Job) -> None:
    """Restore the old definitions of the alias; members that others added since stay."""
    if job.alias is None or not job.before:
        return
    before, alias = job.before, job.alias

    def move() -> None:
        current = aliases.definitions(client, alias)
        leaving = [target for target in job.targets if target in current and target not in before]
        joining = {name: before[name] for name in before if current.get(name) != before[name]}
        if leaving or joining:
            actions = aliases.moved(alias, leaving, joining) + handed_over(job.targets[0], job.turn)
            aliases.update(client, actions, f"move alias '{alias}' back")

    patiently(move)


def _change(ledger: Ledger, job: Job, **changes: object) -> Job:
    for _ in range(20):
        changed = ledger.change_job(ledger.job(job.job_id), **changes)
        if changed is not None:
            return changed.job
    raise JobError(f"job '{job.job_id}' is being changed by another command; try again")
