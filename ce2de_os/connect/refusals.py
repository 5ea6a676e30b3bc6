"""What to change when OpenSearch, or the service behind it, refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ce2de_os.errors import BackendError, BackendUnavailableError, ConfigError

RIGHTS = (
    "cluster:admin/settings/update",
    "cluster:admin/ingest/pipeline/put",
    "cluster:admin/ingest/pipeline/delete",
    "cluster:admin/search/pipeline/put",
    "cluster:admin/search/pipeline/delete",
    "cluster:admin/opensearch/ml/*",
    "indices:admin/mapping/put",
    "indices:admin/settings/update",
)
"""Rights that change something; those that read are in ``cluster``."""

_TRUSTED = "plugins.ml_commons.trusted_connector_endpoints_regex"
# A part of an answer: the cause, and what to do.
_KNOWN = (
    (
        "not matching the trusted connector endpoint",
        "the cluster's allow-list has no entry for the service",
        f"add its address to {_TRUSTED}",
    ),
    (
        "has private ip address",
        "the service has a private address, which connectors may not call",
        "set plugins.ml_commons.connector.private_ip_enabled to true, undeploy the model and deploy it again",
    ),
    (
        "Connection refused",
        "nothing listens at this address, as the nodes of OpenSearch see it",
        "start ce2de serve there, or write in `service` how the nodes reach it",
    ),
    (
        "Name or service not known",
        "the nodes of OpenSearch do not know this host",
        "write in `service` a name that the nodes can resolve",
    ),
    (
        "nknownHost",
        "the nodes of OpenSearch do not know this host",
        "write in `service` a name that the nodes can resolve",
    ),
    (
        "PKIX path",
        "the nodes' Java does not know the service's certificate",
        "add its CA to the trust store of each node: -Djavax.net.ssl.trustStore in config/jvm.options",
    ),
    (
        "SSLHandshake",
        "TLS with the service fails",
        "add its CA to the trust store of each node: -Djavax.net.ssl.trustStore in config/jvm.options",
    ),
    (
        "connection was closed during the request",
        "the service closed the connection",
        "write https:// in `service` if it has TLS, http:// if not; else see its log",
    ),
    (
        "authentication_error",
        "the service does not take the key",
        "name the file with the right one in `key_file`",
    ),
    (
        "model_mismatch",
        "the service has another model than the index",
        "start it with the index's model in CE2DE_ARTIFACT, or reindex with its model",
    ),
    (
        "timed out",
        "the service does not answer in time",
        "see that the nodes reach it through the firewall, and that it is not overloaded",
    ),
    (
        "Acquire operation took longer",
        "the nodes cannot connect to the service in time",
        "see that the nodes reach it through the firewall, and that it is not overloaded",
    ),
)


def refusal(what: str, text: str) -> ConfigError | None:
    """Return the error that explains a text of OpenSearch or of the service; ``None``: it is unknown."""
    for part, cause, action in _KNOWN:
        if part in text:
            return ConfigError(f"{what}: {cause}; {action} ({' '.join(text.split())[:200]})")
    return None


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn a refusal that is known into an error that names the setting.

    Raises:
        ConfigError: names what to change, or the rights that the user needs.
    """
    try:
        yield
    except BackendUnavailableError:
        raise
    except BackendError as error:
        text = str(error)
        if "(HTTP 403)" in text:
            raise ConfigError(
                f"{what}: this user lacks a right ({text[:200]}); of those that change something, connecting "
                f"needs: {', '.join(RIGHTS)}"
            ) from error
        known = refusal(what, text)
        if known is not None:
            raise known from error
        raise
