"""The checks of ``ce2de doctor``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from opensearchpy import OpenSearch

from ce2de_os.cli.flags import with_flags
from ce2de_os.cli.redis_versions import known_faults, name_and_version
from ce2de_os.config import OpenSearchSettings, Settings
from ce2de_os.errors import BrokerUnavailableError, Ce2deError, LocalServerError, install_command
from ce2de_os.index.client import address, backend_errors, connect
from ce2de_os.index.vector_field import OLDEST
from ce2de_os.local import java
from ce2de_os.local.servers import LocalServers
from ce2de_os.model.artifact import Artifact
from ce2de_os.model.encoder import OnnxEncoder
from ce2de_os.redaction import mask_url
from ce2de_os.reindex.setup.masking import WHO

OK, WARNING, NOT_OK = "ok", "warning", "not ok"
WITHOUT_REMOTE_MODELS = (3, 5)
"""There neural-search takes remote models only if they embed documents and questions differently."""

CONNECT_S = 5.0
WORKERS_S = 2.0
MAX_DISK_PERCENT = 85
"""OpenSearch's default low watermark: beyond it a node gets no new shards."""

OLD_DAYS, MANY_JOBS = 30, 100
"""More jobs that ended longer ago than this are worth a warning: a job has up to 1,025 records."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
KNN, NEURAL = "opensearch-knn", "opensearch-neural-search"
INSTALL_PLUGIN = "install it on every node: bin/opensearch-plugin install {}"


@dataclass(frozen=True)
class Check:
    """Result of a check: ``ok``, ``warning`` or ``not ok``, what was found, what to do (``""``: nothing)."""

    name: str
    state: str
    finding: str
    action: str = ""


def run(settings: Settings) -> Iterator[Check]:
    """Yield the result of every check; without a cluster, checks that need it are left out."""
    quick = replace(settings.opensearch, timeout_s=min(settings.opensearch.timeout_s, CONNECT_S))
    yield from _cluster(quick, settings.artifact)
    if find_spec("celery"):
        yield from _broker_and_workers(settings)
    else:
        yield Check(
            "workers", WARNING, "Celery is not installed; only reindexing needs it", install_command("worker")
        )
    yield _checked("model", lambda: _model(settings))
    yield java_runtime(settings)
    yield _local_servers()


def _checked(name: str, look: Callable[[], Check]) -> Check:
    """Run ``look``; turn a `Ce2deError` into a check that is not ok, with the error's own advice."""
    try:
        return look()
    except Ce2deError as error:
        return _failed(name, error)


def _failed(name: str, error: Ce2deError) -> Check:
    finding, action = map(with_flags, error.parts)
    return Check(name, NOT_OK, finding, action)


def _cluster(settings: OpenSearchSettings, artifact: Path | None) -> Iterator[Check]:
    with connect(settings) as client:
        connection = _checked("OpenSearch", lambda: _connection(client, settings))
        if connection.finding.startswith("connect:") and (local := LocalServers().endpoints()):
            action = f'the local servers are at {local.opensearch_url}: eval "$(ce2de local env)"'
            connection = replace(connection, action=action)
        yield connection
        if connection.state != NOT_OK:
            yield _checked("access", lambda: _access(client, settings))
            for name, look in (("health", _health), ("plugins", _plugins), ("disk", _disk)):
                yield _checked(name, partial(look, client))
            yield _records(client)
            yield from _connections(client, artifact)


def _connection(client: OpenSearch, settings: OpenSearchSettings) -> Check:
    with backend_errors("connect"):
        info = client.info()["version"]
    return server(info["number"], info.get("distribution", "elasticsearch"), address(settings))


def server(version: str, distribution: str, where: str) -> Check:
    """Check whether ce2de works with this server, and all of it."""
    finding = f"{distribution} {version} at {where}"
    parts = tuple(int(part) for part in version.split("-")[0].split(".")[:2])
    if distribution != "opensearch" or parts < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return Check("OpenSearch", NOT_OK, finding, f"ce2de-os needs OpenSearch {oldest} or newer")
    if parts == WITHOUT_REMOTE_MODELS:
        return Check(
            "OpenSearch", WARNING, f"{finding}; neural-search 3.5 refuses most remote models",
            "upgrade to 3.6 before you use 'ce2de connect'; all else works",
        )  # fmt: skip
    return Check("OpenSearch", OK, finding)


