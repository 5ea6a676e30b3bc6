"""Serve a model, and an index that it searches, over HTTP."""

from __future__ import annotations

from collections.abc import Callable

from ce2de_os.config import Settings
from ce2de_os.errors import MissingExtraError
from ce2de_os.server.request import ServeRequest

__all__ = ["ServeRequest", "serve"]


def serve(
    request: ServeRequest | None = None,
    *,
    settings: Settings | None = None,
    listening: Callable[[str], None] = lambda url: None,
) -> None:
    """Answer embeddings, re-ranking and questions over HTTP, until SIGTERM or Ctrl-C.

    Args:
        request: where to listen, to whom to answer, and the limits; ``None``: this machine only, port 8080.
        settings: the model, its threads, and the connection for ``/search``; ``None``: from the environment.
        listening: called with the service's address as soon as callers can connect.

    Raises:
        ConfigError: the port is taken, or a file that the request names cannot be used.
        ArtifactError: a model cannot be loaded, or computes wrong values on this machine.
        BackendError: the index of ``/search`` cannot be searched.
        MissingExtraError: the libraries of the service are not installed.
    """
    try:
        from ce2de_os.server.run import run
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra("server", error.name) from error
    run(request or ServeRequest(), settings or Settings.from_env(), listening)
