"""Records of the ledger across versions of this package, which may run side by side during an upgrade."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from ce2de_os.errors import JobError
from ce2de_os.reindex.failures import error_line
from ce2de_os.reindex.job import Job, Slice

SCHEMA = 2
"""Version of the records; raised when an older version would misread them, not for a new field."""

T = TypeVar("T")


def read_job(source: Mapping[str, Any]) -> Job:
    """Read a job's record.

    Raises:
        JobError: a newer version has written it, or it is damaged.
    """
    return _read(Job.from_source, source)


def read_slice(source: Mapping[str, Any]) -> Slice:
    """Read a slice's record; errors are those of `read_job`."""
    return _read(Slice.from_source, source)


def merged(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the new record with those keys of the old record that only a newer version knows."""
    counts = {"counts": {**before.get("counts", {}), **after["counts"]}} if "counts" in after else {}
    return {**before, **after, **counts, "schema": max(SCHEMA, before.get("schema", 1))}


def _read(build: Callable[[Mapping[str, Any]], T], source: Mapping[str, Any]) -> T:
    job_id, schema = source.get("job_id", "?"), source.get("schema", 1)
    if schema > SCHEMA:
        raise JobError(
            f"job '{job_id}': its records have schema {schema}, this version reads up to {SCHEMA}; "
            "update ce2de-os on this machine"
        )
    with undamaged(job_id):
        return build(source)


@contextmanager
def undamaged(job_id: str) -> Iterator[None]:
    """Raise what a damaged record of a job causes as a `JobError`, which names the job."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise JobError(f"job '{job_id}': a record in the ledger is damaged ({error_line(error)})") from error