def _access(client: OpenSearch, settings: OpenSearchSettings) -> Check:
    """Check the user's identity in the cluster, and whether the connection is encrypted."""
    with backend_errors("ask who we are"):
        # A cluster without the security plugin does not know this address.
        answer = client.transport.perform_request("GET", WHO, params={"ignore": [400, 404]})
    user, roles = answer.get("user_name"), ", ".join(answer.get("roles", []))
    who = (
        f"user {user}, roles: {roles or 'none'}" if user else "the cluster does not ask users for a password"
    )
    if settings.is_encrypted and settings.verify_certs:
        return Check("access", OK, f"{who}; encrypted")
    if settings.is_encrypted:
        finding = f"{who}; encrypted, but the server's certificate is not checked"
        return Check("access", WARNING, finding, "name the cluster's CA in CE2DE_OPENSEARCH_CA_CERTS")
    if settings.address.hostname in LOOPBACK:
        return Check("access", OK, f"{who}; not encrypted, and stays on this machine")
    return Check("access", WARNING, f"{who}; not encrypted", "use https:// if the cluster has TLS")


def _health(client: OpenSearch) -> Check:
    with backend_errors("read the cluster's health"):
        health = client.cluster.health()
    nodes = health["number_of_data_nodes"]
    finding = f"{health['status']}, {nodes} data node{'' if nodes == 1 else 's'}"
    if health["status"] == "red":
        return Check("health", NOT_OK, finding, "primary shards are missing: GET _cluster/allocation/explain")
    return Check("health", OK, finding)


def _plugins(client: OpenSearch) -> Check:
    with backend_errors("read the plugins"):
        nodes = client.nodes.info(metric="plugins")["nodes"].values()
    missing = missing_plugins(nodes)
    if KNN in missing:
        return Check("plugins", NOT_OK, f"{KNN} is missing on {missing[KNN]}", INSTALL_PLUGIN.format(KNN))
    if NEURAL in missing:
        finding = f"{NEURAL} is missing on {missing[NEURAL]}; hybrid search is fused by the client"
        return Check("plugins", WARNING, finding, INSTALL_PLUGIN.format(NEURAL))
    return Check("plugins", OK, f"{KNN}, {NEURAL}")


