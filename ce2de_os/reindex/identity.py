"""Check that a job's indices are still the same, not others with the same names.

A cursor is a ``_seq_no``, which means something only in one history of one shard. An index that was deleted
and created again has another uuid. After a snapshot was restored over it, or a stale copy of a shard was made
its primary, the history uuid is another one. A replica that is promoted when a node fails keeps both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from opensearchpy import OpenSearch

from ce2de_os.errors import (
    BackendError,
    BackendUnavailableError,
    ConfigError,
    IdentityError,
    IndexSchemaError,
)
from ce2de_os.index import admin
from ce2de_os.index.client import backend_errors
from ce2de_os.index.metadata import fields_from
from ce2de_os.index.shards import Primaries, Shard, primaries, primaries_of
from ce2de_os.reindex.job import TARGET, Job, Part, Slice

_SETTLE_S = 15.0

Cursors = Mapping[int, int]
"""By shard, the last operation that was read; the index must know it."""


def source_checkpoints(client: OpenSearch, part: Part, cursors: Cursors | None = None) -> dict[int, int]:
    """Read each shard's global checkpoint of a part's source, after checking that it is the same index.

    ``cursors``: the last operations read, which the source must still know; ``None``: nothing was read.

    Raises:
        IdentityError: it is gone, closed or another one, or its history is another one.
        BackendUnavailableError: a primary shard is not assigned.
    """
    found = _read(client, part.source, _source_advice(part))
    _check_source(part, found, cursors)
    return _checkpoints(part.source, found, _source_shards(part))


def target_checkpoints(client: OpenSearch, part: Part) -> dict[int, int]:
    """Return each shard's global checkpoint of a part's target, after checking that it is the same index.

    Raises:
        IdentityError: it is gone, closed or another one, or its history is another one.
        BackendUnavailableError: a primary shard is not assigned.
    """
    found = _read(client, part.target, _target_advice(part))
    check(part.target, found, part.target_uuid, part.target_history, _target_advice(part))
    return _checkpoints(part.target, found, len(part.target_history))


def checkpoints_of(
    client: OpenSearch, parts: Sequence[Part], cursors: Sequence[Cursors] = ()
) -> list[dict[int, int]]:
    """Return the checkpoints of many sources with few requests; checks are those of `source_checkpoints`.

    ``cursors``: those of each part; empty: nothing was read.
    """
    try:
        found = primaries_of(client, sorted({part.source for part in parts if part.source_uuid}))
    except IndexSchemaError:  # one of them failed: the single requests show which, and why
        return [source_checkpoints(client, part) if part.source_uuid else {} for part in parts]
    checked: list[dict[int, int]] = []
    for number, part in enumerate(parts):
        if not part.source_uuid:  # it has left the job
            checked.append({})
            continue
        here = found.get(part.source, Primaries("", {}))
        _check_source(part, here, cursors[number] if cursors else None)
        checked.append(_checkpoints(part.source, here, _source_shards(part)))
    return checked


def settle(client: OpenSearch, names: Iterable[str]) -> None:
    """Wait until what was written to indices so far is below their checkpoints, or it would be overlooked.

    This is immediate, but takes up to five seconds where ``index.translog.durability`` is ``async``; a flush
    ends that.

    Raises:
        BackendUnavailableError: a copy of a shard does not keep up.
    """
    try:
        wanted = {name: found.shards for name, found in primaries_of(client, sorted(set(names))).items()}
    except IndexSchemaError:
        return  # one of them is gone or closed, and reading the checkpoints says so
    deadline, pause = time.monotonic() + _SETTLE_S, 0.02
    while late := [name for name, shards in wanted.items() if _lacks(client, name, shards)]:
        if time.monotonic() > deadline:
            raise BackendUnavailableError(
                f"'{late[0]}': what was written {_SETTLE_S:.0f} s ago is not on all copies of its shards; "
                "see GET _cat/recovery"
            )
        with suppress(BackendError), backend_errors(f"flush '{late[0]}'"):  # no privilege to flush: wait
            client.indices.flush(index=late[0])
        time.sleep(pause)
        pause = min(2 * pause, 0.5)
        wanted = {name: wanted[name] for name in late}


def _lacks(client: OpenSearch, name: str, wanted: Mapping[int, Shard]) -> bool:
    if all(shard.checkpoint >= shard.max_seq_no for shard in wanted.values()):
        return False
    now = primaries(client, name).shards
    return any(now[number].checkpoint < shard.max_seq_no for number, shard in wanted.items() if number in now)


def checked(part: Part, found: Primaries) -> dict[int, int]:
    """Check a part's source, and return the checkpoints of those of its primaries that answer.

    Raises:
        IdentityError: it is another index, or its history is another one.
    """
    _check_source(part, found, None)
    return {number: shard.checkpoint for number, shard in found.shards.items()}


def check_still_there(client: OpenSearch, part: Part) -> None:
    """Check with one small request that a part's source is open and the same index.

    A bulk request to an index that was deleted would create it, in the way of a program that builds it anew.

    Raises:
        IdentityError: it is gone, closed or another one.
    """
    try:
        found = admin.describe(client, part.source)
    except (IndexSchemaError, ConfigError) as error:  # gone, or the name of an alias by now
        raise IdentityError(_why_not(client, part.source, _source_advice(part))) from error
    if found.is_closed:
        raise IdentityError(_why_not(client, part.source, _source_advice(part)))
    _check_source(part, Primaries(found.uuid, {}), None)


def cursors_of(parts: int, records: Iterable[Slice]) -> list[Cursors]:
    """Return how far each shard was read, for each of a job's ``parts``."""
    found: list[dict[int, int]] = [{} for _ in range(parts)]
    for record in records:
        if record.range.upto is None:
            found[record.range.part][record.range.shard] = record.cursor
    return list(found)


