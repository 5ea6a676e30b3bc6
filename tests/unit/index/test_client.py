from __future__ import annotations

import pytest
from opensearchpy.exceptions import TransportError

from ce2de_os.errors import BackendBusyError, BackendError, BackendUnavailableError, RequestTooLargeError
from ce2de_os.index.client import backend_errors


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (429, BackendBusyError, "look up index 'x': OpenSearch is too busy, or short of memory"),
        (503, BackendUnavailableError, "look up index 'x': Service Unavailable (HTTP 503)"),
        (413, RequestTooLargeError, "look up index 'x': Request Entity Too Large (HTTP 413)"),
        (599, BackendError, "look up index 'x': refused (HTTP 599)"),
    ],
)
def test_an_answer_without_a_body_is_told_in_words(status: int, kind: type[Exception], told: str) -> None:
    """The answer to a HEAD request has none, whatever is wrong."""
    with pytest.raises(kind) as caught, backend_errors("look up index 'x'"):
        raise TransportError(status, "", None)
    assert str(caught.value).startswith(told)
