"""Track the indices of a standing job: those behind its name now, not those at its start."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace

from opensearchpy import OpenSearch

from ce2de_os.errors import IdentityError, IndexSchemaError, JobError
from ce2de_os.index import admin, aliases
from ce2de_os.index.admin import IndexInfo, patiently
from ce2de_os.index.client import backend_errors
from ce2de_os.index.connection import Connection
from ce2de_os.index.metadata import fields_from
from ce2de_os.index.shards import primaries_of
from ce2de_os.reindex.held_job import HeldJob
from ce2de_os.reindex.identity import checked
from ce2de_os.reindex.job import Job, Part
from ce2de_os.reindex.setup.sources import resolve
from ce2de_os.reindex.syncing.extend import add_copies, add_in_place, enter_problems

logger = logging.getLogger(__name__)

LOOK_S = 3.0
"""Seconds between two looks at the indices behind the name."""

Checkpoints = dict[int, Mapping[int, int]]
"""For each part, by number, the global checkpoint of each shard."""


class Members:
    """Watches the indices behind the name that the job of ``held`` follows, and adds new ones."""

    def __init__(self, client: OpenSearch, held: HeldJob) -> None:
        self._client, self._held = client, held
        self._looked_s = -LOOK_S
        self._present: dict[str, IndexInfo] = {}

    def look(self, *, now: bool = False) -> None:
        """Look up the indices if the last look was some time ago, or ``now``.

        Raises:
            JobError: the source of a mirror is gone, or is another index by now.
        """
        if not now and time.monotonic() - self._looked_s < LOOK_S:
            return
        self._present = {info.name: info for info in patiently(self._resolve)}
        job = self._held.job
        known = {part.source for _, part in self._current(job)}
        fresh = [info for name, info in self._present.items() if name not in known]
        if job.mode == "copy":
            self._check_mirror(job)
            add_copies(self._client, self._held, fresh)
        else:
            for part in job.parts:
                if part.source_uuid and part.source not in known:
                    self._retire(part)
            problems = add_in_place(self._client, self._held, fresh)
            if not self._present:
                problems = [f"'{job.source}': no open index has this name at present; the job waits for one"]
            enter_problems(self._held, problems)
        self._looked_s = time.monotonic()

    def connected(self) -> set[str]:
        """Return the names under which OpenSearch itself embeds for these indices, in the job's field."""
        job = self._held.job
        found = filter(None, (Connection.of(info.mappings) for info in self._present.values()))
        ours = (job.fingerprint, job.vector.name)
        return {one.name for one in found if (one.fingerprint, one.vector_field) == ours}

    def checkpoints(self) -> Checkpoints:
        """Read each shard's global checkpoint, of the parts whose index is present."""
        try:
            return self._checkpoints()
        except IndexSchemaError:  # an index went away since the last look
            self.look(now=True)
            return self._checkpoints()

    def _checkpoints(self) -> Checkpoints:
        current = dict(self._current(self._held.job))
        if not current:
            return {}
        names = [part.source for part in current.values()]
        found = patiently(lambda: primaries_of(self._client, names))
        checkpoints: Checkpoints = {}
        for number, part in current.items():
            if part.source not in found:
                continue
            try:
                checkpoints[number] = checked(part, found[part.source])
            except IdentityError:
                if self._held.job.mode == "copy":
                    raise
                self._retire(part)  # it joins again at the next look, from its first document on
        return checkpoints

    def _current(self, job: Job) -> list[tuple[int, Part]]:
        """Return the parts, with their numbers, whose unchanged index is still behind the name."""
        return [
            (number, part)
            for number, part in enumerate(job.parts)
            if part.source in self._present and self._present[part.source].uuid == part.source_uuid
        ]

    def _resolve(self) -> list[IndexInfo]:
        job = self._held.job
        find = resolve if job.mode == "copy" else admin.describe_all
        try:
            with backend_errors(f"look up '{job.source}'"):
                found = find(self._client, job.source)
        except IndexSchemaError:
            if job.mode == "copy":
                raise
            return []  # a program that builds it anew deletes it first: that is no reason to end
        opened = [info for info in found if not info.is_closed]
        if job.mode == "in_place":
            return opened
        return [info for info in opened if not is_copy(info)]

    def _check_mirror(self, job: Job) -> None:
        for part in job.parts:
            info = self._present.get(part.source)
            if not part.source_uuid:
                continue  # it left the job when its source went away
            if info is not None and info.uuid != part.source_uuid:
                raise JobError(
                    f"'{part.source}' was deleted and created again, so '{part.target}' is no copy of it any "
                    f"more; delete '{part.target}' and start the reindex again"
                )
            if info is None:
                self._drop(job, part)

    def _drop(self, job: Job, part: Part) -> None:
        """Remove the copy of a deleted index from the alias; the copy itself stays."""
        if len(self._present) == 0:
            raise JobError(
                f"'{part.source}' is gone; '{part.target}' and the alias stay as they are; end this job: "
                f"ce2de reindex cancel {job.job_id}"
            )
        if job.alias is not None and part.target in aliases.definitions(self._client, job.alias):
            aliases.update(
                self._client,
                aliases.moved(job.alias, [part.target], {}),
                f"take '{part.target}' out of alias '{job.alias}'",
            )
        self._retire(part)

    def _retire(self, part: Part) -> None:
        """Remove a part from the job: its index has left, or is another one by now."""
        keys = {"action": "member_left", "job": self._held.job.job_id, "index": part.source}
        logger.warning("An index has left the job", extra=keys)
        parts = [replace(one, source_uuid="") if one == part else one for one in self._held.job.parts]
        self._held.change(parts=tuple(parts))


def is_copy(info: IndexInfo) -> bool:
    """Return whether an index is a copy that ce2de made of another one, which is still its source."""
    return any(entry.source not in ("", info.name) for entry in fields_from(info.mappings))
