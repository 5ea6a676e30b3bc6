"""Listen, in one process or several, until SIGTERM."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from ce2de_os import logs
from ce2de_os.config import Settings
from ce2de_os.errors import Ce2deError, ConfigError
from ce2de_os.model.artifact import Artifact
from ce2de_os.server import certificate
from ce2de_os.server.counters import FOLDER_VARIABLE
from ce2de_os.server.gate import Gate
from ce2de_os.server.keys import Keys
from ce2de_os.server.protocol import BoundedProtocol
from ce2de_os.server.request import ServeRequest, is_loopback

logger = logging.getLogger(__name__)

BACKLOG = 1024
HANGS_S = 10
"""Seconds until a process that does not react is ended and started again."""

KEEP_ALIVE_S = 75
"""Longer than the pools of OpenSearch's connectors keep an idle connection, so that these close it first."""


class Place(Protocol):
    """Where to listen, and with which certificate; `ServeRequest` is one."""

    @property
    def host(self) -> str:
        """The address to listen at."""

    @property
    def port(self) -> int:
        """The port; 0: any."""

    @property
    def processes(self) -> int:
        """Processes that share it."""

    @property
    def tls_cert(self) -> Path | None:
        """The certificate; ``None``: no TLS."""

    @property
    def tls_key(self) -> Path | None:
        """Its key; ``None``: in the same file."""

    @property
    def grace_s(self) -> float:
        """Seconds for the requests in progress at the end."""


def run(request: ServeRequest, settings: Settings, listening: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in progress are answered first.

    ``listening`` is called with the address as soon as callers can connect.

    Raises:
        ConfigError: the port is taken, or the keys or the certificate cannot be used.
        ArtifactError: a model cannot be loaded.
        BackendError: the index cannot be searched.
    """
    check_certificate(request)
    with bind(request.host, request.port) as listener:
        url = address(request, listener)
        if request.processes == 1:
            from ce2de_os.server.app import create

            run_one(request, create(request, settings), listener, partial(listening, url))
        else:
            _run_many(request, settings, listener, partial(listening, url))


def run_one(place: Place, app: Gate, listener: socket.socket, listening: Callable[[], None]) -> None:
    """Answer in this process until SIGTERM or Ctrl-C; ``listening`` is called when callers can connect."""
    _listen(place, listener)
    server = uvicorn.Server(_config(place, lambda: app))
    app.is_ending = lambda: server.should_exit
    if threading.current_thread() is threading.main_thread():
        # The server raises the signal again after its end, and a signal is no failure here.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
    listening()
    server.run(sockets=[listener])


def _run_many(
    request: ServeRequest, settings: Settings, listener: socket.socket, listening: Callable[[], None]
) -> None:
    Artifact.load(settings.artifact)
    if request.keys is not None:
        Keys(request.keys)
    folder = tempfile.mkdtemp(prefix="ce2de-server-")
    os.environ[FOLDER_VARIABLE] = folder
    try:
        supervisor = Multiprocess(_config(request, partial(_create, request, settings)), [listener])
        _listen(request, listener)
        listening()
        supervisor.run()
    finally:
        del os.environ[FOLDER_VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise ConfigError("a process did not start; the reason is in the log above")


def _create(request: ServeRequest, settings: Settings) -> Gate:
    """Create the application in a process of its own; what fails there would fail again."""
    from ce2de_os.server.app import create

    logs.configure(logging.WARNING, settings.log_format)
    try:
        return create(request, settings)
    except Ce2deError as error:
        logger.error("%s", error, extra={"action": "start"})
        sys.exit(STARTUP_FAILURE)


def _config(request: Place, create: Callable[[], Gate]) -> uvicorn.Config:
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # callers' mistakes are theirs
    return certificate.RenewingConfig(
        create,
        factory=True,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        workers=request.processes,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_worker_healthcheck=HANGS_S,
        timeout_graceful_shutdown=max(1, round(request.grace_s)),
        ssl_certfile=request.tls_cert,
        ssl_keyfile=request.tls_key,
    )


def bind(host: str, port: int) -> socket.socket:
    """Take a port; callers cannot connect yet.

    Raises:
        ConfigError: it is taken, or there is no such address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, UnicodeError) as error:  # a name with an empty part is no text for DNS
        raise _cannot_listen(host, port, error) from error
    listener.set_inheritable(True)
    return listener


def _listen(place: Place, listener: socket.socket) -> None:
    """Let callers connect.

    Raises:
        ConfigError: another process, which took the port at the same time, was faster.
    """
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        raise _cannot_listen(place.host, listener.getsockname()[1], error) from error


def _cannot_listen(host: str, port: int, error: OSError | UnicodeError) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else error
    return ConfigError(f"cannot listen at {host}:{port} ({reason}); choose another port or host")


def address(request: Place, listener: socket.socket) -> str:
    """Return the URL of a service."""
    host = f"[{request.host}]" if ":" in request.host else request.host
    return f"{'https' if request.tls_cert else 'http'}://{host}:{listener.getsockname()[1]}"


def check_certificate(request: Place) -> None:
    """Check that the certificate fits its key, and warn where other machines are answered without one.

    Raises:
        ConfigError: a file cannot be used.
    """
    if request.tls_cert is not None:
        certificate.load(request.tls_cert, request.tls_key)
    elif not is_loopback(request.host):
        text = "Keys and texts travel without TLS; name a certificate, or put a proxy with TLS before it"
        logger.warning(text, extra={"action": "no_tls"})
