"""Download the files that a lock names, several at a time, and verify every one."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock as ThreadLock
from typing import Any

from ce2de_os.errors import LocalServerError, MissingExtraError
from ce2de_os.local.lockfile import LockedFile

# Called with what is being done, how much of it is done, and the whole; a whole of 0 is unknown.
Progress = Callable[[str, int, int], None]

_PARALLEL = 8
_ATTEMPTS = 3
_TIMEOUT_S = 30
_CHUNK_BYTES = 1 << 20


def download(files: Sequence[LockedFile], folder: Path, progress: Progress) -> None:
    """Bring ``files`` into ``folder``; those that lie there unchanged are not fetched again.

    Raises:
        LocalServerError: a file cannot be had, or is not the one that the lock names.
        MissingExtraError: jgo is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [file for file in files if not is_intact(folder / file.name, file)]
    if not missing:
        return
    meter = _Meter(sum(file.size_bytes for file in missing), progress)
    staging = folder / ".partial"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        context = _maven(staging, meter)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            # The largest first, so that none is left alone at the end.
            largest_first = sorted(missing, key=lambda file: file.size_bytes, reverse=True)
            list(pool.map(lambda file: _fetch(file, folder, context), largest_first))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def is_intact(path: Path, file: LockedFile) -> bool:
    """Whether ``path`` holds exactly ``file``."""
    return path.is_file() and path.stat().st_size == file.size_bytes and _sha256(path) == file.sha256


def verify(path: Path, file: LockedFile) -> None:
    """Check a download.

    Raises:
        LocalServerError: the checksum is another one.
    """
    got = _sha256(path)
    if got != file.sha256:
        raise LocalServerError(
            f"{file.name}: got sha256 {got}, expected {file.sha256}; the download was cut off or altered, "
            "run 'ce2de local up' again; if it stays so, a proxy on the way changes files"
        )


class _Meter:
    """Adds up the bytes of all threads; an instance is the callback that jgo's resolver takes."""

    def __init__(self, total_bytes: int, progress: Progress) -> None:
        self._total, self._done, self._progress = total_bytes, 0, progress
        self._lock = ThreadLock()

    @contextmanager
    def __call__(self, name: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
        yield self._advance

    def _advance(self, size_bytes: int) -> None:
        with self._lock:
            self._done += size_bytes
            self._progress("Downloading OpenSearch", min(self._done, self._total), self._total)


def _maven(cache: Path, meter: _Meter) -> Any:  # noqa: ANN401 - jgo has no types
    try:
        from jgo.maven import MavenContext, PythonResolver
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra("local", error.name) from error
    resolver = PythonResolver(progress_callback=meter)
    return MavenContext(resolver=resolver, repo_cache=cache, timeout=_TIMEOUT_S)


def _fetch(file: LockedFile, folder: Path, context: Any) -> None:  # noqa: ANN401
    fetched = _attempt(file, context)
    verify(fetched, file)
    fetched.chmod(0o644)
    fetched.replace(folder / file.name)


def _attempt(file: LockedFile, context: Any) -> Path:  # noqa: ANN401
    group, artifact, version = file.coordinates.split(":")
    wanted = context.project(group, artifact).at_version(version).artifact(packaging=file.packaging)
    reason = ""
    for _ in range(_ATTEMPTS):
        try:
            path: Path = wanted.resolve()
            return path
        except (OSError, RuntimeError) as error:  # connection errors of requests are OSErrors
            reason = str(error).splitlines()[0]
            wanted.cached_path.unlink(missing_ok=True)
    raise LocalServerError(
        f"cannot download {file.name}: {reason}; check the network (a proxy is set by HTTPS_PROXY), then run "
        "'ce2de local up' again: it goes on where it stopped"
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
