"""An OpenSearch and a Redis of one's own: up, down, and where they answer."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ce2de_os.config import LocalSettings, Settings
from ce2de_os.errors import ConfigError, LocalServerError
from ce2de_os.local import distribution, java, opensearch_server, process, redis_server, state
from ce2de_os.local.download import Progress
from ce2de_os.local.process import Account, Process
from ce2de_os.local.state import State

_STOP_S = 60.0
_HEAP = "1g"


@dataclass(frozen=True)
class Endpoints:
    """Where the servers answer, for clients on this machine."""

    opensearch_url: str
    broker_url: str
    version: str
    home: Path
    opensearch_pid: int
    redis_pid: int


@dataclass(frozen=True)
class Status:
    """What is known of an instance; ``None``: not running, or for ``version``: never started.

    ``health`` is OpenSearch's own word: green, yellow or red.
    """

    home: Path
    version: str | None
    opensearch_url: str | None
    opensearch_pid: int | None
    health: str | None
    broker_url: str | None
    redis_pid: int | None
    disk_bytes: int

    @property
    def is_running(self) -> bool:
        """Whether both servers run and OpenSearch answers."""
        return self.health is not None and self.redis_pid is not None


class LocalServers:
    """The servers of the instance in ``home``; ``None``: as in ``settings`` (by default the checkout's own).

    The servers outlive this object and this process. Several processes may use one instance; those that
    start and stop wait for each other. ``node_settings`` go into ``opensearch.yml`` whenever this object
    starts OpenSearch.
    """

    def __init__(
        self,
        home: Path | None = None,
        settings: LocalSettings | None = None,
        node_settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = settings or Settings.from_env().local
        chosen = home or self.settings.home or state.default_home(self.settings.cache, Path.cwd())
        self.home = chosen.absolute()
        self.node_settings = node_settings

    def up(
        self, progress: Progress | None = None, version: str | None = None, heap: str | None = None
    ) -> Endpoints:
        """Start what does not run yet, and wait until it answers.

        ``version`` and ``heap`` (as Java writes it, ``"1g"``): ``None`` means the last ones of this
        instance, at first the best version for the Java at hand and 1 GB.

        Raises:
            ConfigError: ``heap`` is no size.
            LocalServerError: no Java, a failed download, a start that fails, or a running server of
                another version or heap.
            MissingExtraError: the extra ``local`` is not installed.
        """
        report = progress or _silent
        _check_heap(heap)
        with self._locked():
            known = self._load()
            if known and _runs(known.redis) and _runs(known.opensearch):
                _refuse_change(known, version, heap)
            else:
                known = self._start(known, report, version, heap)
            return self._endpoints(known)

    def endpoints(self) -> Endpoints | None:
        """Where the servers answer; ``None`` unless both run."""
        known = self._load()
        if known and _runs(known.opensearch) and _runs(known.redis):
            return self._endpoints(known)
        return None

    def down(self) -> None:
        """Stop both servers; their data stays."""
        self.stop_opensearch()
        self.stop_redis()

    def stop_opensearch(self) -> None:
        """Stop OpenSearch and leave Redis as it is."""
        self._stop("opensearch")

    def stop_redis(self) -> None:
        """Stop Redis and leave OpenSearch as it is."""
        self._stop("redis")

    def start_opensearch(self) -> None:
        """Start OpenSearch again, on the port that it had.

        Raises:
            LocalServerError: it was never up, or does not start.
        """
        with self._locked():
            known = self._start_opensearch(self._known(), _silent)
            self._wait_for_opensearch(known)

    def start_redis(self) -> None:
        """Start Redis again, on the port that it had.

        Raises:
            LocalServerError: it was never up, or does not start.
        """
        with self._locked():
            known = self._start_redis(self._known())
            self._wait_for_redis(known)

    def status(self) -> Status:
        """What runs, what it says of itself, and the disk space that the instance takes."""
        known = self._load()
        opensearch = known.opensearch if known and _runs(known.opensearch) else None
        redis = known.redis if known and _runs(known.redis) else None
        answer = known and opensearch and opensearch_server.get(known.opensearch_port, "/_cluster/health", 5)
        return Status(
            home=self.home,
            version=known.version if known else None,
            opensearch_url=_opensearch_url(known) if known and opensearch else None,
            opensearch_pid=opensearch.pid if opensearch else None,
            health=answer["status"] if answer else None,
            broker_url=_broker_url(known) if known and redis else None,
            redis_pid=redis.pid if redis else None,
            disk_bytes=_disk_bytes(self.home),
        )

    def _start(self, known: State | None, report: Progress, version: str | None, heap: str | None) -> State:
        if known and _runs(known.opensearch):
            _refuse_change(known, version, heap)
        fresh = known or State(version="", heap=_HEAP, opensearch_port=0, transport_port=0, redis_port=0)
        wanted = version or fresh.version or None
        _, lock = java.choose(java.find(self.settings.java_home), wanted)
        known = self._with_ports(replace(fresh, version=lock.version, heap=heap or fresh.heap))
        try:
            known = self._start_redis(known)
            known = self._start_opensearch(known, report)
            self._wait_for_redis(known)
            self._wait_for_opensearch(known)
        except BaseException:  # Ctrl-C too: half an instance helps nobody
            self._stop_now("opensearch")
            self._stop_now("redis")
            raise
        return known

    def _with_ports(self, known: State) -> State:
        """Keep the ports as far as they are free; a server that runs keeps its own."""
        if not _runs(known.opensearch):
            http, transport = state.usable_ports([known.opensearch_port, known.transport_port])
            known = replace(known, opensearch_port=http, transport_port=transport)
        if not _runs(known.redis):
            (port,) = state.usable_ports([known.redis_port])
            known = replace(known, redis_port=port)
        return known

    def _start_redis(self, known: State) -> State:
        if _runs(known.redis):
            return known
        home, account = self.home / "redis", self._account()
        _make_folders(home, ["data"], account)
        redis_server.install(home / "redis-server")
        _write(home / "redis.conf", redis_server.settings(home, known.redis_port))
        args: list[str | Path] = [home / "redis-server", home / "redis.conf"]
        started = process.start(args, self.home / "redis.log", home, account)
        return self._save(replace(known, redis=started))

    def _start_opensearch(self, known: State, report: Progress) -> State:
        if _runs(known.opensearch):
            return known
        runtime, lock = java.choose(java.find(self.settings.java_home), known.version)
        account = self._account()
        process.check_reachable(self.settings.cache, account)
        folder = distribution.provide(lock, self.settings.cache, report)
        report(f"Starting OpenSearch {lock.version}", 0, 0)
        home = self._opensearch_home(known)
        _make_folders(home, ["config", "data", "logs", "tmp"], account)
        ports = known.opensearch_port, known.transport_port
        config = opensearch_server.settings(home, *ports, self.node_settings)
        _write(home / "config" / "opensearch.yml", config)
        _write(home / "config" / "log4j2.properties", opensearch_server.log_settings())
        args = opensearch_server.command(runtime, lock, folder, home, known.heap)
        started = process.start(args, self.home / "opensearch.out", home, account)
        return self._save(replace(known, opensearch=started))

    def _wait_for_redis(self, known: State) -> None:
        log = self.home / "redis.log"
        process.wait_until("Redis", known.redis, lambda: redis_server.is_ready(known.redis_port), log)

    def _wait_for_opensearch(self, known: State) -> None:
        log = self.home / "opensearch.out"
        process.wait_until(
            "OpenSearch", known.opensearch, lambda: opensearch_server.is_ready(known.opensearch_port), log
        )

    def _stop(self, name: str) -> None:
        if self._load() is not None:
            with self._locked():
                self._stop_now(name)

    def _stop_now(self, name: str) -> None:
        known = self._load()
        running: Process | None = getattr(known, name) if known else None
        if known is None or running is None:
            return
        running.stop(_STOP_S)
        self._save(known.without(name))

    def _account(self) -> Account | None:
        account = process.service_account()
        process.check_reachable(self.home, account)
        return account

    def _opensearch_home(self, known: State) -> Path:
        # A folder for each version: an older one cannot read what a newer one wrote.
        return self.home / f"opensearch-{known.version}"

    def _locked(self) -> AbstractContextManager[None]:
        return distribution.exclusive(self.home / "lock")

    def _load(self) -> State | None:
        return state.load(self.home / "state.json")

    def _known(self) -> State:
        known = self._load()
        if known is None:
            raise LocalServerError(f"{self.home}: there are no servers here yet; run: ce2de local up")
        return known

    def _save(self, known: State) -> State:
        known.save(self.home / "state.json")
        return known

    def _endpoints(self, known: State) -> Endpoints:
        return Endpoints(
            opensearch_url=_opensearch_url(known),
            broker_url=_broker_url(known),
            version=known.version,
            home=self.home,
            opensearch_pid=known.opensearch.pid if known.opensearch else 0,
            redis_pid=known.redis.pid if known.redis else 0,
        )


def _silent(_doing: str, _done: int, _whole: int) -> None:
    pass


def _runs(server: Process | None) -> bool:
    return server is not None and server.is_alive


def _opensearch_url(known: State) -> str:
    return f"http://127.0.0.1:{known.opensearch_port}"


def _broker_url(known: State) -> str:
    return f"redis://127.0.0.1:{known.redis_port}/0"


def _check_heap(heap: str | None) -> None:
    if heap is not None and not re.fullmatch(r"[1-9]\d*[kmg]", heap, re.IGNORECASE):
        raise ConfigError(f"heap: got '{heap}', expected a size such as 512m or 2g")


def _refuse_change(known: State, version: str | None, heap: str | None) -> None:
    wanted = (version or known.version, heap or known.heap)
    if wanted != (known.version, known.heap):
        raise LocalServerError(
            f"OpenSearch {known.version} with a heap of {known.heap} is running here, not {wanted[0]} "
            f"with {wanted[1]}; run 'ce2de local down' first"
        )


def _make_folders(home: Path, names: list[str], account: Account | None) -> None:
    process.make_folder(home)
    for name in names:
        folder = home / name
        folder.mkdir(mode=0o700, exist_ok=True)
        if account:
            os.chown(folder, account.uid, account.gid)


def _write(path: Path, text: str) -> None:
    """Write beside the folder and move: root must not write through a link in a folder of another user."""
    partial = path.parent.parent / f".{path.name}.partial"
    partial.write_text(text, encoding="utf-8")
    partial.chmod(0o644)
    partial.replace(path)


def _disk_bytes(folder: Path) -> int:
    """The space that the files below ``folder`` take; one that vanishes meanwhile counts nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total