def history_of(client: OpenSearch, name: str, shards: int) -> tuple[str, ...]:
    """Return the history uuid of each of an index's ``shards`` shards.

    Raises:
        BackendUnavailableError: a primary shard is not assigned.
    """
    found = primaries(client, name)
    _checkpoints(name, found, shards)
    return tuple(found.shards[number].history for number in range(shards))


def problems(client: OpenSearch, job: Job) -> list[str]:
    """Return what is wrong with a job's sources and targets, one line each; empty if they are unchanged.

    After a handover nothing needs the sources anymore, so they may be gone.
    """
    found = []
    for part in job.parts:
        for look in _looks(job, part) if part.source_uuid else ():
            try:
                look(client, part)
            except IdentityError as error:
                found.append(str(error))
            except BackendUnavailableError:
                continue  # an unassigned shard shows nothing about its history
    return found


def check_job(client: OpenSearch, job: Job) -> None:
    """Reject a job whose indices are not the same any more.

    Raises:
        IdentityError: the first of the `problems`.
    """
    found = [*problems(client, job), *foreign_targets(client, job)]
    if found:
        raise IdentityError(found[0])


def foreign_targets(client: OpenSearch, job: Job) -> list[str]:
    """Return the targets whose own metadata does not match the job's record, one line each.

    The record alone is not trusted: anyone who may write it could name any index.
    """
    if job.mode != "copy" or job.truth == TARGET:
        return []
    found = []
    for part in (one for one in job.parts if one.source_uuid):
        with suppress(IndexSchemaError):  # it is gone, which `problems` says
            described = fields_from(admin.describe(client, part.target).mappings)
            wanted = (job.vector.name, job.fingerprint, part.source)
            if wanted not in {(entry.vector_field, entry.fingerprint, entry.source) for entry in described}:
                found.append(
                    f"'{part.target}' does not say that it is a copy of '{part.source}' with this job's "
                    f"vectors (_meta.ce2de of its mapping); {_target_advice(part)}"
                )
    return found


def _looks(job: Job, part: Part) -> tuple[Callable[[OpenSearch, Part], object], ...]:
    if part.source == part.target:
        return (source_checkpoints,)
    return (target_checkpoints,) if job.truth == TARGET else (source_checkpoints, target_checkpoints)


def check(
    name: str,
    found: Primaries,
    uuid: str | None,
    history: Sequence[str],
    advice: str,
    cursors: Cursors | None = None,
) -> None:
    """Compare an index with the known facts; unknown ones (``None``, empty) are not compared.

    Raises:
        IdentityError: it is another index, or its history is another one.
    """
    if uuid and found.uuid and found.uuid != uuid:
        raise IdentityError(f"'{name}' was deleted and created again since the job began; {advice}")
    for number, known in enumerate(history):
        shard = found.shards.get(number)
        if shard is not None and known and shard.history and shard.history != known:
            raise IdentityError(
                f"'{name}' has another history than when the job began (shard {number}): a snapshot was "
                f"restored over it, or a stale copy of a shard was made its primary; {advice}"
            )
    for number, cursor in (cursors or {}).items():
        shard = found.shards.get(number)
        # Not its checkpoint, which a replica that has just been promoted knows a moment later.
        if shard is not None and shard.max_seq_no < cursor:
            raise IdentityError(
                f"'{name}' has lost operations that the job has read (shard {number} ends at "
                f"{shard.max_seq_no}, the job has read up to {cursor}): an older state was restored; {advice}"
            )


def _check_source(part: Part, found: Primaries, cursors: Cursors | None) -> None:
    uuid, advice = part.source_uuid, _source_advice(part)
    check(part.source, found, uuid, part.source_history, advice, cursors)


def _source_shards(part: Part) -> int:
    """Return the number of the source's shards; 0: not known."""
    return len(part.source_history) or len(part.snapshot)


def _source_advice(part: Part) -> str:
    if part.source == part.target:
        return "cancel the job, clean it and start it again, so that every document is looked at"
    return (
        f"its copy '{part.target}' may be wrong: cancel the job, clean it with `target`, and start it again; "
        "the alias stays until then"
    )


def _target_advice(part: Part) -> str:
    return (
        "the job did not fill it: delete it if nothing needs it, clean the job, and copy "
        f"'{part.source}' again"
    )


def _read(client: OpenSearch, name: str, advice: str) -> Primaries:
    try:
        return primaries(client, name)
    except IndexSchemaError as error:
        raise IdentityError(_why_not(client, name, advice)) from error


def _why_not(client: OpenSearch, name: str, advice: str) -> str:
    """Return why an index cannot be read, and what to do."""
    with backend_errors(f"look up index '{name}'"):
        answer = client.indices.get(
            index=name, params={"ignore": [404], "flat_settings": "true", "expand_wildcards": "all"}
        )
    body = answer.get(name)
    if not isinstance(body, dict) or "settings" not in body:
        return f"'{name}' does not exist any more; {advice}"
    return (
        f"'{name}' is closed, so nothing can be read from it; open it with POST {name}/_open, then "
        "resume the "
        "job"
    )


def _checkpoints(name: str, found: Primaries, shards: int) -> dict[int, int]:
    """Return the checkpoints of all primaries; ``shards`` is 0 where their number is not known."""
    wanted = shards or (max(found.shards, default=-1) + 1)
    if len(found.shards) < max(1, wanted):
        raise BackendUnavailableError(
            f"read shard statistics of '{name}': {len(found.shards)} of {wanted or 'its'} primaries answer"
        )
    return {number: shard.checkpoint for number, shard in found.shards.items()}
