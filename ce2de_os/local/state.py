"""The state of an instance between commands: its version, nodes, ports and processes."""

from __future__ import annotations

import hashlib
import json
import random
import socket
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ce2de_os.errors import DataError, LocalServerError
from ce2de_os.local.process import Process, check_owned
from ce2de_os.reading import read_object

# Below the range from which systems take the ports of outgoing connections. In that range a client that
# retries a stopped server can get the server's own port, and even connect to itself.
_PORTS = range(20000, 32000)
_CLOSING_S = 2.0


@dataclass(frozen=True)
class Node:
    """One OpenSearch process. A ``process`` that is ``None`` was never started or was stopped on purpose."""

    http_port: int = 0
    transport_port: int = 0
    process: Process | None = None

    @property
    def runs(self) -> bool:
        """Return whether its process is alive."""
        return self.process is not None and self.process.is_alive

    @property
    def url(self) -> str:
        """URL of the node, if it runs."""
        return f"http://127.0.0.1:{self.http_port}"


@dataclass(frozen=True)
class State:
    """One instance: the nodes of its cluster, and Redis, which is ``None`` if it was stopped on purpose.

    ``ml``: whether the nodes carry ml-commons.
    """

    version: str
    heap: str
    nodes: tuple[Node, ...] = (Node(),)
    redis: Process | None = None
    ml: bool = False

    @property
    def redis_runs(self) -> bool:
        """Return whether Redis's process is alive."""
        return self.redis is not None and self.redis.is_alive

    @property
    def is_up(self) -> bool:
        """Return whether everything runs."""
        return self.redis_runs and all(node.runs for node in self.nodes)

    @property
    def running(self) -> dict[int, Node]:
        """The nodes that run, by number; the first node has number 1."""
        return {number: node for number, node in enumerate(self.nodes, 1) if node.runs}

    def with_node(self, number: int, node: Node) -> State:
        """Return the state with another node ``number``."""
        nodes = (*self.nodes[: number - 1], node, *self.nodes[number:])
        return replace(self, nodes=nodes)

    def save(self, path: Path) -> None:
        """Write the state; a reader sees the old one or the new one."""
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        partial.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        partial.replace(path)


def load(path: Path) -> State | None:
    """Read the state in ``path``; ``None`` if this instance was never started.

    Raises:
        LocalServerError: the file belongs to someone else, or is damaged.
    """
    try:
        if not path.exists():
            return None
    except OSError as error:
        raise LocalServerError(
            f"{path}: {error.strerror}; choose another place in `home` or CE2DE_CACHE"
        ) from error
    check_owned(path.parent)
    try:
        return _from_json(read_object(path))
    except (DataError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise LocalServerError(
            f"{path}: damaged ({error}); stop what runs in {path.parent} by hand and delete this file"
        ) from error


def _from_json(body: dict[str, Any]) -> State:
    body.pop("redis_port", None)  # written when Redis listened on the network
    if "nodes" not in body:  # written when an instance had one node
        ports = {"http_port": body.pop("opensearch_port"), "transport_port": body.pop("transport_port")}
        body["nodes"] = [{**ports, "process": body.pop("opensearch")}]
    nodes = tuple(Node(**{**node, "process": _process(node["process"])}) for node in body["nodes"])
    return State(**{**body, "nodes": nodes, "redis": _process(body["redis"])})


def _process(body: dict[str, Any] | None) -> Process | None:
    return Process(**body) if body else None


def default_home(cache: Path, folder: Path) -> Path:
    """Return the instance's folder for ``folder``: one per checkout, and one for all other places."""
    for root in (folder, *folder.parents):
        if (root / "pyproject.toml").is_file() or (root / ".git").exists():
            digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]
            return cache / "instances" / f"{root.name or 'root'}-{digest}"
    return cache / "instances" / "default"


def usable_ports(wanted: list[int], taken: Iterable[int] = ()) -> list[int]:
    """Replace every port in ``wanted`` that is in use by a free one (0 is always replaced).

    Those that replace are none of ``taken``.
    """
    ports: list[int] = []
    for port in wanted:
        ports.append(port if port and _becomes_free(port) else _free_port([*taken, *ports]))
    return ports


def _becomes_free(port: int) -> bool:
    """Return whether no process has the port; the system frees those of a killed process after a moment."""
    deadline = time.monotonic() + _CLOSING_S
    while not (free := _is_free(port)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return free


def _free_port(taken: list[int]) -> int:
    # Random, so that two instances that start at the same time hardly choose the same one.
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
