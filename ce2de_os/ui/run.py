"""Listen until SIGTERM."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ce2de_os.config import Settings
from ce2de_os.server.keys import Keys
from ce2de_os.server.run import address, bind, check_certificate, run_one
from ce2de_os.ui.app import create
from ce2de_os.ui.request import UiRequest
from ce2de_os.ui.sessions import Sessions


def run(request: UiRequest, settings: Settings, listening: Callable[[str], None]) -> None:
    """Serve the page until SIGTERM or Ctrl-C.

    ``listening`` is called with the address to open, its token included, as soon as a browser can connect.

    Raises:
        ConfigError: the port is taken, or the tokens or the certificate cannot be used.
        ArtifactError: a model cannot be loaded.
    """
    check_certificate(request)
    sessions = Sessions(None if request.keys is None else Keys(request.keys))
    with bind(request.host, request.port) as listener:
        url = f"{address(request, listener)}/enter"
        if sessions.token is not None:
            url += f"?token={sessions.token}"
        run_one(request, create(request, settings, sessions), listener, partial(listening, url))
