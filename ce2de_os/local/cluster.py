"""The OpenSearch nodes of an instance: their folders, start and readiness."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ce2de_os.config import LocalSettings
from ce2de_os.errors import ConfigError, LocalServerError
from ce2de_os.local import distribution, java, opensearch_server, process, state
from ce2de_os.local.process import Account
from ce2de_os.local.state import Node, State
from ce2de_os.progress import Phase

MOST_NODES = 5
STOP_S = 60.0
_HEAP, _SMALL_HEAP = "1g", "384m"
_MORE_S = 60.0  # additional seconds for each further node to start, because they share the cores
# A node of several is small: a simple garbage collector needs less memory and fewer threads, and the code
# that a quick start needs is compiled once only.
_SMALL_JAVA = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


@dataclass(frozen=True)
class LocalCluster:
    """The nodes in the folder ``home``; ``node_settings`` go into each node's ``opensearch.yml``."""

    home: Path
    settings: LocalSettings
    node_settings: Mapping[str, Any] | None = None

    def launch(
        self, known: State, numbers: Iterable[int], report: Phase, save: Callable[[State], State]
    ) -> State:
        """Start the nodes ``numbers`` and ``save`` after each; `wait_for` waits until they answer.

        Raises:
            LocalServerError: no Java, a failed download, or a process that cannot be started.
        """
        runtime, plain = java.choose(java.find(self.settings.java_home), known.version)
        lock = plain.with_ml() if known.ml else plain
        account = checked_account(self.home)
        process.check_reachable(self.settings.cache, account)
        folder = distribution.provide(lock, self.settings.cache, report)
        several = len(known.nodes) > 1
        report(
            f"Starting OpenSearch {lock.version}{f' on {len(known.nodes)} nodes' if several else ''}", 0, 0
        )
        for number in numbers:
            home = self._configure(known, number, account)
            extra = (*(_SMALL_JAVA if several else ()), *self.settings.java_options)
            args = opensearch_server.command(runtime, lock, folder, home, known.heap, extra)
            started = process.start(args, self._output(number), home, account)
            known = save(known.with_node(number, replace(known.nodes[number - 1], process=started)))
        return known

    def wait_for(self, known: State, numbers: Iterable[int]) -> None:
        """Wait until the nodes ``numbers`` are in one cluster with all that run.

        While too few nodes run to elect a cluster manager, a node only has to listen.

        Raises:
            LocalServerError: one of them stopped, or is not ready in time.
        """
        running, whole = len(known.running), len(known.nodes)
        patience_s = process.START_S + _MORE_S * (running - 1)
        for number in numbers:
            node = known.nodes[number - 1]

            def is_ready(port: int = node.http_port) -> bool:
                if running == whole:
                    return opensearch_server.is_ready(port, whole)
                if running > whole // 2:
                    return opensearch_server.has_joined(port, running)
                return opensearch_server.listens(port)

            name = "OpenSearch" if whole == 1 else f"OpenSearch's node {number}"
            process.wait_until(name, node.process, is_ready, self._output(number), patience_s)

    def _configure(self, known: State, number: int, account: Account | None) -> Path:
        home = self._node_home(known.version, number)
        make_folders(home, ["config", "data", "logs", "tmp"], account)
        make_folders(self.home, ["snapshots"], account)
        node = known.nodes[number - 1]
        extra = {
            "path.repo": [str(self.home / "snapshots")],
            **opensearch_server.cluster_settings(number, [each.transport_port for each in known.nodes]),
            **(self.node_settings or {}),
        }
        text = opensearch_server.settings(home, node.http_port, node.transport_port, extra)
        write(home / "config" / "opensearch.yml", text)
        write(home / "config" / "log4j2.properties", opensearch_server.LOG_SETTINGS)
        return home

    def _node_home(self, version: str, number: int) -> Path:
        # A folder for each version: an older one cannot read what a newer one wrote.
        return self.home / f"opensearch-{version}{'' if number == 1 else f'-{number}'}"

    def _output(self, number: int) -> Path:
        return self.home / f"opensearch{'' if number == 1 else f'-{number}'}.out"


