"""Bearer keys from a file, which may change while the service runs."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from ce2de_os.errors import ConfigError
from ce2de_os.reading import read_text
from ce2de_os.server.watched import Watched

LEAST_CHARS = 16
KEYS_BYTES = 1_000_000


class Keys:
    """Knows which keys are good.

    The file has one key a line; empty lines and those that begin with ``#`` do not count. It is read again
    when it has changed.

    Raises:
        ConfigError: the file cannot be read, others may read it, or it holds no usable key.
    """

    def __init__(self, path: Path) -> None:
        self._digests = Watched("keys", (path,), lambda: _read(path))

    def accept(self, key: str) -> bool:
        """Return whether ``key`` is in the file; takes the same time for any wrong key."""
        found = digest(key)
        return any([hmac.compare_digest(found, known) for known in self._digests.now()])


def digest(key: str) -> bytes:
    """Return what is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def _read(path: Path) -> list[bytes]:
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigError(f"{path}: the keys cannot be read: {error.strerror}") from error
    text = read_text(path, KEYS_BYTES, ConfigError)
    # Kubernetes mounts a secret as root's, for the group of the container's user to read.
    if found.st_mode & (0o037 if found.st_uid == 0 else 0o077):
        raise ConfigError(f"{path}: other users of this machine can read the keys; run: chmod 600 {path}")
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys or any(len(key) < LEAST_CHARS for key in keys):
        raise ConfigError(
            f"{path}: got {len(keys)} keys, expected one a line, each of at least {LEAST_CHARS} "
            "characters; make one with: openssl rand -hex 32"
        )
    return [digest(key) for key in keys]
