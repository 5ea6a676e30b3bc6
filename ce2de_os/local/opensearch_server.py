"""How OpenSearch is configured, started, and known to be ready."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ce2de_os.local.java import Java
from ce2de_os.local.lockfile import Lock

_LOG4J = """\
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


def settings(
    home: Path, http_port: int, transport_port: int, node_settings: Mapping[str, Any] | None = None
) -> str:
    """The text of ``opensearch.yml``. Values are JSON, which YAML includes, so no path needs escaping.

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


def log_settings() -> str:
    """The text of ``log4j2.properties``: at most three files of 20 MB."""
    return _LOG4J


def command(java: Java, lock: Lock, distribution: Path, home: Path, heap: str) -> list[str | Path]:
    """The command line of the server."""
    options = [
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
    """OpenSearch's JSON answer; ``None`` while it does not answer or answers with an error."""
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


def is_ready(port: int) -> bool:
    """Whether the cluster answers and every primary shard on its disk is served."""
    return get(port, "/_cluster/health?wait_for_status=yellow&timeout=1s", timeout_s=5) is not None
