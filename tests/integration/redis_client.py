"""The Redis of local servers, for tests."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from redis import Redis


def local_redis(broker_url: str) -> Redis:
    """Connect to the socket in ``redis+socket:///path``."""
    return Redis(unix_socket_path=unquote(urlsplit(broker_url).path))
