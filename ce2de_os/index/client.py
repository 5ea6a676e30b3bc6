"""The connection to OpenSearch, and the only place where opensearch-py's errors are caught."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from opensearchpy import OpenSearch, Transport, Urllib3AWSV4SignerAuth
from opensearchpy.exceptions import ConnectionError as OpenSearchConnectionError
from opensearchpy.exceptions import OpenSearchException, SerializationError, SSLError, TransportError
from opensearchpy.serializer import JSONSerializer

from ce2de_os import deep_json
from ce2de_os.config import OpenSearchSettings
from ce2de_os.errors import (
    BackendBusyError,
    BackendError,
    BackendUnavailableError,
    BulkWriteError,
    Ce2deError,
    ConfigError,
    IndexSchemaError,
    RequestError,
    RequestTooLargeError,
    extra_needed,
)
from ce2de_os.forks import renew_after_fork
from ce2de_os.index.json_text import without_comments

RETRYABLE_STATUS = frozenset({408, 429, 502, 503, 504})
BLOCKED = "cluster_block_exception"
"""Error type of a read-only index: set by an operator, or because a disk is nearly full."""

WHOLE = {"allow_partial_search_results": "false"}
"""Parameters of a search that every shard must answer; else a shard without a copy counts as empty."""

_NODE_AWAY = frozenset({
    "node_disconnected_exception", "node_not_connected_exception", "connect_transport_exception",
    "node_closed_exception", "failed_node_exception", "receive_timeout_transport_exception",
    "no_shard_available_action_exception",
})  # fmt: skip
"""Error types of a request whose node went away; OpenSearch gives some of them the status 500."""

_REASON_CHARS = 300
_CA = "name the file of the cluster's CA in `ca_certs` or CE2DE_OPENSEARCH_CA_CERTS"
_CLIENT = "check that `client_cert` and `client_key` belong together and that the cluster knows their CA"
_HOST = "in `url` or CE2DE_OPENSEARCH_URL, use a host name that the server's certificate contains"
# A part of OpenSSL's message, and what to do.
_TLS_ADVICE = {
    "WRONG_VERSION_NUMBER": "the server speaks plain HTTP: write http:// in `url` or CE2DE_OPENSEARCH_URL",
    "Hostname mismatch": _HOST,
    "IP address mismatch": _HOST,
    "CERTIFICATE_REQUIRED": "the cluster wants a client certificate: set `client_cert` and `client_key`",
    "KEY_VALUES_MISMATCH": _CLIENT,
    "PEM lib": _CLIENT,
    "ALERT_UNKNOWN_CA": _CLIENT,
    "ALERT_CERTIFICATE_UNKNOWN": _CLIENT,
    "ALERT_BAD_CERTIFICATE": _CLIENT,
}
_ACCESS_ADVICE: dict[int | str, str] = {
    401: "check CE2DE_OPENSEARCH_USERNAME and CE2DE_OPENSEARCH_PASSWORD, or the client certificate",
    403: "give this user the role in docs/how-to/operator/security.md, with your own index names",
}

_GATEWAY = (
    "a gateway, a proxy or a login page answers at this address; write OpenSearch's own in `url` or "
    "CE2DE_OPENSEARCH_URL"
)
_OTHER_LOOP = (
    "the client belongs to an event loop that has ended or is another one; make client and searcher anew in "
    "each asyncio.run"
)
_SIGNATURE = "check the AWS credentials, CE2DE_OPENSEARCH_AWS_REGION, …_AWS_SERVICE and this machine's clock"


class _Serializer(JSONSerializer):
    """Reads answers in which documents have comments, or are nested deeper than Python's own reader goes."""

    def loads(self, s: str) -> Any:  # noqa: ANN401 - whatever OpenSearch answered
        """Read an answer."""
        try:
            return self._read(s)
        except SerializationError:
            return self._read(without_comments(s))

    def _read(self, text: str) -> Any:  # noqa: ANN401
        try:
            return super().loads(text)
        except RecursionError:
            pass
        try:
            return deep_json.loads(text)
        except ValueError as error:
            raise SerializationError(text, error) from error


def connect(settings: OpenSearchSettings) -> OpenSearch:
    """Create a client for ``settings``; no request is sent yet.

    Raises:
        ConfigError: a certificate's file is not there, or no AWS credentials are.
        MissingExtraError: requests are to be signed for AWS, and botocore is not installed.
    """
    for name in ("ca_certs", "client_cert", "client_key"):
        file = getattr(settings, name)
        if file is not None and not Path(file).is_file():
            raise ConfigError(f"CE2DE_OPENSEARCH_{name.upper()}: there is no file '{file}'; name a PEM file")
    kwargs = settings.client_kwargs()
    if settings.aws_region is not None:
        kwargs["http_auth"] = _aws_signer(settings.aws_region, settings.aws_service)
    client = OpenSearch(serializer=_Serializer(), **kwargs)
    survive_fork(client)
    return client


