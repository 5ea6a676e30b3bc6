"""Resources of a worker process, opened once: its client and its encoder."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from functools import cache
from pathlib import Path

from opensearchpy import OpenSearch

from ce2de_os.config import Settings
from ce2de_os.index.client import connect
from ce2de_os.worker.model import encoder as encoder

_UNKNOWN = "unknown"


@cache
def client() -> OpenSearch:
    """Return this process's client for OpenSearch, created by the first call."""
    return connect(Settings.from_env().opensearch)


def owner() -> str:
    """Return the name under which this process holds leases."""
    return f"{_host()}:{_birth(os.getpid())}:{os.getpid()}"


def is_gone(owner: str) -> bool:
    """Return whether the process that holds a lease is known to be dead; never known for other hosts."""
    if not owner.startswith(f"{_host()}:") or _host().endswith(f":{_UNKNOWN}"):
        return False
    birth, pid = owner.rsplit(":", 2)[1:]
    if int(pid) == os.getpid():
        return birth != _birth(os.getpid())
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@cache
def _birth(_pid: int) -> str:
    """Return a random mark of this process: a restarted container reuses process numbers."""
    return secrets.token_hex(4)


@cache
def _host() -> str:
    """Identify this machine or container and its PID namespace; containers may share all but the last."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}:{boot.read_text().strip()[:8] if boot.exists() else ''}:{_namespace()}"


def _namespace() -> str:
    """Return the name of this process's PID namespace: equal numbers in another one mean nothing."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return _UNKNOWN if sys.platform == "linux" else ""
