"""The switch: the alias moves to the targets, and with a handover the truth does too.

Before anything changes the record says ``switching`` and how the alias was. So a worker that takes the job
over completes the switch or undoes it, and never brings a target up to date that applications write to.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.errors import Ce2deError, IndexSchemaError, JobError
from ce2de_os.index import admin, aliases
from ce2de_os.index.admin import patiently
from ce2de_os.index.aliases import Definitions
from ce2de_os.index.guard import guard_name
from ce2de_os.index.metadata import fields_from
from ce2de_os.reindex.cutover.steps import reached
from ce2de_os.reindex.cutover.turn import handed_over, take_turn
from ce2de_os.reindex.held_job import HeldJob, LeaseLostError
from ce2de_os.reindex.identity import target_checkpoints
from ce2de_os.reindex.job import HANDOVER, SOURCE, SWITCHING, TARGET, Job, Part
from ce2de_os.reindex.setup.creation import rollover_template
from ce2de_os.reindex.slices.embedding import DocumentEncoder
from ce2de_os.reindex.syncing.catch_up import catch_up, lag
from ce2de_os.reindex.syncing.late_writes import copy_late_writes
from ce2de_os.reindex.syncing.repair import Proved, repair

logger = logging.getLogger(__name__)

SWITCH_LEASE_S = 12.0
"""Seconds of a lease during the switch: short, since writes may be blocked until another worker continues."""

FEW_OPERATIONS = 200
"""Most missing operations at which writes are blocked; also blocked when catching up gains no more."""

_CATCH_UPS = 10


class TooSlowError(JobError):
    """The last step of the handover did not fit into the time that writes may be blocked."""


class Switch:
    """Moves the alias of the job that ``held`` holds; ``proved`` is for `repair`."""

    def __init__(self, client: OpenSearch, encoder: DocumentEncoder, held: HeldJob, proved: Proved) -> None:
        self._client, self._encoder, self._held = client, encoder, held
        self._proved = proved

    @property
    def _job(self) -> Job:
        return self._held.job

    def move(self) -> None:
        """Move the alias; everything slow is done before.

        Raises:
            TooSlowError: writes would have been blocked for too long; they continue, nothing has moved.
            LeaseLostError: another worker has the job.
            JobError: the alias changed in the meantime.
        """
        job = self._job
        if job.mode == "in_place":
            set_ready(self._client, job, ready=True)
        if job.alias is None:
            return
        if job.before is None:  # written before, once: a repeated request must not lose it
            self._held.change(before=patiently(lambda: aliases.definitions(self._client, str(job.alias))))
        if job.way != HANDOVER:
            patiently(lambda: self._move_alias(guards=False))
            reached("alias_moved", self._job.job_id)
        elif job.block:
            self._hand_over_blocked()
        else:
            self._hand_over_unblocked()

    def resume(self) -> bool:
        """Continue a switch whose worker died; return whether the truth has moved, or undo the switch."""
        if not self._revoked():
            if not self._job.block:
                copy_late_writes(self._client, self._encoder, self._held)
            self._complete()
            return True
        logger.warning("Switch undone", extra={"action": "switch_undone", "job": self._job.job_id})
        self._undo()
        return False

    def _hand_over_blocked(self) -> None:
        self._catch_up_nearly()
        begun = self._begin(blocked_at_s=self._held.ledger.now())
        try:
            for part in self._job.parts:
                patiently(lambda: admin.block_writes(self._client, part.source))  # noqa: B023
            reached("blocked", self._job.job_id)
            self._drain(begun)
            self._open_targets()
            self._check_time(begun)
            self._move_alias(guards=True)
        except LeaseLostError:
            raise  # the worker that holds the job now completes or undoes it
        except Ce2deError:
            if self._revoked():  # else only the answer was lost, not the request
                self._undo()
                raise
        reached("alias_moved", self._job.job_id)
        self._complete(time.monotonic() - begun)

    def _hand_over_unblocked(self) -> None:
        """Move the alias while writes continue; those that still reach the sources are copied afterwards."""
        self._catch_up_nearly()
        self._begin()
        try:
            self._open_targets()
            self._move_alias(guards=True)
        except LeaseLostError:
            raise
        except Ce2deError:
            if self._revoked():
                self._undo()
                raise
        reached("alias_moved", self._job.job_id)
        copy_late_writes(self._client, self._encoder, self._held)
        self._complete()

    def _catch_up_nearly(self) -> None:
        """Do as much as possible before writes are blocked."""
        before = None
        for _ in range(_CATCH_UPS):
            seen = catch_up(self._client, self._encoder, self._held)
            if seen <= FEW_OPERATIONS or (before is not None and seen >= before):
                break
            before = seen
        repair(self._client, self._encoder, self._held, self._proved)  # deletes, above all

    def _begin(self, **changes: Any) -> float:  # noqa: ANN401 - fields of Job
        fences = {part.target: self._fence(part) for part in self._job.parts}
        self._held.renew(SWITCH_LEASE_S)
        begun = time.monotonic()
        self._held.change(truth=SWITCHING, fences=fences, unordered=(), **changes)
        self._held.change(turn=take_turn(self._client, self._job.targets[0]))
        reached("switching", self._job.job_id)
        return begun

    def _fence(self, part: Part) -> tuple[int, ...]:
        found = patiently(lambda: target_checkpoints(self._client, part))
        return tuple(found[shard] for shard in sorted(found))

    def _drain(self, begun: float) -> None:
        """Copy the last writes; nothing new comes, so it ends with sources and targets equal."""
        while lag(self._client, self._held.ledger, self._job):
            catch_up(self._client, self._encoder, self._held, begun + self._job.max_block_s)
            self._check_time(begun)
        reached("drained", self._job.job_id)
        for target in self._job.targets:
            admin.refresh(self._client, target)
        differing = repair(self._client, self._encoder, self._held, self._proved)
        if differing:
            raise JobError(
                f"{differing} documents still differ between {', '.join(self._job.sources)} and "
                f"{', '.join(self._job.targets)} while no application writes; to see them: ce2de "
                "reindex verify "
                f"{self._job.job_id}"
            )
        reached("compared_again", self._job.job_id)

    def _check_time(self, begun: float) -> None:
        self._held.keep()
        job = self._job
        passed_s = time.monotonic() - begun
        if passed_s > job.max_block_s:
            raise TooSlowError(
                f"writes were blocked for {passed_s:.1f} s, at most {job.max_block_s:g} s are allowed, so "
                "they go "
                f"on and the alias stays; try again when fewer documents are written: ce2de reindex cutover "
                f"{job.job_id}, or allow more with `max_block_s`"
            )

    def _open_targets(self) -> None:
        """Record the fences, and give the targets the sources' pipelines: applications write next."""
        fences = {part.target: self._fence(part) for part in self._job.parts}
        self._held.change(fences=fences)
        for part in self._job.parts:
            settings = {name: value for name, value in part.restore.items() if name.endswith("_pipeline")}
            if settings:
                patiently(lambda: admin.put_settings(self._client, part.target, settings))  # noqa: B023

    def _move_alias(self, *, guards: bool) -> None:
        job, alias = self._job, str(self._job.alias)
        current = aliases.definitions(self._client, alias)
        origins = origins_of(self._client, current, job)
        joining = joining_definitions(job, current, origins)
        leaving = [name for name in origins if name not in joining]
        is_there = all(current.get(name) == definition for name, definition in joining.items())
        if is_there and not leaving and not (guards and self._guarded()):
            return  # an answer was lost, not the request
        held = [(part.target, guard_name(part.target)) for part in job.parts] if guards else []
        actions = aliases.moved(alias, leaving, joining, held)
        if guards:
            actions += handed_over(job.targets[0], job.turn)
        aliases.update(self._client, actions, f"move alias '{alias}' to '{', '.join(joining)}'")
        logger.info("Alias moved", extra={"action": "cutover", "job": job.job_id, "alias": alias})

    def _guarded(self) -> bool:
        return any(aliases.exists(self._client, guard_name(target)) for target in self._job.targets)

    def _moved(self) -> bool:
        """Return whether the request that moves alias and truth succeeded: it removed the guards too."""
        job = self._job
        current = patiently(lambda: aliases.definitions(self._client, str(job.alias)))
        return all(target in current for target in job.targets) and not patiently(self._guarded)

    def _revoked(self) -> bool:
        """Block every earlier request to move the alias; ``False``: one has moved it."""
        try:
            take_turn(self._client, self._job.targets[0])
        except IndexSchemaError:
            logger.warning("The target is gone", extra={"action": "target_gone", "job": self._job.job_id})
        return not self._moved()

    def _complete(self, blocked_s: float | None = None) -> None:
        """Record that the truth has moved; from here there is no way back, and each step may be repeated."""
        for part in self._job.parts:
            # The target is a source of its own now, not a copy, and so is an index that is cloned from it.
            patiently(lambda: change_entries(self._client, part.target, {"source": ""}))  # noqa: B023
            warning = patiently(lambda: rollover_template(self._client, part))  # noqa: B023
            if warning:
                logger.warning(warning, extra={"action": "no_rollover_template", "job": self._job.job_id})
        if blocked_s is None and self._job.blocked_at_s is not None:
            blocked_s = max(0.0, self._held.ledger.now() - self._job.blocked_at_s)
        self._held.change(truth=TARGET, blocked_s=blocked_s, turn=None)
        reached("truth_moved", self._job.job_id)
        keys = {"action": "truth_moved", "job": self._job.job_id, "blocked_s": blocked_s}
        logger.info("Applications write to the target now", extra=keys)

    def _undo(self) -> None:
        """Let applications write to the sources again, which are the truth as before."""
        for part in self._job.parts:
            patiently(lambda: admin.unblock_writes(self._client, part.source))  # noqa: B023
            closed = {name: "_none" for name in part.restore if name.endswith("_pipeline")}
            if closed:
                patiently(lambda: admin.put_settings(self._client, part.target, closed))  # noqa: B023
        self._held.change(truth=SOURCE, blocked_at_s=None, turn=None)
        reached("unblocked", self._job.job_id)


