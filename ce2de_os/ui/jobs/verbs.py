"""Verbs: what an operator can do with a job now, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ce2de_os.reindex.cutover.rollback import RollbackPlan
from ce2de_os.reindex.job import (
    ACTIVE,
    DONE,
    FAILED,
    FINISHING,
    FOLLOWING,
    HANDOVER,
    PAUSED,
    READY,
    ROLLED_BACK,
    ROLLING_BACK,
    RUNNING,
    SWITCHING,
    TARGET,
    Job,
)
from ce2de_os.reindex.setup.way import sentence

PAUSE, RESUME, THROTTLE = "pause", "resume", "throttle"
VERIFY, CUTOVER, ROLLBACK = "verify", "cutover", "rollback"


@dataclass(frozen=True)
class Verb:
    """Something that can be done with a job.

    Attributes:
        name: as in ``ce2de reindex``.
        title: its button.
        summary: what it does, in a line.
        typed: whether the operator types the job's id first: applications notice it, and what they see or
            lose in between does not come back.
        possible: whether the state of a job allows it.
    """

    name: str
    title: str
    summary: str
    typed: bool
    possible: Callable[[Job], bool]


def _can_resume(job: Job) -> bool:
    return job.state in (PAUSED, *ACTIVE) or (job.standing and job.state == FAILED)


def _can_cut_over(job: Job) -> bool:
    states = (READY, ROLLED_BACK, FAILED, *((FINISHING,) if job.truth == SWITCHING else ()))
    return not job.standing and job.truth != TARGET and job.state in states


_ALL = (
    Verb(
        PAUSE, "Pause", "Stop the workers after the pages that they have in hand.", False,
        lambda job: job.state in ACTIVE,
    ),
    Verb(
        RESUME, "Resume", "Continue, or send messages again that were lost with Redis.", False, _can_resume
    ),
    Verb(
        THROTTLE, "Throttle", "Limit the documents a second, or remove the limit.", False,
        lambda job: job.state in (PAUSED, *ACTIVE),
    ),
    Verb(
        VERIFY, "Verify", "Compare sources and targets now, and keep the report.", False,
        lambda job: job.state in (READY, DONE, FAILED, PAUSED, FOLLOWING, ROLLED_BACK),
    ),
    Verb(CUTOVER, "Cut over", "Verify once more, then move the alias to the new index.", True, _can_cut_over),
    Verb(
        ROLLBACK, "Roll back", "Move the alias back to the index before.", True,
        lambda job: not job.standing and job.state in (DONE, ROLLING_BACK),
    ),
)  # fmt: skip
VERBS = {verb.name: verb for verb in _ALL}


def possible(job: Job) -> list[Verb]:
    """Return what the state of a job allows; the cluster may still refuse it."""
    return [verb for verb in _ALL if verb.possible(job)]


def consequences(verb: Verb, job: Job, plan: RollbackPlan | None = None) -> list[str]:
    """Describe what follows from a verb; ``plan`` belongs to a rollback."""
    return list(_CONSEQUENCES[verb.name](job)) if plan is None else list(_of_rollback(job, plan))


def _of_pause(job: Job) -> Iterator[str]:
    yield "The workers stop after the pages that they have in hand. Nothing is lost."
    if job.standing:
        yield (
            f"Until it continues, new and changed documents of {_names(job.sources)} have no vector, or an "
            "old one: BM25 finds them, vectors do not."
        )
    yield "To go on: resume."


def _of_resume(job: Job) -> Iterator[str]:
    if job.state in (RUNNING, FINISHING, FOLLOWING):
        yield "The job goes on already. Messages that were lost with Redis are sent again; nothing is lost."
        return
    yield "The workers continue where they stopped."
    if job.alias and not job.standing:
        yield (
            f"At the end the job is verified and waits: the alias '{job.alias}' moves with a cutover."
            if job.hold
            else f"At the end the job is verified, and the alias '{job.alias}' moves by itself."
        )
    yield "To stop it: pause."


def _of_throttle(job: Job) -> Iterator[str]:
    now = "none" if job.docs_per_s is None else f"{job.docs_per_s:g} documents a second"
    yield f"Sets the most documents a second of all workers together; now: {now}. They follow in seconds."
    yield "A low limit spares the cluster, and the job takes longer. To undo it: set another limit, or none."


def _of_verify(job: Job) -> Iterator[str]:
    yield (
        "Compares all documents of the sources and the targets, and a sample of contents and vectors. It "
        "only reads, for up to some minutes; the report replaces the last one."
    )
    if job.state == FAILED and not job.standing:
        yield "If it finds no problem, the job becomes ready for the cutover."


def _of_cutover(job: Job) -> Iterator[str]:
    yield "Catches up with the latest writes and verifies once more. A problem ends it, and nothing moves."
    if job.alias:
        yield f"Then the alias '{job.alias}' moves to {_names(job.targets)}: applications search there."
    else:
        yield f"Then {_names(job.targets)} is marked as ready: applications search its vectors."
    yield sentence(
        job.way, job.source, str(job.alias), _names(job.sources), block=job.block, max_block_s=job.max_block_s
    )
    if job.way == HANDOVER and job.block:
        yield "A write that is rejected at the switch does not come back: its application has to repeat it."
    if job.follow:
        yield "A standing job then keeps the vectors up to date."
    yield "A rollback moves back. What users have seen until then stays seen."


def _of_rollback(job: Job, plan: RollbackPlan) -> Iterator[str]:
    if job.mode == "in_place":
        yield f"The vectors of {_names(job.targets)} are marked as not ready: searches do without."
    elif job.alias:
        yield f"The alias '{job.alias}' moves back to {_names(job.previous)}: applications search there."
    yield plan.sentence()
    if job.way == HANDOVER and job.truth == TARGET:
        yield "Writes are rejected until the alias has moved; the applications have to repeat them."
        yield f"{_names(job.targets)} stays, read-only."
    yield "The standing job of the alias ends, so vectors are not kept up to date any more."
    yield "A cutover moves there again, once the job is verified anew."


_CONSEQUENCES: dict[str, Callable[[Job], Iterator[str]]] = {
    PAUSE: _of_pause,
    RESUME: _of_resume,
    THROTTLE: _of_throttle,
    VERIFY: _of_verify,
    CUTOVER: _of_cutover,
}


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "no index"
