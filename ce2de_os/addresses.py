"""Addresses of servers as URLs, read once; no message shows the value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote

from ce2de_os.errors import ConfigError
from ce2de_os.redaction import remember

OPENSEARCH_SCHEMES = ("http", "https")
REDIS_SCHEMES = ("redis", "rediss", "redis+socket")

_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?\]")
# Parameter of a Redis address, as Celery knows them: pattern of its value.
_REDIS_PARAMETERS: Mapping[str, str] = {
    "ssl_cert_reqs": "CERT_REQUIRED|CERT_OPTIONAL|CERT_NONE|required|optional|none",
    "ssl_ca_certs": ".+",
    "ssl_certfile": ".+",
    "ssl_keyfile": ".+",
    "ssl_check_hostname": "true|false",
    "virtual_host": r"\d{1,6}",
}
_MAX_PORT = 65_535


@dataclass(frozen=True)
class Address:
    """The parts of a URL; credentials are decoded, and ``None`` where there are none.

    ``place`` is the URL without its credentials, ``url`` the same with them, encoded as every library reads
    them.
    """

    scheme: str
    place: str
    hostname: str
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    url: str = field(default="", repr=False)


def opensearch_address(name: str, url: str) -> Address:
    """Read the address of a cluster; ``name`` is the setting that holds it.

    Raises:
        ConfigError: it is no such address; the message does not show it.
    """
    rest = _after_scheme(name, url, OPENSEARCH_SCHEMES, "http://127.0.0.1:9200")
    if re.search(r"[?#]", rest):
        raise ConfigError(f"{name}: got a '?' or '#', expected an address without them; {_ENCODE}")
    return _address(name, url, rest)


def redis_address(name: str, url: str) -> Address:
    """Read the address of Redis, like `opensearch_address`."""
    rest = _after_scheme(name, url, REDIS_SCHEMES, "redis://127.0.0.1:6379/0")
    if "#" in rest:
        raise ConfigError(f"{name}: got a '#', expected an address without it; {_ENCODE}")
    found = _address(name, url, rest)
    if found.username and not found.password:
        raise ConfigError(f"{name}: got a user without a password, expected redis://USER:PASSWORD@host/0")
    path = found.place.partition("://")[2].partition("?")[0].partition("/")[2]
    if found.scheme == "redis+socket":
        if found.hostname or not path:
            raise ConfigError(f"{name}: expected the whole path of a socket: redis+socket:///path/of/socket")
    elif not re.fullmatch(r"\d{0,6}", path):
        raise ConfigError(f"{name}: expected the number of a database after the host, as in redis://host/0")
    _check_parameters(name, found)
    return found


_ENCODE = (
    "write such characters in a name or password as %-codes ('@' %40, '/' %2F, '#' %23, '?' %3F, '%' %25), "
    "or use CE2DE_OPENSEARCH_USERNAME and CE2DE_OPENSEARCH_PASSWORD for the cluster's"
)


def _after_scheme(name: str, url: str, schemes: tuple[str, ...], example: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in schemes:
        raise ConfigError(
            f"{name}: expected an address that begins with {' or '.join(f'{each}://' for each in schemes)}, "
            f"as {example}"
        )
    if not url.isprintable() or " " in url or "\\" in url:
        raise ConfigError(
            f"{name}: got a blank, a backslash or a control character in the address; {_ENCODE}"
        )
    return rest


def _address(name: str, url: str, rest: str) -> Address:
    scheme = url.partition("://")[0].lower()
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    tail = rest[len(authority) :]
    if "@" in tail:
        raise ConfigError(f"{name}: got an '@' behind the first '/' or '?'; {_ENCODE}")
    credentials, at, server = authority.rpartition("@")
    hostname = _hostname(name, scheme, server)
    place = f"{scheme}://{server}{tail}"
    if not at:
        return Address(scheme, place, hostname, url=place)
    user, colon, password = credentials.partition(":")
    remember(password or None, unquote(password) or None, None if colon else unquote(user))
    encoded = ":".join(quote(unquote(part), safe="") for part in ((user, password) if colon else (user,)))
    return Address(
        scheme, place, hostname, unquote(user), unquote(password), f"{scheme}://{encoded}@{server}{tail}"
    )


def _hostname(name: str, scheme: str, server: str) -> str:
    """Return the host of ``host:port``; both may be left out of Redis's."""
    found = re.fullmatch(rf"(?P<host>{_HOST.pattern})?(:(?P<port>\d*))?", server)
    if found is None:
        raise ConfigError(
            f"{name}: expected host:port with letters, digits, '.', '-' and '_', or an IPv6 address in "
            f"brackets; {_ENCODE}"
        )
    host, port = found["host"] or "", found["port"]
    if not host and scheme in OPENSEARCH_SCHEMES:
        raise ConfigError(f"{name}: names no host; expected {scheme}://host:port")
    if port and not 1 <= int(port[:6]) <= _MAX_PORT:
        raise ConfigError(f"{name}: expected a port between 1 and {_MAX_PORT}")
    return host.strip("[]").lower()


def _check_parameters(name: str, found: Address) -> None:
    query = found.place.partition("?")[2]
    pairs = parse_qsl(query, keep_blank_values=True)
    remember(*(value for _, value in pairs if "/" not in value))
    for key, value in pairs:
        pattern = _REDIS_PARAMETERS.get(key)
        if pattern is None or not re.fullmatch(pattern, value):
            raise ConfigError(
                f"{name}: got a parameter behind '?' that is unknown or has a wrong value, expected some of "
                f"{', '.join(_REDIS_PARAMETERS)}; a password belongs before the host: redis://:PASSWORD@host/0"
            )
