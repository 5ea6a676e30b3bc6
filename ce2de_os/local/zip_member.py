"""Read single files of a zip on a web server by byte ranges, so that the rest is never downloaded."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

_BLOCK_BYTES = 1 << 20  # smallest part that one request reads


def read(session: Any, url: str, member: str, timeout_s: float) -> Iterator[bytes]:  # noqa: ANN401 - requests
    """Yield the content of ``member`` in the zip at ``url``.

    Raises:
        OSError: the server does not answer, knows no ranges, or the zip has no such member.
    """
    ranges = io.BufferedReader(_Ranges(session, url, timeout_s), _BLOCK_BYTES)
    try:
        with zipfile.ZipFile(ranges) as archive, archive.open(member) as content:
            while chunk := content.read(_BLOCK_BYTES):
                yield chunk
    except (KeyError, zipfile.BadZipFile) as error:
        raise OSError(f"{url}: no '{member}' in this zip ({error})") from error


class _Ranges(io.RawIOBase):
    """A file on a web server; each read is a request."""

    def __init__(self, session: Any, url: str, timeout_s: float) -> None:  # noqa: ANN401
        self._session, self._url, self._timeout_s = session, url, timeout_s
        with session.head(url, timeout=timeout_s, allow_redirects=True) as response:
            response.raise_for_status()
            self._size = int(response.headers["Content-Length"])
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        end = min(self._size, self._position + len(buffer))
        if end <= self._position:
            return 0
        wanted = {"Range": f"bytes={self._position}-{end - 1}"}
        with self._session.get(self._url, headers=wanted, timeout=self._timeout_s) as response:
            response.raise_for_status()
            if response.status_code != HTTPStatus.PARTIAL_CONTENT:
                raise OSError(f"{self._url}: the server, or a proxy before it, does not answer byte ranges")
            content = response.content
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)
