"""Settings: one frozen dataclass per concern, each value with three faces.

A value comes from the function argument, else the command-line flag, else the environment variable
``CE2DE_...``, else the default below. `Settings.from_env` is the only reader of the environment.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ce2de_os.addresses import Address, opensearch_address, redis_address
from ce2de_os.errors import ConfigError
from ce2de_os.logs import FORMATS
from ce2de_os.redaction import remember

LONGEST_S = 86_400
"""Seconds of the longest time that can be set: a day. Sockets and timers take no infinity."""
MOST_THREADS = 4096
"""Most threads of a model: libraries take no number of any size, and start as many as they are given."""
POOL_SIZE = 8  # connections of a client: a worker reads and writes at once, an application has threads
AWS_SERVICES = ("es", "aoss")
BROKER_SETTING = "`broker_url` or CE2DE_BROKER_URL"
TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


@dataclass(frozen=True)
class OpenSearchSettings:
    """The connection to OpenSearch; names are opensearch-py's own where it has one.

    ``username``/``password`` become ``http_auth``. ``client_cert`` is a file with a client certificate,
    ``client_key`` the file of its key (``None``: in the same file). With ``aws_region`` requests are
    signed with AWS Signature Version 4 for ``aws_service``: ``es`` is an OpenSearch Service domain, ``aoss``
    a Serverless collection. ``None`` leaves opensearch-py's default.
    """

    url: str = field(default="http://127.0.0.1:9200", repr=False)  # may hold a password
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_certs: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    aws_region: str | None = None
    aws_service: str = "es"
    verify_certs: bool = True
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse an address that cannot be used, and what contradicts itself.

        Raises:
            ConfigError: the message names the settings; it shows no address and no password.
        """
        remember(self.password)
        address = self.address
        if self.aws_service not in AWS_SERVICES:
            known = " or ".join(AWS_SERVICES)
            raise ConfigError(f"CE2DE_OPENSEARCH_AWS_SERVICE: got '{self.aws_service}', expected {known}")
        if self.aws_region is not None and self.username is not None:
            raise ConfigError(
                "got CE2DE_OPENSEARCH_AWS_REGION and CE2DE_OPENSEARCH_USERNAME, expected one of them: "
                "a request is either signed or carries a password; unset the other"
            )
        if address.username is not None and (self.username is not None or self.aws_region is not None):
            raise ConfigError(
                "CE2DE_OPENSEARCH_URL: got a user in the address, and CE2DE_OPENSEARCH_USERNAME or "
                "CE2DE_OPENSEARCH_AWS_REGION too, expected one of them; remove the one that is not meant"
            )
        if ":" in (self.username or address.username or ""):
            raise ConfigError("CE2DE_OPENSEARCH_USERNAME: got a name with a ':', expected one without")
        if not 0 < self.timeout_s <= LONGEST_S:
            raise ConfigError(
                f"CE2DE_OPENSEARCH_TIMEOUT_S: got {self.timeout_s}, expected a number above 0, at most "
                f"{LONGEST_S:,}"
            )
        if self.client_key is not None and self.client_cert is None:
            raise ConfigError("got CE2DE_OPENSEARCH_CLIENT_KEY alone; set CE2DE_OPENSEARCH_CLIENT_CERT too")
        if self.client_cert is not None and not self.verify_certs:
            raise ConfigError(
                "CE2DE_OPENSEARCH_VERIFY_CERTS: got false with a client certificate, which opensearch-py "
                "then does not send; name the cluster's CA in CE2DE_OPENSEARCH_CA_CERTS instead"
            )

    @cached_property
    def address(self) -> Address:
        """The parts of ``url``."""
        return opensearch_address("`url` or CE2DE_OPENSEARCH_URL", self.url)

    @property
    def is_encrypted(self) -> bool:
        """Return whether the connection is TLS."""
        return self.address.scheme == "https"

    def client_kwargs(self) -> dict[str, Any]:
        """Return the keyword arguments for ``opensearchpy.OpenSearch``, except AWS's signer."""
        address = self.address
        kwargs: dict[str, Any] = {
            "hosts": [address.place],
            "timeout": self.timeout_s,
            "pool_maxsize": POOL_SIZE,
        }
        if self.username is not None:
            kwargs["http_auth"] = _utf8_pair(self.username, self.password)
        elif address.username is not None:
            kwargs["http_auth"] = _utf8_pair(address.username, address.password)
        if self.is_encrypted:
            kwargs["verify_certs"] = self.verify_certs
            kwargs["ssl_show_warn"] = self.verify_certs
        for name in ("ca_certs", "client_cert", "client_key"):
            if getattr(self, name) is not None:
                kwargs[name] = getattr(self, name)
        return kwargs


@dataclass(frozen=True)
class LocalSettings:
    """The folders of ``ce2de local``, and where it looks for Java.

    ``cache`` holds the downloads, which all of a user's instances share, and the instances' data.
    ``home`` is the folder of the instance; ``None`` means the one of the checkout around the current folder.
    ``java_home`` is tried before all other places; ``None`` means the search starts at ``PATH``.
    ``java_options`` are more options for Java: ``-XX:TieredStopAtLevel=1`` starts in half the CPU time and
    searches more slowly.
    """

    cache: Path = field(default_factory=lambda: _default_cache({}))
    home: Path | None = None
    java_home: Path | None = None
    java_options: tuple[str, ...] = ()

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> LocalSettings:
        """Read ``CE2DE_CACHE``, ``CE2DE_HOME``, ``CE2DE_JAVA_OPTIONS``, ``JAVA_HOME``, ``XDG_CACHE_HOME``."""
        home, java_home = env.get("CE2DE_HOME"), env.get("JAVA_HOME")
        return cls(
            cache=_default_cache(env),
            home=_expanded(home) if home else None,
            java_home=Path(java_home) if java_home else None,
            java_options=tuple(env.get("CE2DE_JAVA_OPTIONS", "").split()),
        )


