"""Stream two fields of every document of an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from opensearchpy import OpenSearch, helpers

from ce2de_os.index.client import backend_errors

_PAGE = 1000
_KEEP_ALIVE = "5m"


def stream_sources(client: OpenSearch, index: str, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield ``_source`` of every document, cut down to ``fields``, in no particular order.

    The answer is that of one moment: documents written meanwhile are not seen.

    Raises:
        BackendError: OpenSearch does not answer or refuses; a shard that fails is an error, not a gap.
    """
    with backend_errors(f"read '{index}'"):
        body = {"query": {"match_all": {}}, "_source": list(fields)}
        for hit in helpers.scan(client, query=body, index=index, size=_PAGE, scroll=_KEEP_ALIVE):
            yield hit.get("_source") or {}
