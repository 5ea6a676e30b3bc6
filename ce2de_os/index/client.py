"""The connection to OpenSearch, and the only place where opensearch-py's errors are caught."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.exceptions import ConnectionError as OpenSearchConnectionError
from opensearchpy.exceptions import OpenSearchException, SSLError, TransportError

from ce2de_os.config import OpenSearchSettings, mask_url
from ce2de_os.errors import BackendBusyError, BackendError, BackendUnavailableError, IndexSchemaError

RETRYABLE_STATUS = frozenset({408, 429, 502, 503, 504})
BLOCKED = "cluster_block_exception"
"""Error type of what is read-only: by an operator, or because a disk is nearly full."""

_REASON_CHARS = 300


def connect(settings: OpenSearchSettings) -> OpenSearch:
    """A client for ``settings``; no request is sent yet."""
    return OpenSearch(**settings.client_kwargs())


def address(settings: OpenSearchSettings) -> str:
    """The cluster's address without credentials, for messages."""
    return mask_url(settings.url)


@contextmanager
def backend_errors(action: str) -> Iterator[None]:
    """Turn opensearch-py's errors into ours; ``action`` starts the message ("search articles").

    Raises:
        BackendBusyError: 429, or what is to be written is read-only.
        BackendUnavailableError: no answer, or 408, 502, 503, 504.
        IndexSchemaError: 400, 404 or 409: the request does not fit the index.
        BackendError: anything else that OpenSearch refuses.
    """
    try:
        yield
    except SSLError as error:
        raise BackendError(
            f"{action}: TLS failed ({_first_line(error.error)}); pass --ca-certs or CE2DE_OPENSEARCH_CA_CERTS"
        ) from error
    except OpenSearchConnectionError as error:
        raise BackendUnavailableError(
            f"{action}: OpenSearch does not answer ({_first_line(error.error)}); "
            "check the address in --url or CE2DE_OPENSEARCH_URL, or run: ce2de local up"
        ) from error
    except TransportError as error:
        raise _from_status(action, error) from error
    except OpenSearchException as error:
        raise BackendError(f"{action}: {_first_line(error)}") from error


def _from_status(action: str, error: TransportError) -> BackendError:
    status = error.status_code
    message = f"{action}: {reason(error.info) or _first_line(error.error)} (HTTP {status})"
    if status == HTTPStatus.TOO_MANY_REQUESTS or BLOCKED in str(error.error):
        return BackendBusyError(message)
    if status in RETRYABLE_STATUS:
        return BackendUnavailableError(message)
    if status in (400, 404, 409):
        return IndexSchemaError(message)
    if status in (401, 403):
        return BackendError(f"{message}; check CE2DE_OPENSEARCH_USERNAME and CE2DE_OPENSEARCH_PASSWORD")
    return BackendError(message)


def reason(body: Any) -> str:  # noqa: ANN401 - whatever OpenSearch answered
    """The most telling reason in an OpenSearch error body, shortened; ``""`` if there is none."""
    if not isinstance(body, dict):
        return ""
    error = body.get("error", body)
    if not isinstance(error, dict):
        return " ".join(str(error).split())[:_REASON_CHARS]
    causes = error.get("root_cause") or [error]
    deepest = causes[0]
    while isinstance(deepest.get("caused_by"), dict):
        deepest = deepest["caused_by"]
    text = str(deepest.get("reason") or error.get("reason") or "")
    return " ".join(text.split())[:_REASON_CHARS]


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:_REASON_CHARS]
