"""Bearer keys from a file, which may change while the service runs."""

from __future__ import annotations

import hashlib
import hmac
import logging
from pathlib import Path

from ce2de_os.errors import ConfigError
from ce2de_os.reading import read_text

logger = logging.getLogger(__name__)

LEAST_CHARS = 16
KEYS_BYTES = 1_000_000


class Keys:
    """Knows which keys are good.

    The file has one key a line; empty lines and those that begin with ``#`` do not count. It is read again
    when it has changed. A changed file that cannot be used is reported in the log, and the keys before it
    stay good.

    Args:
        path: the file.

    Raises:
        ConfigError: the file cannot be read, others may read it, or it holds no usable key.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._stamp()
        self._digests = self._read()

    def accept(self, key: str) -> bool:
        """Return whether ``key`` is in the file; takes the same time for any wrong key."""
        self._refresh()
        digest = _digest(key)
        return any([hmac.compare_digest(digest, known) for known in self._digests])

    def _refresh(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._digests = self._read()
        except ConfigError as error:
            logger.error("%s; the keys before stay good", error, extra={"action": "keys_unreadable"})
        else:
            logger.warning("%d keys read again", len(self._digests), extra={"action": "keys_read"})

    def _stamp(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode

    def _read(self) -> list[bytes]:
        try:
            mode = self._path.stat().st_mode
        except OSError as error:
            raise ConfigError(f"{self._path}: the keys cannot be read: {error.strerror}") from error
        text = read_text(self._path, KEYS_BYTES, ConfigError)
        if mode & 0o077:
            raise ConfigError(
                f"{self._path}: other users of this machine can read the keys; run: chmod 600 {self._path}"
            )
        lines = [line.strip() for line in text.splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys or any(len(key) < LEAST_CHARS for key in keys):
            raise ConfigError(
                f"{self._path}: got {len(keys)} keys, expected one a line, each of at least {LEAST_CHARS} "
                "characters; make one with: openssl rand -hex 32"
            )
        return [_digest(key) for key in keys]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
