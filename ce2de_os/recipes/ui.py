"""Compare rankings in a browser, judge them, tune, and run the jobs."""

from __future__ import annotations

from collections.abc import Callable

from ce2de_os.config import Settings
from ce2de_os.errors import extra_needed
from ce2de_os.ui.request import UiRequest

__all__ = ["UiRequest", "ui"]


def ui(
    request: UiRequest | None = None,
    *,
    settings: Settings | None = None,
    listening: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve the page until SIGTERM or Ctrl-C.

    Args:
        request: where to listen, and what the page may do; ``None``: this machine only, port 8090.
        settings: connection and model; ``None``: from the environment.
        listening: called with the address to open, its token included, as soon as a browser can connect.

    Raises:
        ConfigError: the port is taken, or a file that the request names cannot be used.
        ArtifactError: a model cannot be loaded, or computes wrong values on this machine.
        MissingExtraError: the libraries of the page are not installed.
    """
    with extra_needed("ui"):
        from ce2de_os.ui.run import run
    run(request or UiRequest(), settings or Settings.from_env(), listening)
