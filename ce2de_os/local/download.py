"""Download the files that a lock names, several at a time, and verify every one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock as ThreadLock
from typing import Any

from ce2de_os.errors import LocalServerError, extra_needed
from ce2de_os.local import zip_member
from ce2de_os.local.lockfile import LockedFile
from ce2de_os.progress import Phase

_PARALLEL = 8
_ATTEMPTS = 3
_TIMEOUT_S = 30
_CHUNK_BYTES = 1 << 18


def download(files: Sequence[LockedFile], folder: Path, progress: Phase) -> None:
    """Download ``files`` into ``folder``; files that are there unchanged are not downloaded again.

    Raises:
        LocalServerError: a file cannot be downloaded, or its checksum is wrong.
        MissingExtraError: jgo is not installed.
    """
    missing = [file for file in files if not is_intact(folder / file.name, file)]
    if not missing:
        return
    (folder / ".partial").mkdir(parents=True, exist_ok=True)
    repository = _Repository(folder, _Meter(sum(file.size_bytes for file in missing), progress))
    # The largest first, so that none is left alone at the end.
    largest_first = sorted(missing, key=lambda file: file.size_bytes, reverse=True)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        try:
            list(pool.map(repository.fetch, largest_first))
        finally:  # after the first error the rest is not begun
            pool.shutdown(cancel_futures=True)


def is_intact(path: Path, file: LockedFile) -> bool:
    """Return whether ``path`` holds exactly ``file``."""
    if not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256


def verify(file: LockedFile, sha256: str) -> None:
    """Compare a download's checksum with the lock.

    Raises:
        LocalServerError: the checksum is wrong.
    """
    if sha256 != file.sha256:
        raise LocalServerError(
            f"{file.name}: got sha256 {sha256}, expected {file.sha256}; the download was cut off or changed, "
            "run 'ce2de local up' again; if the error stays, a proxy changes the files"
        )


class _Meter:
    """Adds up the bytes of all threads."""

    def __init__(self, total_bytes: int, progress: Phase) -> None:
        self._total, self._done, self._progress = total_bytes, 0, progress
        self._lock = ThreadLock()

    def advance(self, size_bytes: int) -> None:
        with self._lock:
            self._done += size_bytes
            # A retry counts its bytes again; the bar must not pass its end.
            self._progress("Downloading OpenSearch", min(self._done, self._total), self._total)


class _Repository:
    """The Maven repository that jgo knows.

    jgo's own download opens two connections for each file, which costs more than the files themselves.
    """

    def __init__(self, folder: Path, meter: _Meter) -> None:
        with extra_needed("local"):
            import requests
            from jgo.maven import MavenContext
        self._folder, self._meter = folder, meter
        self._context: Any = MavenContext(repo_cache=folder)
        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"

    def fetch(self, file: LockedFile) -> None:
        """Download ``file``; it gets its name only after its checksum was verified."""
        url, partial = self._url(file), self._folder / ".partial" / file.name
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                sha256 = self._save(self._content(url, file.member), partial)
                break
            except OSError as error:  # the errors of requests are OSErrors
                if attempt == _ATTEMPTS:
                    raise _unreachable(file, error) from error
                time.sleep(attempt)
        verify(file, sha256)
        partial.replace(self._folder / file.name)

    def _url(self, file: LockedFile) -> str:
        group, artifact, version = file.coordinates.split(":")
        component = self._context.project(group, artifact).at_version(version)
        (repository,) = self._context.remote_repos.values()
        return f"{repository}/{component.path_prefix.as_posix()}/{file.remote_name}"

    def _content(self, url: str, member: str | None) -> Iterator[bytes]:
        if member is not None:
            yield from zip_member.read(self._session, url, member, _TIMEOUT_S)
            return
        with self._session.get(url, stream=True, timeout=_TIMEOUT_S) as response:
            response.raise_for_status()
            yield from response.iter_content(_CHUNK_BYTES)

    def _save(self, content: Iterable[bytes], target: Path) -> str:
        digest = hashlib.sha256()
        with target.open("wb") as stream:
            for chunk in content:
                stream.write(chunk)
                digest.update(chunk)
                self._meter.advance(len(chunk))
        return digest.hexdigest()


def _unreachable(file: LockedFile, error: Exception) -> LocalServerError:
    return LocalServerError(
        f"cannot download {file.name}: {str(error).splitlines()[0]}; check the network (HTTPS_PROXY sets a "
        "proxy), then run 'ce2de local up' again: it resumes where it stopped"
    )