def origins_of(client: OpenSearch, members: Definitions, job: Job) -> dict[str, str]:
    """Return the alias's members that the job replaces, each with its source (or itself, if a source)."""
    found = {}
    for name in members:
        if name in job.sources or name in job.targets:
            found[name] = next(part.source for part in job.parts if name in (part.source, part.target))
            continue
        described = fields_from(admin.describe(client, name).mappings)
        origin = next((entry.source for entry in described if entry.source in job.sources), None)
        if origin is not None:
            found[name] = origin
    return found


def joining_definitions(
    job: Job, current: Definitions, origins: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return how each target joins the alias: like what it replaces, and without writes in a mirror."""
    joining = {}
    for part in job.parts:
        replaced = [name for name, origin in origins.items() if origin == part.source]
        replaced.sort(key=lambda name: (name != part.source, name))
        definition = dict(current[replaced[0]]) if replaced else {}
        if job.way == "mirror" and job.mode == "copy":
            definition["is_write_index"] = False
        joining[part.target] = definition
    return joining


def set_ready(client: OpenSearch, job: Job, *, ready: bool) -> None:
    """Mark the job's field as ready for searches, or not, in every target that carries it."""
    for part in job.parts:
        change_entries(client, part.target, {"ready": ready}, job.vector.name)


def change_entries(
    client: OpenSearch, index: str, changes: Mapping[str, Any], field: str | None = None
) -> None:
    """Change an index's metadata of its vector fields, or of ``field`` alone; the rest stays."""
    info = admin.describe(client, index)
    described = fields_from(info.mappings)
    changed = [
        replace(entry, **changes) if field in (None, entry.vector_field) else entry for entry in described
    ]
    if changed != list(described):
        meta = {**info.mappings.get("_meta", {}), **changed[0].to_meta(changed)}
        admin.put_meta(client, info.name, meta, {})
