from __future__ import annotations

import pytest

from ce2de_os.errors import JobError
from ce2de_os.reindex.job import Range, Slice
from ce2de_os.reindex.records import SCHEMA, merged, read_slice

RECORD = Slice("j", 0, Range(0, 0, -1, None), cursor=-1)


def test_keys_of_a_newer_version_survive_a_change_by_an_older_one() -> None:
    stored = merged({}, RECORD.to_source()) | {"novel": 1}
    stored["counts"] = stored["counts"] | {"novel": 2}
    stored["range"] = stored["range"] | {"novel": 3}
    assert read_slice(stored) == RECORD
    written = merged(stored, {**RECORD.to_source(), "cursor": 5})
    assert (written["novel"], written["counts"]["novel"], written["cursor"]) == (1, 2, 5)
    assert written["schema"] == SCHEMA


def test_a_newer_schema_is_refused_in_one_line() -> None:
    newer = merged({}, RECORD.to_source()) | {"schema": SCHEMA + 1}
    with pytest.raises(JobError) as caught:
        read_slice(newer)
    assert str(caught.value) == (
        f"job 'j': its records have schema {SCHEMA + 1}, this version reads up to {SCHEMA}; "
        "update ce2de-os on this machine"
    )


def test_a_damaged_record_is_an_error_of_its_job() -> None:
    with pytest.raises(JobError, match="job 'j': a record in the ledger is damaged"):
        read_slice({"kind": "slice", "job_id": "j"})


def test_a_record_without_a_schema_is_an_old_one() -> None:
    old = RECORD.to_source()
    assert "schema" not in old
    assert read_slice(old) == RECORD
