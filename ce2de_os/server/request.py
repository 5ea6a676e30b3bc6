"""ServeRequest: what to serve, where, to whom, and the limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from ce2de_os.config import LONGEST_S
from ce2de_os.errors import ConfigError

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class ServeRequest:
    """How to serve a model over HTTP.

    Attributes:
        host: address to listen at; any but this machine's own needs ``keys``.
        port: port to listen at; 0: any free one.
        processes: processes that share the port, each with a model of its own.
        index: index or alias for ``/search``; ``None``: there is no ``/search``.
        reranker: folder of a cross-encoder for ``/v1/rerank``; ``None``: the embedding model scores.
        keys: file with bearer keys, one a line; ``None``: every caller is answered.
        tls_cert: file with the certificate (PEM); ``None``: no TLS.
        tls_key: file with the certificate's key; ``None``: the same file.
        allow_hosts: names, besides ``localhost`` and addresses, by which callers may call this service.
        max_body_bytes: bytes of one request's body.
        max_texts: texts of one request.
        queue_texts: texts that may wait in each queue of a process.
        requests_per_minute: requests that one key may send to each process; ``None``: no limit.
        timeout_s: seconds for one request, from its first byte to the last of the answer.
        grace_s: seconds for the requests in progress after SIGTERM.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    processes: int = 1
    index: str | None = None
    reranker: Path | None = None
    keys: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    allow_hosts: tuple[str, ...] = ()
    max_body_bytes: int = 8 * MEBIBYTE
    max_texts: int = 2048
    queue_texts: int = 4096
    requests_per_minute: int | None = None
    timeout_s: float = 30.0
    grace_s: float = 20.0

    def __post_init__(self) -> None:
        """Refuse what is out of bounds or unsafe.

        Raises:
            ConfigError: the message names the setting.
        """
        for name in ("processes", "max_body_bytes", "max_texts", "queue_texts", "requests_per_minute"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}: got {value}, expected at least 1")
        for name in ("timeout_s", "grace_s"):
            if not 0 < getattr(self, name) <= LONGEST_S:
                raise ConfigError(
                    f"{name}: got {getattr(self, name)}, expected a number above 0, at most {LONGEST_S:,}"
                )
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port: got {self.port}, expected 0 to 65535")
        if self.tls_key is not None and self.tls_cert is None:
            raise ConfigError("got a TLS key without a certificate; name the certificate too")
        if self.requests_per_minute is not None and self.keys is None:
            raise ConfigError("requests_per_minute: counts the requests of each key; name a file with keys")
        if self.keys is None and not is_loopback(self.host):
            raise ConfigError(
                f"host: got {self.host}, which other machines reach, and no file of keys; "
                "name a file with bearer keys, or listen at 127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is an address of this machine that no other machine reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