def missing_plugins(nodes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return, for each plugin that some nodes lack, the names of the data nodes without it."""
    data_nodes = [node for node in nodes if "data" in node.get("roles", ["data"])]
    missing = {}
    for plugin in (KNN, NEURAL):
        without = [node["name"] for node in data_nodes if plugin not in _names(node["plugins"])]
        if without:
            missing[plugin] = ", ".join(without)
    return missing


def _names(entries: Iterable[Mapping[str, Any]]) -> set[str]:
    return {entry["name"] for entry in entries}


def _disk(client: OpenSearch) -> Check:
    with backend_errors("read the disk usage"):
        rows = client.cat.allocation(format="json")
    used = [int(row["disk.percent"]) for row in rows if row.get("disk.percent")]
    finding = f"{max(used, default=0)} % used on the fullest node"
    if max(used, default=0) > MAX_DISK_PERCENT:
        return Check("disk", WARNING, finding, "free some: at 95 % OpenSearch makes indexes read-only")
    return Check("disk", OK, finding)


def _records(client: OpenSearch) -> Check:
    """Count what ended jobs leave behind, which only 'ce2de reindex clean' removes."""
    from ce2de_os.reindex import dead_letters
    from ce2de_os.reindex.ledger import Ledger

    try:
        ledger = Ledger(client)
        ended, old = len(ledger.ended_before(0)), len(ledger.ended_before(OLD_DAYS * 86_400.0))
        finding = f"{ended:,} ended jobs and {dead_letters.count(client):,} dead letters are kept"
    except Ce2deError as error:  # a user may search without the right to read them
        return replace(_failed("records", error), state=WARNING)
    if old > MANY_JOBS:
        action = f"they stay until you remove them: ce2de reindex clean --ended-before {OLD_DAYS}d"
        return Check("records", WARNING, f"{finding}; {old:,} ended over {OLD_DAYS} days ago", action)
    return Check("records", OK, finding)


def _connections(client: OpenSearch, folder: Path | None) -> Iterator[Check]:
    """Check everything that 'ce2de connect' made, down to the vectors that come through it."""
    from ce2de_os.index.connection import connections

    try:
        names = sorted({one.name for one in connections(client).values()})
    except Ce2deError:  # a user may search without the right to see all mappings
        return
    for name in names:
        yield _checked("connection", partial(_connection_of, client, name, folder))


def _connection_of(client: OpenSearch, name: str, folder: Path | None) -> Check:
    from ce2de_os.connect.check import check

    findings = check(client, name, Artifact.load(folder))
    wrong = [finding for finding in findings if not finding.right]
    if wrong:
        told = "; ".join(f"{finding.what}: {finding.finding}" for finding in wrong)
        return Check("connection", NOT_OK, f"'{name}': {told}", wrong[0].action)
    return Check("connection", OK, f"'{name}': one model from the index to the service")


def _broker_and_workers(settings: Settings) -> Iterator[Check]:
    from ce2de_os.worker.queue import CeleryQueue

    try:
        queue = CeleryQueue(settings.broker_url)
        found, server = queue.fingerprints(WORKERS_S), queue.server()
    except BrokerUnavailableError as error:
        yield _failed("Redis", error)
        return
    yield redis_server(server, mask_url(settings.broker_url))
    yield _checked("workers", lambda: workers(found, settings))


def redis_server(info: Mapping[str, object], where: str) -> Check:
    """Check whether the broker's version has known faults; ``info``: what it says of itself."""
    name, version = name_and_version(info)
    finding = f"{name} {version} answers at {where}"
    if faults := known_faults(name, version):
        return Check(
            "Redis", WARNING, f"{finding}; this release has {', '.join(faults)}",
            "update it, if your distribution has not mended this version; let only your workers reach it",
        )  # fmt: skip
    return Check("Redis", OK, finding)


def workers(found: Mapping[str, str], settings: Settings) -> Check:
    """Check whether workers answer and embed with the settings' model; ``found``: fingerprints by name."""
    if not found:
        return Check(
            "workers", NOT_OK, "no worker answers", "start one: celery -A ce2de_os.worker.app worker"
        )
    fingerprint = Artifact.load(settings.artifact).fingerprint
    others = sorted(name for name, other in found.items() if other != fingerprint)
    if others:
        finding = f"{', '.join(others)} use another model than this machine"
        return Check("workers", NOT_OK, finding, "give all the same CE2DE_ARTIFACT and restart the workers")
    return Check("workers", OK, f"{len(found)} with this machine's model: {', '.join(sorted(found))}")


def _model(settings: Settings) -> Check:
    artifact = OnnxEncoder(settings.artifact, threads=settings.threads).artifact
    canaries, _ = artifact.canaries()
    what = f"{artifact.name}, {artifact.dim} dimensions, fingerprint {artifact.fingerprint[:12]}"
    return Check("model", OK, f"{what}; files intact, {len(canaries)} canary vectors right")


def java_runtime(settings: Settings) -> Check:
    """Check whether there is a Java that runs OpenSearch; a remote cluster can be used without."""
    try:
        found, lock = java.choose(java.find(settings.local.java_home))
    except LocalServerError as error:
        finding, action = map(with_flags, error.parts)
        return Check("Java", WARNING, f"{finding}; only 'ce2de local' and 'ce2de demo' need it", action)
    return Check("Java", OK, f"Java {found.major} at {found.executable}, runs OpenSearch {lock.version}")


def _local_servers() -> Check:
    endpoints = LocalServers().endpoints()
    if endpoints is None:
        return Check("local servers", OK, "not running; to start them: ce2de local up")
    return Check("local servers", OK, f"OpenSearch {endpoints.version} at {endpoints.opensearch_url}")