@dataclass(frozen=True)
class Settings:
    """All settings of the CLI and the workers.

    ``artifact`` is the model folder; ``None`` means the student that comes with the package.
    ``threads`` is the number of cores one encoder uses. ``log_format`` is ``text`` or ``json``.
    """

    opensearch: OpenSearchSettings = OpenSearchSettings()
    broker_url: str = field(default="redis://127.0.0.1:6379/0", repr=False)
    artifact: Path | None = None
    threads: int = 1
    log_format: str = "text"
    local: LocalSettings = field(default_factory=LocalSettings)

    def __post_init__(self) -> None:
        """Refuse what cannot be used, and keep the address of Redis as every library reads it.

        Raises:
            ConfigError: the message does not show the address.
        """
        if not 1 <= self.threads <= MOST_THREADS:
            raise ConfigError(f"CE2DE_THREADS: got '{self.threads}', expected 1 to {MOST_THREADS:,}")
        broker = redis_address(BROKER_SETTING, self.broker_url)
        object.__setattr__(self, "broker_url", broker.url)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read ``CE2DE_*`` from ``environ`` (``None``: this process's environment).

        Raises:
            ConfigError: a variable holds a value of the wrong kind.
        """
        env = os.environ if environ is None else environ
        defaults = OpenSearchSettings()
        opensearch = OpenSearchSettings(
            url=env.get("CE2DE_OPENSEARCH_URL") or defaults.url,
            username=env.get("CE2DE_OPENSEARCH_USERNAME") or None,
            password=env.get("CE2DE_OPENSEARCH_PASSWORD") or None,
            ca_certs=env.get("CE2DE_OPENSEARCH_CA_CERTS") or None,
            client_cert=env.get("CE2DE_OPENSEARCH_CLIENT_CERT") or None,
            client_key=env.get("CE2DE_OPENSEARCH_CLIENT_KEY") or None,
            aws_region=env.get("CE2DE_OPENSEARCH_AWS_REGION") or None,
            aws_service=env.get("CE2DE_OPENSEARCH_AWS_SERVICE") or defaults.aws_service,
            verify_certs=_boolean(env, "CE2DE_OPENSEARCH_VERIFY_CERTS", defaults.verify_certs),
            timeout_s=_number(env, "CE2DE_OPENSEARCH_TIMEOUT_S", defaults.timeout_s),
        )
        artifact = env.get("CE2DE_ARTIFACT")
        return cls(
            opensearch=opensearch,
            broker_url=env.get("CE2DE_BROKER_URL") or cls().broker_url,
            artifact=Path(artifact) if artifact else None,
            threads=_whole_number(env, "CE2DE_THREADS", 1),
            log_format=_choice(env, "CE2DE_LOG_FORMAT", FORMATS),
            local=LocalSettings.from_env(env),
        )

    def environment(self) -> dict[str, str]:
        """Return this process's environment, changed so that a child process reads these settings from it."""
        values = {f"CE2DE_OPENSEARCH_{key.upper()}": value for key, value in asdict(self.opensearch).items()}
        values |= {"CE2DE_BROKER_URL": self.broker_url, "CE2DE_ARTIFACT": self.artifact}
        values |= {"CE2DE_THREADS": self.threads, "CE2DE_LOG_FORMAT": self.log_format}
        inherited = {key: value for key, value in os.environ.items() if key not in values}
        return inherited | {key: str(value) for key, value in values.items() if value is not None}


def _utf8_pair(username: str, password: str | None) -> tuple[str, str]:
    """Return both as the HTTP libraries take them: those write Latin-1, and OpenSearch reads UTF-8."""

    def latin(text: str) -> str:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")

    return latin(username), latin(password or "")


def _default_cache(env: Mapping[str, str]) -> Path:
    """Return the cache folder; root gets one that the account which runs OpenSearch may enter."""
    if env.get("CE2DE_CACHE"):
        return _expanded(env["CE2DE_CACHE"]).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/ce2de")
    return _expanded(env.get("XDG_CACHE_HOME") or "~/.cache").absolute() / "ce2de"


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{path}: this account has no home folder; name one in HOME, or other places in CE2DE_CACHE "
            "and CE2DE_HOME"
        ) from None


def _choice(env: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    """Check that a value is one of ``known``; the first is the default."""
    value = env.get(name, "").strip().lower() or known[0]
    if value not in known:
        raise ConfigError(f"{name}: got '{value}', expected {' or '.join(known)}")
    return value


def _boolean(env: Mapping[str, str], name: str, default: bool) -> bool:
    value = env.get(name, "").strip().lower()
    if not value:
        return default
    if value not in TRUE | FALSE:
        raise ConfigError(f"{name}: got '{value}', expected true or false")
    return value in TRUE


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    value = env.get(name, "").strip()
    if not value:
        return default
    try:
        number = float(value)
    except ValueError:
        raise ConfigError(f"{name}: got '{value}', expected a number") from None
    if not 0 < number < math.inf:
        raise ConfigError(f"{name}: got '{value}', expected a number above 0")
    return number


def _whole_number(env: Mapping[str, str], name: str, default: int) -> int:
    number = _number(env, name, default)
    if number % 1:
        raise ConfigError(f"{name}: got '{number}', expected a whole number above 0")
    return int(number)
