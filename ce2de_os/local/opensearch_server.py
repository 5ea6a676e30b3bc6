"""Configure and start OpenSearch, and check that it is ready."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ce2de_os.local.java import Java
from ce2de_os.local.lockfile import Lock

LOG_SETTINGS = """\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = ${sys:opensearch.logs.base_path}/opensearch.log
appender.file.filePattern = ${sys:opensearch.logs.base_path}/opensearch-%i.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 20MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
"""
"""The text of ``log4j2.properties``: at most three files of 20 MB."""


def settings(
    home: Path, http_port: int, transport_port: int, node_settings: Mapping[str, Any] | None = None
) -> str:
    """Return the text of ``opensearch.yml``. Values are JSON, which YAML includes: no path needs escaping.

    ``node_settings`` are added to ours: ``{"thread_pool.write.queue_size": 1}``.
    """
    values = {
        "cluster.name": "ce2de-local",
        "node.name": "local",
        "discovery.type": "single-node",
        "network.host": "127.0.0.1",
        "http.port": http_port,
        "transport.port": transport_port,
        "path.data": str(home / "data"),
        "path.logs": str(home / "logs"),
        # A developer's disk is often nearly full; the watermarks would make every index read-only.
        "cluster.routing.allocation.disk.threshold_enabled": False,
        **(node_settings or {}),
    }
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in values.items())


def cluster_settings(number: int, transport_ports: Sequence[int]) -> dict[str, Any]:
    """Return the settings that node ``number`` (the first is 1) has in addition to `settings`.

    ``transport_ports`` are those of all nodes; each node uses the loopback device. Empty for a single node.
    """
    if len(transport_ports) == 1:
        return {}
    numbers = range(1, len(transport_ports) + 1)
    return {
        "node.name": node_name(number),
        "discovery.type": "zen",  # the default, instead of the single node's
        "discovery.seed_hosts": [f"127.0.0.1:{port}" for port in transport_ports],
        "cluster.initial_cluster_manager_nodes": [node_name(other) for other in numbers],
    }


def node_name(number: int) -> str:
    """Return the name of a node in a cluster of several."""
    return f"node-{number}"


def command(
    java: Java, lock: Lock, distribution: Path, home: Path, heap: str, extra: Sequence[str] = ()
) -> list[str | Path]:
    """Return the command line of the server; ``extra`` are more options for Java."""
    options = [
        *extra,
        f"-Xms{heap}",
        f"-Xmx{heap}",
        "-XX:+ExitOnOutOfMemoryError",
        "-Dfile.encoding=UTF-8",
        "-Djava.awt.headless=true",
        "-Djava.locale.providers=SPI,CLDR",
        f"-Djava.io.tmpdir={home / 'tmp'}",
        "-Dlog4j2.disable.jmx=true",
        "-Dlog4j.shutdownHookEnabled=false",
        f"-Dopensearch.path.home={distribution}",
        f"-Dopensearch.path.conf={home / 'config'}",
        "-Dopensearch.distribution.type=tar",
        "-Dopensearch.bundled_jdk=false",
    ]
    classpath = ["-cp", str(distribution / "lib" / "*"), "org.opensearch.bootstrap.OpenSearch"]
    return [java.executable, *options, *_version_options(java, lock), *classpath]


def _version_options(java: Java, lock: Lock) -> list[str]:
    if lock.version.startswith("2."):
        return ["-Djava.security.manager=allow"] if java.major > 11 else []
    # Lucene compares vectors with SIMD instructions through this module.
    return ["--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"]


def get(port: int, path: str, timeout_s: float) -> dict[str, Any] | None:
    """Request OpenSearch's JSON answer; ``None`` if it does not answer or answers with an error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        answer: dict[str, Any] | None = json.loads(body) if response.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer


def is_ready(port: int, nodes: int = 1) -> bool:
    """Return whether the cluster has all ``nodes`` and serves every primary shard on its disks."""
    path = f"/_cluster/health?wait_for_status=yellow&wait_for_nodes=ge({nodes})&timeout=1s"
    return get(port, path, timeout_s=5) is not None


def has_joined(port: int, nodes: int) -> bool:
    """Return whether this node is in a cluster of at least ``nodes``; its shards do not matter."""
    path = f"/_cluster/health?wait_for_nodes=ge({nodes})&timeout=1s"
    return get(port, path, timeout_s=5) is not None


def listens(port: int) -> bool:
    """Return whether something accepts connections, even if it has no cluster."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False
