"""What the cluster has, and its settings that let nodes call a service."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from opensearchpy import OpenSearch

from ce2de_os.connect.steps import Step
from ce2de_os.errors import BackendError, BackendUnavailableError, ConfigError
from ce2de_os.index.client import backend_errors
from ce2de_os.index.vector_field import OLDEST

TRUSTED = "plugins.ml_commons.trusted_connector_endpoints_regex"
PRIVATE = "plugins.ml_commons.connector.private_ip_enabled"
_TRUSTED_PRIVATE = "trusted_connector_private_endpoints_regex"  # newer versions; empty: any private address

_PLUGINS = ("opensearch-ml", "opensearch-neural-search", "opensearch-knn")
_SETTINGS_PATH = "/_cluster/settings?include_defaults=true&flat_settings=true"
_READS = {
    "cluster:monitor/state (the cluster's settings)": ("GET", _SETTINGS_PATH),
    "cluster:monitor/nodes/info (the plugins)": ("GET", "/_nodes/plugins"),
    "cluster:admin/ingest/pipeline/get": ("GET", "/_ingest/pipeline/ce2de-none"),
    "cluster:admin/search/pipeline/get": ("GET", "/_search/pipeline/ce2de-none"),
    "cluster:admin/opensearch/ml/connectors/search": ("POST", "/_plugins/_ml/connectors/_search"),
    "cluster:admin/opensearch/ml/models/search": ("POST", "/_plugins/_ml/models/_search"),
}


@dataclass(frozen=True)
class Values:
    """The cluster's settings; ``places`` are transient, persistent and default ones, in this order."""

    places: Mapping[str, Mapping[str, Any]]

    def get(self, name: str) -> tuple[str, Any]:
        """Return where a setting has its value, and the value; ``("persistent", None)``: there is none."""
        for place in ("transient", "persistent", "defaults"):
            if name in self.places.get(place, {}):
                return "persistent" if place == "defaults" else place, self.places[place][name]
        return "persistent", None

    def named(self, end: str) -> str | None:
        """Return the full name of a setting; ``None``: this version has none."""
        names = (name for values in self.places.values() for name in values)
        return next((name for name in names if name.endswith(end)), None)


def survey(client: OpenSearch) -> Values:
    """Read the cluster's settings, after a look at everything that connecting needs.

    Raises:
        ConfigError: a list of everything that is missing: plugins, the version, rights to read.
        BackendUnavailableError: OpenSearch does not answer.
    """
    lacking, answers = [], {}
    for right, (method, path) in _READS.items():
        try:
            with backend_errors("look at the cluster"):
                answers[path] = client.transport.perform_request(
                    method,
                    path,
                    params={"ignore": [400, 404]},
                    body={"size": 0} if method == "POST" else None,
                )
        except BackendUnavailableError:
            raise
        except BackendError:
            lacking.append(f"the right {right}")
    lacking = [*_missing_plugins(answers.get("/_nodes/plugins", {"nodes": {}})), *lacking]
    if lacking:
        raise ConfigError(
            f"this cluster, or this user, lacks: {'; '.join(lacking)}; install or grant all of it, see "
            "docs/how-to/operator/connect.md"
        )
    return Values(answers[_SETTINGS_PATH])


def _missing_plugins(answer: Mapping[str, Any]) -> Iterator[str]:
    nodes = [node for node in answer["nodes"].values() if "data" in node.get("roles", ["data"])]
    for plugin in _PLUGINS:
        without = [node["name"] for node in nodes if plugin not in {p["name"] for p in node["plugins"]}]
        if without:
            yield f"the plugin {plugin} on {', '.join(sorted(without))}"
    for node in nodes:
        if tuple(int(part) for part in node["version"].split(".")[:2]) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            yield f"OpenSearch {oldest} or newer on {node['name']}, which has {node['version']}"


def entry(service: str) -> str:
    """Return the regular expression that trusts a service."""
    return f"^{re.escape(service)}/v1/.*$"


def trusts(values: Values, service: str) -> bool:
    """Return whether the cluster's allow-list has an entry for a service already."""
    return any(_matches(pattern, f"{service}/v1/embeddings") for pattern in values.get(TRUSTED)[1] or [])


def is_private(service: str) -> bool:
    """Return whether a service has a private address, or a name that only the nodes know."""
    host = urlsplit(service).hostname or ""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return True
    return any(not ipaddress.ip_address(str(address).partition("%")[0]).is_global for address in found)


def needs_private(values: Values, service: str) -> bool:
    """Return whether private addresses must be switched on for a service."""
    known = values.named(PRIVATE) is not None
    return known and is_private(service) and str(values.get(PRIVATE)[1]).lower() != "true"


def opening(values: Values, service: str) -> list[Step]:
    """Return the steps that let the nodes call a service; entries that are there stay."""
    changes: dict[str, dict[str, Any]] = {}
    if not trusts(values, service):
        place, present = values.get(TRUSTED)
        changes.setdefault(place, {})[TRUSTED] = [*(present or []), entry(service)]
    if needs_private(values, service):
        changes.setdefault(values.get(PRIVATE)[0], {})[PRIVATE] = True
    name = values.named(_TRUSTED_PRIVATE)
    present = values.get(name)[1] if name else None
    if name and present and not any(_matches(one, f"{service}/v1/embeddings") for one in present):
        changes.setdefault(values.get(name)[0], {})[name] = [*present, entry(service)]
    return [Step("let the nodes call the service", "PUT", "/_cluster/settings", changes)] if changes else []


def digest(entries: Sequence[str]) -> str:
    """Return a short name of an allow-list, to know it again."""
    return hashlib.sha256(json.dumps(list(entries)).encode()).hexdigest()[:16]


def default_digest(values: Values) -> str | None:
    """Return the digest of the allow-list while it has its default; ``None``: it is set."""
    built_in = values.places.get("defaults", {}).get(TRUSTED)
    return None if built_in is None else digest(built_in)


def closing(values: Values, trusted: Collection[str], built_in: str | None, private: bool) -> list[Step]:
    """Return the steps that take back what `opening` did; other entries stay.

    Args:
        values: the settings now.
        trusted: the entries that were added.
        built_in: digest of the built-in allow-list, if it had its default; ``None``: it was set before.
        private: whether private addresses were switched on.
    """
    changes: dict[str, dict[str, Any]] = {}
    for name in filter(None, (TRUSTED, values.named(_TRUSTED_PRIVATE))):
        place, present = values.get(name)
        left = [one for one in present or [] if one not in trusted]
        if left != (present or []):
            changes.setdefault(place, {})[name] = None if digest(left) == built_in else left
    place, present = values.get(PRIVATE)
    if private and present is not None:
        changes.setdefault(place, {})[PRIVATE] = None
    return (
        [Step("no longer let the nodes call the service", "PUT", "/_cluster/settings", changes)]
        if changes
        else []
    )


def _matches(pattern: str, url: str) -> bool:
    try:
        return re.fullmatch(pattern, url) is not None
    except re.error:  # Java's expressions are not all Python's
        return False