def default_heap(nodes: int) -> str:
    """Return the default heap of each node."""
    return _HEAP if nodes == 1 else _SMALL_HEAP


def check_number(nodes: int | None) -> None:
    """Reject a number of nodes that is not possible on one machine.

    Raises:
        ConfigError: it is not between 1 and `MOST_NODES`.
    """
    if nodes is not None and not 1 <= nodes <= MOST_NODES:
        raise ConfigError(f"nodes: got {nodes}, expected 1 to {MOST_NODES}")


def check_heap(heap: str | None) -> None:
    """Reject a size that Java would not accept.

    Raises:
        ConfigError: ``heap`` is no size.
    """
    if heap is not None and not re.fullmatch(r"[1-9]\d*[kmg]", heap, re.IGNORECASE):
        raise ConfigError(f"heap: got '{heap}', expected a size such as 512m or 2g")


def refuse_change(known: State, version: str | None, heap: str | None, ml: bool = False) -> None:
    """Reject another version or heap than that of the running nodes, or ml-commons if they lack it.

    Raises:
        LocalServerError: they differ; the message has the command that stops the nodes.
    """
    wanted = (version or known.version, heap or known.heap)
    if wanted != (known.version, known.heap):
        raise LocalServerError(
            f"OpenSearch {known.version} with a heap of {known.heap} is running here, not {wanted[0]} "
            f"with {wanted[1]}; run 'ce2de local down' first"
        )
    if ml and not known.ml:
        raise LocalServerError("OpenSearch is running here without ml-commons; run 'ce2de local down' first")


def resized(known: State, nodes: int | None, home: Path) -> State:
    """Return the state with as many nodes as wanted (``None``: unchanged), if it holds no data yet.

    Raises:
        LocalServerError: it was started with another number of nodes before.
    """
    if nodes is None or nodes == len(known.nodes):
        return known
    if known.running or any(home.glob("opensearch-*/data/nodes")):
        raise LocalServerError(
            f"{home}: got `nodes={nodes}`, but the cluster here has {len(known.nodes)}, and its data lies on "
            "them; choose another folder in `home`, or stop it and delete this one"
        )
    return replace(known, nodes=(Node(),) * nodes, heap=default_heap(nodes))


def with_ports(known: State) -> State:
    """Keep the ports as far as they are free; a server that runs keeps its own."""
    for number, node in enumerate(known.nodes, 1):
        if not node.runs:
            taken = [port for each in known.nodes for port in (each.http_port, each.transport_port)]
            http, transport = state.usable_ports([node.http_port, node.transport_port], taken)
            known = known.with_node(number, replace(node, http_port=http, transport_port=transport))
    return known


def stop(known: State, numbers: Iterable[int]) -> State:
    """Stop nodes, all at the same time.

    Raises:
        LocalServerError: one does not stop.
    """
    chosen = list(numbers)
    processes = [node.process for number in chosen if (node := known.nodes[number - 1]).process is not None]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda each: each.stop(STOP_S), processes))
    for number in chosen:
        known = known.with_node(number, replace(known.nodes[number - 1], process=None))
    return known


def health(known: State) -> str | None:
    """Ask nodes for the cluster's health until one answers; ``None`` if none does."""
    for node in known.running.values():
        answer = opensearch_server.get(node.http_port, "/_cluster/health", 5)
        if answer is not None:
            return str(answer["status"])
    return None


def checked_account(home: Path) -> Account | None:
    """Find the account that runs servers below ``home``, and check that it can enter ``home``.

    Raises:
        LocalServerError: there is none, or it cannot enter ``home``.
    """
    account = process.service_account()
    process.check_reachable(home, account)
    return account


def make_folders(home: Path, names: list[str], account: Account | None) -> None:
    """Make folders below ``home`` that belong to the account that runs the servers, and to it alone."""
    process.make_folder(home)
    for name in names:
        folder = home / name
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        if account:
            os.chown(folder, account.uid, account.gid)


def write(path: Path, text: str) -> None:
    """Write outside of the folder and move: root must not write through a link in another user's folder."""
    partial = path.parent.parent / f".{path.name}.partial"
    partial.write_text(text, encoding="utf-8")
    partial.chmod(0o644)
    partial.replace(path)
