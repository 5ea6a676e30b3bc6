"""Which known faults a Redis or Valkey has."""

from __future__ import annotations

import pytest

from ce2de_os.cli.checks import OK, WARNING, redis_server
from ce2de_os.cli.redis_versions import known_faults


@pytest.mark.parametrize(
    ("name", "version", "number"),
    [
        ("Redis", "6.2.14", 3), ("Redis", "6.2.16", 2), ("Redis", "6.2.20", 0), ("Redis", "7.0.15", 4),
        ("Redis", "7.2.7", 2), ("Redis", "7.4.6", 1), ("Redis", "7.4.9", 0), ("Redis", "8.0.3", 2),
        ("Redis", "8.0.6", 1), ("Redis", "8.2.2", 1), ("Redis", "8.2.6", 0), ("Redis", "8.4.2", 1),
        ("Redis", "8.8.2", 0), ("Valkey", "7.2.8", 2), ("Valkey", "8.1.3", 2), ("Valkey", "8.0.8", 1),
        ("Valkey", "9.0.0", 1), ("Valkey", "9.1.1", 0), ("Redis", "unknown", 0),
    ],
)  # fmt: skip
def test_faults_are_counted_by_branch(name: str, version: str, number: int) -> None:
    assert len(known_faults(name, version)) == number


def test_the_check_names_the_server_and_its_faults() -> None:
    old = redis_server({"redis_version": "6.2.14"}, "redis://***@h")
    assert (old.state, "CVE-2025-49844" in old.finding) == (WARNING, True)
    assert old.action
    new = redis_server({"redis_version": "7.2.4", "valkey_version": "8.1.7"}, "h")
    assert (new.state, new.finding) == (OK, "Valkey 8.1.7 answers at h")