def survive_fork(client: Any) -> None:  # noqa: ANN401 - opensearch-py's client, or one that wraps it
    """Give a client connections of its own in every forked process.

    Two processes that write to one connection get each other's answers.
    """
    if isinstance(getattr(client, "transport", None), Transport):
        renew_after_fork(client, _reconnect)


def _reconnect(client: OpenSearch) -> None:
    transport = client.transport
    del transport.connection_pool  # else the transport takes the parent's connections over
    transport.set_connections(transport.hosts)
    transport.seed_connections = list(transport.connection_pool.connections)


def with_part(action: str, answer: Any, part: str) -> Mapping[str, Any]:  # noqa: ANN401 - whatever came
    """Return an answer that has the key ``part``, which each of OpenSearch's answers to the request has.

    Raises:
        BackendError: it has not, so it comes from something else.
    """
    if not isinstance(answer, Mapping) or part not in answer:
        raise BackendError(
            f"{action}: got an answer without '{part}', which OpenSearch always gives; {_GATEWAY}"
        )
    return answer


def _aws_signer(region: str, service: str) -> Urllib3AWSV4SignerAuth:
    """Create a signer of requests with the credentials that AWS's own tools find; it renews them."""
    with extra_needed("aws"):
        from botocore.session import Session
    credentials = Session().get_credentials()
    if credentials is None:
        raise ConfigError(
            "CE2DE_OPENSEARCH_AWS_REGION is set, but there are no AWS credentials; set AWS_PROFILE, or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"
        )
    return Urllib3AWSV4SignerAuth(credentials, region, service)


def address(settings: OpenSearchSettings) -> str:
    """Return the cluster's address without credentials, for messages."""
    return settings.address.place


def backend_errors(action: str) -> AbstractContextManager[None]:
    """Turn opensearch-py's errors into ours; ``action`` starts the message ("search articles").

    Raises:
        BackendBusyError: 429, or the index is read-only.
        BackendUnavailableError: no answer, 408, 502, 503, 504, or a node went away while it was asked.
        ConfigError: an async client is used in another event loop than its own.
        RequestError: 400: OpenSearch does not understand the request.
        IndexSchemaError: 404 or 409: the request does not fit the index.
        RequestTooLargeError: 413.
        BackendError: anything else that OpenSearch rejects.
    """
    return _BackendErrors(action)


class _BackendErrors:
    """A class, not a generator: every request passes through one."""

    def __init__(self, action: str) -> None:
        self._action = action

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OpenSearchException):
            raise _ours(self._action, error) from error
        if isinstance(error, RecursionError):
            raise IndexSchemaError(
                f"{self._action}: the request is nested too deeply; write a flatter query"
            ) from error
        if isinstance(error, RuntimeError) and "loop" in str(error):
            raise ConfigError(f"{self._action}: {_OTHER_LOOP}") from error


def _ours(action: str, error: OpenSearchException) -> Ce2deError:
    if isinstance(error, SSLError):
        failure = _first_line(error.error)
        advice = next((advice for name, advice in _TLS_ADVICE.items() if name in failure), _CA)
        return BackendError(f"{action}: TLS failed ({failure}); {advice}")
    if isinstance(error, OpenSearchConnectionError):
        if "vent loop is closed" in str(error) or "different loop" in str(error):
            return ConfigError(f"{action}: {_OTHER_LOOP}")
        return BackendUnavailableError(
            f"{action}: OpenSearch does not answer ({_first_line(error.error)}); "
            "check the address in `url` or CE2DE_OPENSEARCH_URL, or run: ce2de local up"
        )
    if isinstance(error, TransportError):
        return _from_status(action, error)
    if isinstance(error, SerializationError):
        return _not_json(action, error)
    return BackendError(f"{action}: {_first_line(error)}")


def _not_json(action: str, error: SerializationError) -> BackendError:
    """Say whether a value of ours has no JSON, or the answer is none."""
    found = _first_line(error.args[0] if error.args else error)
    if "Unable to serialize" in found:
        return IndexSchemaError(f"{action}: {found}; pass strings, numbers, lists and objects only")
    return BackendError(f"{action}: got an answer that is not JSON ({found}); {_GATEWAY}")


