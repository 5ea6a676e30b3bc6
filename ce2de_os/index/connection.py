"""What an index says of its connection to a service: the ``ce2de_connect`` entry in its mapping's ``_meta``.

`ce2de connect` writes there what it changed for the index and what was there before, so that everything can
be undone. A copy of the index must not take the connection over: its pipelines hold another model's vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from opensearchpy import OpenSearch

from ce2de_os.index.client import backend_errors

CONNECTION_KEY = "ce2de_connect"
INGEST_SETTING, SEARCH_SETTING = "default_pipeline", "search.default_pipeline"


@dataclass(frozen=True)
class Connection:
    """One index's connection.

    Attributes:
        name: the alias, or the index itself, that was connected.
        service: address of the service, without a path.
        fingerprint: the model's.
        vector_field: the field that the pipelines fill and search.
        default_pipeline: the ingest pipeline that the index had before; ``None``: none.
        search_pipeline: the same for searches.
        trusted: the entries that were added to the trusted endpoints.
        built_in: digest of the built-in trusted endpoints, if they had their default; ``None``: set.
        private: whether connections to private addresses were switched on for it.
    """

    name: str
    service: str
    fingerprint: str
    vector_field: str
    default_pipeline: str | None = None
    search_pipeline: str | None = None
    trusted: tuple[str, ...] = ()
    built_in: str | None = None
    private: bool = False

    @property
    def before(self) -> dict[str, str | None]:
        """The index's settings before, without ``index.``."""
        return {INGEST_SETTING: self.default_pipeline, SEARCH_SETTING: self.search_pipeline}

    def to_meta(self) -> dict[str, Any]:
        """Return the entry for a mapping's ``_meta``."""
        return {CONNECTION_KEY: asdict(self) | {"trusted": list(self.trusted)}}

    @classmethod
    def of(cls, mappings: Mapping[str, Any]) -> Self | None:
        """Read the connection of an index from its mapping; ``None``: it has none."""
        entry = mappings.get("_meta", {}).get(CONNECTION_KEY)
        if entry is None:
            return None
        known = {field.name for field in fields(cls)}
        values = {key: value for key, value in entry.items() if key in known}
        return cls(**values | {"trusted": tuple(values.get("trusted", ()))})


def connections(client: OpenSearch, names: Sequence[str] = ("_all",)) -> dict[str, Connection]:
    """Return the connection of every connected index that this user can see, by the index's name.

    Args:
        client: the cluster.
        names: indices, aliases or patterns; what is not there does not count.

    Raises:
        BackendError: OpenSearch does not answer or refuses.
    """
    with backend_errors("look for connected indices"):
        answer = client.transport.perform_request(
            "GET",
            f"/{','.join(names)}/_mapping",
            params={
                "expand_wildcards": "open,hidden",
                "ignore_unavailable": "true",
                "filter_path": f"*.mappings._meta.{CONNECTION_KEY}",
            },
        )
    found = ((name, Connection.of(body["mappings"])) for name, body in answer.items())
    return {name: connection for name, connection in found if connection is not None}


def unconnected(settings: Mapping[str, Any], mappings: Mapping[str, Any]) -> dict[str, Any]:
    """Return an index's flat settings, without ``index.``, as they were before it was connected."""
    connection = Connection.of(mappings)
    if connection is None:
        return dict(settings)
    kept = {key: value for key, value in settings.items() if key not in connection.before}
    return kept | {key: value for key, value in connection.before.items() if value is not None}


def without_connection(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping's ``_meta`` without the connection."""
    return {key: value for key, value in meta.items() if key != CONNECTION_KEY}
