"""What an instance remembers between commands: its version, ports and processes."""

from __future__ import annotations

import hashlib
import json
import random
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ce2de_os.errors import LocalServerError
from ce2de_os.local.process import Process

# Below the range from which systems take the ports of outgoing connections. In that range a client that
# tries again and again to reach a stopped server can be given the server's port, and even meet itself.
_PORTS = range(20000, 32000)


@dataclass(frozen=True)
class State:
    """One instance. A process that is ``None`` was never started or was stopped on purpose."""

    version: str
    heap: str
    opensearch_port: int
    transport_port: int
    redis_port: int
    opensearch: Process | None = None
    redis: Process | None = None

    def without(self, server: str) -> State:
        """The state after ``server``, "opensearch" or "redis", was stopped."""
        return replace(self, opensearch=None) if server == "opensearch" else replace(self, redis=None)

    def save(self, path: Path) -> None:
        """Write the state; a reader sees the old one or the new one."""
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        partial.replace(path)


def load(path: Path) -> State | None:
    """The state in ``path``; ``None`` if this instance was never started.

    Raises:
        LocalServerError: the file belongs to someone else, or is damaged.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        for name in ("opensearch", "redis"):
            body[name] = Process(**body[name]) if body[name] else None
        return State(**body)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LocalServerError(
            f"{path}: {error.strerror}; choose another place with --home or CE2DE_CACHE"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise LocalServerError(
            f"{path}: damaged ({error}); stop what runs in {path.parent} by hand and delete this file"
        ) from error


def default_home(cache: Path, folder: Path) -> Path:
    """The instance that belongs to ``folder``: one for each checkout, and one for everywhere else."""
    for root in (folder, *folder.parents):
        if (root / "pyproject.toml").is_file() or (root / ".git").exists():
            digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]
            return cache / "instances" / f"{root.name or 'root'}-{digest}"
    return cache / "instances" / "default"


def usable_ports(wanted: list[int]) -> list[int]:
    """``wanted`` with every port that is taken replaced by a free one (0 is always replaced)."""
    ports: list[int] = []
    for port in wanted:
        ports.append(port if port and _is_free(port) else _free_port(ports))
    return ports


def _free_port(taken: list[int]) -> int:
    # Drawn at random, so that two instances that start at the same time hardly choose the same one.
    candidates = random.sample(_PORTS, k=len(_PORTS))
    return next(port for port in candidates if port not in taken and _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
