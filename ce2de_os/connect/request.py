"""ConnectRequest: which alias, which service, and how OpenSearch gets in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ce2de_os.errors import ConfigError

DOCUMENTS, QUERIES, RERANK = "documents", "queries", "rerank"

_NAME = re.compile(r"[^\s\\/*?\"<>|,#:+_-][^\s\\/*?\"<>|,#:]*")


def resource_name(name: str, kind: str) -> str:
    """Return the name of a connector, model or pipeline of the alias ``name``."""
    return f"ce2de-{name}-{kind}"


@dataclass(frozen=True)
class ConnectRequest:
    """What to connect.

    Attributes:
        name: an alias, or an index.
        service: address of ``ce2de serve`` as the nodes of OpenSearch reach it:
            ``"https://embed.example.org:8080"``.
        key: the service's bearer key; ``None``: it asks for none.
        rerank: whether to make a search pipeline that re-ranks, too.
        reranker: folder of the cross-encoder that the service re-ranks with; ``None``: the service has none
            and re-ranks with its embedding model.
    """

    name: str
    service: str
    key: str | None = field(default=None, repr=False)
    rerank: bool = False
    reranker: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be connected.

        Raises:
            ConfigError: the name is a pattern, or the address is none.
        """
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"got '{self.name}', expected one alias or index, not a pattern")
        parts = urlsplit(self.service)
        more = parts.username or parts.query or parts.fragment or parts.path not in ("", "/")
        if parts.scheme not in ("http", "https") or not parts.hostname or more:
            raise ConfigError(
                f"service: got '{self.service}', expected an address without path and password, such as "
                "https://embed.example.org:8080"
            )
        object.__setattr__(self, "service", f"{parts.scheme}://{parts.netloc}")