def _from_status(action: str, error: TransportError) -> BackendError:
    if not isinstance(error.status_code, int):  # "N/A": the request got no answer
        return BackendUnavailableError(f"{action}: {_first_line(error.error)}")
    status = error.status_code
    if 300 <= status < 400:
        return BackendError(f"{action}: got a redirection (HTTP {status}); {_GATEWAY}")
    message = f"{action}: {reason(error.info) or _first_line(error.error) or _phrase(status)} (HTTP {status})"
    if status == HTTPStatus.TOO_MANY_REQUESTS or BLOCKED in str(error.error):
        return BackendBusyError(message)
    if status in RETRYABLE_STATUS or _root_types(error.info) & _NODE_AWAY:
        return BackendUnavailableError(message)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return RequestTooLargeError(message)
    if status == HTTPStatus.BAD_REQUEST:
        return RequestError(message)
    if status in (404, 409):
        return IndexSchemaError(message)
    advice = _SIGNATURE if status == 403 and "signature" in message.lower() else _ACCESS_ADVICE.get(status)
    return BackendError(f"{message}; {advice}" if advice else message)


def check_complete(action: str, answer: Mapping[str, Any]) -> None:
    """Reject an answer in which some shards are missing: a node went away during the request.

    Raises:
        BackendUnavailableError: a retry helps, since a replica takes over.
    """
    shards = answer.get("_shards", {})
    if shards.get("failed"):
        raise BackendUnavailableError(
            f"{action}: {shards['failed']} of {shards['total']} copies of shards did not answer"
        )


def entries_of(action: str, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of an ``_mget`` answer, which has the status 200 even where a shard is missing.

    Raises:
        BackendUnavailableError: a shard has no copy now, or its node went away.
        IndexSchemaError: a document cannot be looked up, as behind an alias over several indices.
    """
    entries: list[dict[str, Any]] = answer["docs"]
    failed = next((entry for entry in entries if "error" in entry), None)
    if failed is None:
        return entries
    message = f"{action}: document '{failed['_id']}': {reason(failed)}"
    raise BackendUnavailableError(message) if _root_types(failed) & _NODE_AWAY else IndexSchemaError(message)


def _root_types(body: Any) -> set[str]:  # noqa: ANN401 - whatever OpenSearch answered
    error = body.get("error") if isinstance(body, dict) else None
    causes = (error.get("root_cause") or [error]) if isinstance(error, dict) else []
    return {str(cause.get("type")) for cause in causes}


def item_error(action: str, item: Mapping[str, Any]) -> BackendError:
    """Return the error of one item of a bulk request: busy, or rejected for good."""
    message = f"{action}: {reason(item)} (HTTP {item['status']})"
    return BackendBusyError(message) if is_busy(item) else BulkWriteError(message)


def is_busy(item: Mapping[str, Any]) -> bool:
    """Return whether a bulk item failed for now: the cluster is busy, or the index is read-only."""
    return item["status"] in RETRYABLE_STATUS or error_type(item) == BLOCKED


def error_type(item: Mapping[str, Any]) -> str:
    """Return OpenSearch's type of an item's error; ``""`` if there is no error."""
    error = item.get("error")
    return str(error.get("type", "")) if isinstance(error, dict) else str(error or "")


def reason(body: Any) -> str:  # noqa: ANN401 - whatever OpenSearch answered
    """Return the most specific reason in an OpenSearch error body, shortened; ``""`` if there is none."""
    if not isinstance(body, dict):
        return ""
    error = body.get("error", body)
    if not isinstance(error, dict):
        return " ".join(str(error).split())[:_REASON_CHARS]
    causes = error.get("root_cause") or [error]
    deepest = causes[0]
    while isinstance(deepest.get("caused_by"), dict):
        deepest = deepest["caused_by"]
    # AWS puts a "message" in front of OpenSearch's answers.
    text = str(
        deepest.get("reason") or error.get("reason") or error.get("message") or error.get("Message") or ""
    )
    return " ".join(text.split())[:_REASON_CHARS]


def _phrase(status: int) -> str:
    """Return the meaning of a status without a body; an answer to a HEAD request has no body."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "OpenSearch is too busy, or short of memory (circuit breaker); see GET _nodes/stats/breaker"
    return HTTPStatus(status).phrase if status in list(HTTPStatus) else "refused"


def _first_line(error: object) -> str:
    """Return the first line of an error, or its type if it has no message; ``""`` for an empty text."""
    lines = str(error).strip().splitlines() or ["" if isinstance(error, str) else type(error).__name__]
    return lines[0][:_REASON_CHARS]
