"""What a worker process opens once and keeps: its client and its encoder."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

from opensearchpy import OpenSearch

from ce2de_os.config import Settings
from ce2de_os.encoder import OnnxEncoder
from ce2de_os.index.client import connect


@cache
def client() -> OpenSearch:
    """This process's connection to OpenSearch."""
    return connect(Settings.from_env().opensearch)


@cache
def encoder() -> OnnxEncoder:
    """This process's encoder; loading it checks the model on this CPU."""
    settings = Settings.from_env()
    return OnnxEncoder(settings.artifact, threads=settings.threads)


def encoder_fingerprint() -> str:
    """The fingerprint of this process's encoder, after it was checked."""
    return encoder().fingerprint


def owner() -> str:
    """Who holds a lease: this process."""
    return f"{_host()}:{os.getpid()}"


def is_gone(owner: str) -> bool:
    """Whether the process that holds a lease is known to be dead; of other hosts nothing is known."""
    host, _, pid = owner.rpartition(":")
    if host != _host():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@cache
def _host() -> str:
    """This machine or container; containers of one machine have names of their own."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}:{boot.read_text().strip()[:8] if boot.exists() else ''}"
