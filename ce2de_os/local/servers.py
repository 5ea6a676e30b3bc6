"""Start and stop an OpenSearch of one or several nodes and a Redis, and find their addresses."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ce2de_os.config import LocalSettings, Settings
from ce2de_os.errors import ConfigError, LocalServerError
from ce2de_os.local import (
    cluster,
    distribution,
    java,
    memory,
    process,
    redis_server,
    state,
)
from ce2de_os.local.cluster import LocalCluster
from ce2de_os.local.state import Node, State
from ce2de_os.progress import Phase

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Endpoints:
    """The addresses of the servers, for clients on this machine.

    ``opensearch_url`` and ``opensearch_pid`` are those of the first node that runs; ``node_urls`` has the
    address of each that runs, by its number.
    """

    opensearch_url: str
    broker_url: str
    version: str
    home: Path
    opensearch_pid: int
    redis_pid: int
    node_urls: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeStatus:
    """One node of the cluster; ``pid`` is ``None`` if it does not run."""

    number: int
    url: str
    pid: int | None


@dataclass(frozen=True)
class Status:
    """The status of an instance; ``None``: not running, or for ``version``: never started.

    ``opensearch_url`` and ``opensearch_pid`` are those of the first node that runs. ``health`` is
    OpenSearch's status: green, yellow or red.
    """

    home: Path
    version: str | None
    opensearch_url: str | None
    opensearch_pid: int | None
    health: str | None
    broker_url: str | None
    redis_pid: int | None
    disk_bytes: int
    nodes: tuple[NodeStatus, ...] = ()

    @property
    def is_running(self) -> bool:
        """Return whether Redis and every node run, and OpenSearch answers."""
        all_nodes = all(node.pid is not None for node in self.nodes)
        return self.health is not None and self.redis_pid is not None and all_nodes


class LocalServers:
    """The servers of the instance in ``home``; ``None``: as in ``settings`` (by default the checkout's own).

    The servers outlive this object and this process. Several processes may use one instance; those that
    start and stop wait for each other. ``node_settings`` go into ``opensearch.yml`` whenever this object
    starts OpenSearch. ``nodes`` is how many OpenSearch nodes form the cluster; ``None``: as many as before,
    at first one. ``ml`` adds ml-commons, and the instance keeps it.

    Raises:
        ConfigError: the number of nodes is not between 1 and 5.
    """

    def __init__(
        self,
        home: Path | None = None,
        settings: LocalSettings | None = None,
        node_settings: Mapping[str, Any] | None = None,
        nodes: int | None = None,
        ml: bool = False,
    ) -> None:
        cluster.check_number(nodes)
        self.settings = settings or Settings.from_env().local
        chosen = home or self.settings.home or state.default_home(self.settings.cache, Path.cwd())
        self.home = chosen.absolute()
        self.nodes = nodes
        self.ml = ml
        self._cluster = LocalCluster(self.home, self.settings, node_settings)

    def up(
        self, progress: Phase | None = None, version: str | None = None, heap: str | None = None
    ) -> Endpoints:
        """Start the servers that do not run yet, and wait until they answer.

        ``version`` and ``heap`` (as Java writes it, ``"1g"``): ``None`` means the last ones of this
        instance, at first the newest version that the Java here can run, and 1 GB, or 384 MB for each of
        several nodes.

        Raises:
            ConfigError: ``heap`` is no size.
            LocalServerError: no Java, a failed download, a start that fails, a running server of another
                version or heap, or a cluster of another number of nodes.
            MissingExtraError: the extra ``local`` is not installed.
        """
        report = progress or _silent
        cluster.check_heap(heap)
        with self._locked():
            known = self._load()
            if known is not None:
                known = cluster.resized(known, self.nodes, self.home)
            if known and known.is_up and self._socket.exists():
                cluster.refuse_change(known, version, heap, self.ml)
            else:
                known = self._start(known, report, version, heap)
            return _endpoints(known, self.home)

    def endpoints(self) -> Endpoints | None:
        """Return the servers' addresses; ``None`` unless Redis and at least one node run."""
        known = self._load()
        return _endpoints(known, self.home) if known and known.running and self._redis_runs(known) else None

    def down(self) -> None:
        """Stop all servers; their data stays."""
        if self._load() is not None:
            with self._locked():
                self._down()

    def stop_redis(self) -> None:
        """Stop Redis and leave OpenSearch as it is."""
        if self._load() is not None:
            with self._locked():
                self._stop_redis(self._known())

    def stop_node(self, number: int) -> None:
        """Stop one node of the cluster, the first is 1; the others continue.

        Raises:
            ConfigError: there is no such node.
            LocalServerError: the servers were never started.
        """
        with self._locked():
            known = self._with(number)
            self._save(cluster.stop(known, [number]))

    def kill_node(self, number: int) -> None:
        """Kill one node without a clean stop, like a crash.

        Raises:
            ConfigError: there is no such node.
            LocalServerError: the servers were never started.
        """
        with self._locked():
            known = self._with(number)
            node = known.nodes[number - 1]
            if node.process is not None:
                node.process.kill()
            self._save(known.with_node(number, replace(node, process=None)))

    def start_node(self, number: int) -> None:
        """Start one node again, with its data, and wait until it has joined the others.

        Raises:
            ConfigError: there is no such node.
            LocalServerError: the servers were never started, or the node does not start.
        """
        with self._locked():
            self._start_nodes(self._with(number), [number])

    def status(self) -> Status:
        """Return what runs, the cluster's health, and the disk space that the instance takes."""
        known = self._load()
        if known is None:
            return Status(self.home, None, None, None, None, None, None, _disk_bytes(self.home))
        first = next(iter(known.running.values()), None)
        redis = known.redis if self._redis_runs(known) else None
        return Status(
            home=self.home,
            version=known.version,
            opensearch_url=first.url if first else None,
            opensearch_pid=first.process.pid if first and first.process else None,
            health=cluster.health(known),
            broker_url=_broker_url(self.home) if redis else None,
            redis_pid=redis.pid if redis else None,
            disk_bytes=_disk_bytes(self.home),
            nodes=tuple(_node_status(number, node) for number, node in enumerate(known.nodes, 1)),
        )

    def _start(self, known: State | None, report: Phase, version: str | None, heap: str | None) -> State:
        if known and known.running:
            cluster.refuse_change(known, version, heap, self.ml)
        nodes = self.nodes or 1
        fresh = known or State("", cluster.default_heap(nodes), nodes=(Node(),) * nodes)
        wanted = version or fresh.version or None
        _, lock = java.choose(java.find(self.settings.java_home), wanted)
        known = replace(fresh, version=lock.version, heap=heap or fresh.heap, ml=fresh.ml or self.ml)
        if known.ml:
            lock.with_ml()  # refuses before anything is started and remembered
        known = cluster.with_ports(known)
        try:
            known = self._start_redis(known)
            known = self._start_nodes(known, _numbers(known), report)
            self._wait_for_redis(known)
        except BaseException:  # Ctrl-C too: half an instance is useless
            self._down()
            raise
        return known

    def _start_redis(self, known: State) -> State:
        if self._redis_runs(known):
            return known
        if known.redis is not None:  # of a release whose Redis listened on the network, or died
            known.redis.stop(cluster.STOP_S)
        home, account = self.home / "redis", cluster.checked_account(self.home)
        text = redis_server.settings(home)
        cluster.make_folders(home, ["data", "run"], account)
        cluster.write(home / "redis.conf", text)
        args: list[str | Path] = [redis_server.program(home, account), home / "redis.conf"]
        started = process.start(args, self.home / "redis.log", home, account)
        return self._save(replace(known, redis=started))

    def _start_nodes(self, known: State, numbers: Sequence[int], report: Phase | None = None) -> State:
        stopped = [number for number in numbers if not known.nodes[number - 1].runs]
        if stopped and (warning := memory.shortage(len(stopped), known.heap)):
            logger.warning("OpenSearch: %s", warning, extra={"action": "local_start"})
        known = self._cluster.launch(known, stopped, report or _silent, self._save)
        self._cluster.wait_for(known, numbers)
        return known

    def _wait_for_redis(self, known: State) -> None:
        log = self.home / "redis.log"
        process.wait_until("Redis", known.redis, lambda: redis_server.is_ready(self._socket), log)

    @property
    def _socket(self) -> Path:
        return redis_server.socket_path(self.home / "redis")

    def _redis_runs(self, known: State) -> bool:
        return known.redis_runs and self._socket.exists()

    def _stop_redis(self, known: State) -> None:
        if known.redis is not None:
            known.redis.stop(cluster.STOP_S)
            self._save(replace(known, redis=None))

    def _down(self) -> None:
        known = self._load()
        if known is not None:
            self._stop_redis(self._save(cluster.stop(known, _numbers(known))))

    def _locked(self) -> AbstractContextManager[None]:
        return distribution.exclusive(self.home / "lock")

    def _load(self) -> State | None:
        return state.load(self.home / "state.json")

    def _known(self) -> State:
        known = self._load()
        if known is None:
            raise LocalServerError(f"{self.home}: there are no servers here yet; run: ce2de local up")
        return known

    def _with(self, number: int) -> State:
        known = self._known()
        if not 1 <= number <= len(known.nodes):
            raise ConfigError(f"node: got {number}, expected 1 to {len(known.nodes)}")
        return known

    def _save(self, known: State) -> State:
        known.save(self.home / "state.json")
        return known


def _endpoints(known: State, home: Path) -> Endpoints:
    first = next(iter(known.running.values()))
    return Endpoints(
        opensearch_url=first.url,
        broker_url=_broker_url(home),
        version=known.version,
        home=home,
        opensearch_pid=first.process.pid if first.process else 0,
        redis_pid=known.redis.pid if known.redis else 0,
        node_urls={number: node.url for number, node in known.running.items()},
    )


def _numbers(known: State) -> range:
    return range(1, len(known.nodes) + 1)


def _node_status(number: int, node: Node) -> NodeStatus:
    return NodeStatus(number, node.url, node.process.pid if node.process and node.runs else None)


def _silent(_doing: str, _done: int, _whole: int) -> None:
    pass


def _broker_url(home: Path) -> str:
    return f"redis+socket://{quote(str(redis_server.socket_path(home / 'redis')))}"


def _disk_bytes(folder: Path) -> int:
    """Sum the disk space of the files below ``folder``; a file that disappears during this counts as 0."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total
