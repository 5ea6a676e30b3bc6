"""Check that this machine has the memory that the servers need."""

from __future__ import annotations

from pathlib import Path

_BESIDE_HEAP_BYTES = 300_000_000  # memory of a Java process outside of its heap
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def shortage(nodes: int, heap: str, meminfo: Path = Path("/proc/meminfo")) -> str | None:
    """Return a warning if ``nodes`` more processes hardly fit; ``None`` if they fit or it is unknown."""
    needed = nodes * (heap_bytes(heap) + _BESIDE_HEAP_BYTES)
    available = _available_bytes(meminfo)
    if available is None or needed <= available:
        return None
    return (
        f"memory is short: {nodes} node{'s' if nodes > 1 else ''} with a heap of {heap} take about "
        f"{needed / 1e9:.1f} GB, {available / 1e9:.1f} GB are free; take fewer `nodes`, or a smaller `heap`"
    )


def heap_bytes(heap: str) -> int:
    """Convert a size as Java writes it, such as ``512m``, to bytes."""
    return int(heap[:-1]) * _UNITS[heap[-1].lower()]


def _available_bytes(meminfo: Path) -> int | None:
    """Read from Linux how many bytes programs can still take without swapping; ``None``: not known."""
    if not meminfo.is_file():
        return None
    for line in meminfo.read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None
