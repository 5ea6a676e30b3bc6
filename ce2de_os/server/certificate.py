"""The certificate of the service, from files that may change while it runs."""

from __future__ import annotations

import ssl
from pathlib import Path

import uvicorn

from ce2de_os.errors import ConfigError
from ce2de_os.server.watched import Watched


class RenewingConfig(uvicorn.Config):
    """Uvicorn's configuration; a changed certificate counts from the next connection on."""

    def load(self) -> None:
        """Load, and watch the certificate's files if there are some."""
        super().load()
        if self.ssl is not None and self.ssl_certfile is not None:
            key = None if self.ssl_keyfile is None else Path(self.ssl_keyfile)
            renew(self.ssl, Path(self.ssl_certfile), key)


def renew(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Let each new connection of ``context`` use the certificate that is in the files then."""
    files = (certificate,) if key is None else (certificate, key)
    watched = Watched("certificate", files, lambda: load(certificate, key))

    def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = watched.now()

    context.sni_callback = choose  # also called for clients that send no name


def load(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Load a certificate with its key; ``None``: from the same file.

    Raises:
        ConfigError: they cannot be used together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{certificate}: cannot be used with its key: {error}; both files are PEM"
        ) from error
    return context
