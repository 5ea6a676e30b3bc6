"""Known faults of Redis and Valkey by version: a client that may run Lua scripts can run other code."""

from __future__ import annotations

import re
from collections.abc import Mapping

Version = tuple[int, int, int]

# Fault: the first version without it, of each branch that was mended. Read on 2026-11-28 in the projects' own
# advisories (GHSA-whxg-wx83-85p5, GHSA-39h2-x6c4-6w4c, GHSA-4789-qfc9-5f9q, GHSA-8ghh-qpmp-7826) and in the
# release notes of these versions. CVE-2025-46817, 46818 and 46819 were mended together with CVE-2025-49844.
_REDIS: dict[str, tuple[Version, ...]] = {
    "CVE-2024-31449": ((6, 2, 16), (7, 2, 6), (7, 4, 1)),
    "CVE-2024-46981": ((6, 2, 17), (7, 2, 7), (7, 4, 2)),
    "CVE-2025-49844": ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
    # Scripts that give way to replication came with 7.0, so 6.2 never had it; 8.0 got no fixed release.
    "CVE-2026-23631": ((6, 2, 0), (7, 2, 14), (7, 4, 9), (8, 2, 6), (8, 4, 3), (8, 6, 3)),
}
_VALKEY: dict[str, tuple[Version, ...]] = {
    "CVE-2024-31449": ((7, 2, 7), (8, 0, 1)),
    "CVE-2024-46981": ((7, 2, 8), (8, 0, 2)),
    "CVE-2025-49844": ((7, 2, 11), (8, 0, 6), (8, 1, 4)),
    "CVE-2026-23631": ((7, 2, 13), (8, 0, 9), (8, 1, 7), (9, 0, 4)),  # 8.0.8 was withdrawn
}


def name_and_version(info: Mapping[str, object]) -> tuple[str, str]:
    """Return what a server's INFO says of itself: its name and its version."""
    if "valkey_version" in info:
        return "Valkey", str(info["valkey_version"])
    return "Redis", str(info.get("redis_version", "unknown"))


def known_faults(name: str, version: str) -> list[str]:
    """Return the CVEs that this version's own release has; a distribution may have mended them in it.

    Of a version that is not three numbers nothing is known.
    """
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        return []
    numbers = (int(found[1]), int(found[2]), int(found[3]))
    mended = _VALKEY if name == "Valkey" else _REDIS
    return [fault for fault, firsts in mended.items() if not _has_fix(numbers, firsts)]


def _has_fix(version: Version, firsts: tuple[Version, ...]) -> bool:
    if version >= firsts[-1]:
        return True
    return any(version[:2] == first[:2] and version >= first for first in firsts)
