"""Which indices of the cluster are connected, as their mappings say."""

from __future__ import annotations

from opensearchpy import OpenSearch

from ce2de_os.index.client import backend_errors
from ce2de_os.index.connection import CONNECTION_KEY, Connection


def connections(client: OpenSearch) -> dict[str, Connection]:
    """Return the connection of every connected index that this user can see, by the index's name.

    Raises:
        BackendError: OpenSearch does not answer or refuses.
    """
    with backend_errors("look for connected indices"):
        answer = client.transport.perform_request(
            "GET",
            "/_all/_mapping",
            params={
                "expand_wildcards": "open,hidden",
                "ignore_unavailable": "true",
                "filter_path": f"*.mappings._meta.{CONNECTION_KEY}",
            },
        )
    found = ((name, Connection.of(body["mappings"])) for name, body in answer.items())
    return {name: connection for name, connection in found if connection is not None}
