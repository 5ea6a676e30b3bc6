"""UiRequest: where the page listens, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ce2de_os.errors import ConfigError
from ce2de_os.server.request import is_loopback


@dataclass(frozen=True)
class UiRequest:
    """How to serve the page.

    Attributes:
        host: address to listen at; at any but this machine's own, every page needs a token.
        port: port to listen at; 0: any free one.
        index: the index or alias that the page begins with; ``None``: none.
        reranker: folder of a cross-encoder for columns that re-rank; ``None``: there are none.
        models: folders of more models, to compare with the one of the settings.
        judgments: file for the judgments; ``None``: an index in the cluster.
        keys: file with tokens, one a line; ``None``: one is made at each start.
        tls_cert: file with the certificate (PEM); ``None``: no TLS.
        tls_key: file with the certificate's key; ``None``: the same file.
        allow_hosts: names, besides ``localhost`` and addresses, by which the page may be called.
        read_only: whether nothing can be changed: no judgment, no job.
    """

    host: str = "127.0.0.1"
    port: int = 8090
    index: str | None = None
    reranker: Path | None = None
    models: tuple[Path, ...] = ()
    judgments: Path | None = None
    keys: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    allow_hosts: tuple[str, ...] = ()
    read_only: bool = False

    processes = 1
    grace_s = 5.0
    timeout_s = 60.0

    def __post_init__(self) -> None:
        """Refuse what is out of bounds.

        Raises:
            ConfigError: the message names the setting.
        """
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port: got {self.port}, expected 0 to 65535")
        if self.tls_key is not None and self.tls_cert is None:
            raise ConfigError("got a TLS key without a certificate; name the certificate too")

    @property
    def needs_token(self) -> bool:
        """Whether every page needs a token; at loopback only actions on jobs do."""
        return not is_loopback(self.host)
