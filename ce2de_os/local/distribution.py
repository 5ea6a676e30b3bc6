"""Assemble an OpenSearch from downloaded files: ``lib/``, ``modules/``, ``plugins/``."""

from __future__ import annotations

import fcntl
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ce2de_os.errors import LocalServerError
from ce2de_os.local.download import download
from ce2de_os.local.lockfile import Lock, LockedFile, Module
from ce2de_os.local.process import check_owned, make_folder
from ce2de_os.progress import Phase

# 2.x refuses a module without a policy. The server is a test server of its own user on the loopback
# device; that user's rights limit it.
_POLICY = "grant {\n  permission java.security.AllPermission;\n};\n"


def provide(lock: Lock, cache: Path, progress: Phase) -> Path:
    """Return the folder with ``lock``'s OpenSearch; download, verify and assemble it if it is missing.

    All instances of a user share it and never write to it.

    Raises:
        LocalServerError: a file cannot be downloaded, or its checksum is wrong.
        MissingExtraError: jgo is not installed.
    """
    target = cache / "opensearch" / f"{lock.version}-{lock.fingerprint}"
    with exclusive(cache / "downloads.lock"):
        if not target.is_dir():
            download(lock.files, cache / "downloads", progress)
            _assemble(lock, cache / "downloads", target)
    return target


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``; a second process waits here until the first is done.

    Raises:
        LocalServerError: files below could not be written, here or in the body.
    """
    try:
        make_folder(path.parent)
        check_owned(path.parent)
        with path.open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise LocalServerError(
            f"{error.filename or path.parent}: {error.strerror or error}; make it writable, or choose "
            "another place in `home` or CE2DE_CACHE"
        ) from error


def _assemble(lock: Lock, downloads: Path, target: Path) -> None:
    """Build next to ``target`` and rename, so that a folder that exists is complete."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    make_folder(partial / "bin")  # stays empty, but OpenSearch makes it if it is missing
    for file in lock.files:
        _place(file, downloads, partial / file.folder)
    for module in lock.modules:
        _describe(module, lock, partial / "modules" / module.name)
    _open_to_readers(partial)
    partial.rename(target)


def _place(file: LockedFile, downloads: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    source = downloads / file.name
    if file.packaging == "zip" and file.member is None:
        with zipfile.ZipFile(source) as archive:
            archive.extractall(folder)
        return
    placed = folder / (file.member or file.name)
    try:
        os.link(source, placed)
    except OSError:  # a file system without hard links
        shutil.copy2(source, placed)


def _describe(module: Module, lock: Lock, folder: Path) -> None:
    """Write the files that the published jar of a module lacks."""
    lines = [
        f"name={module.name}",
        f"description={module.name}",
        f"version={lock.version}",
        f"opensearch.version={lock.version}",
        f"java.version={lock.java[0]}",
        f"classname={module.classname}",
        f"extended.plugins={','.join(module.extends)}",
        "has.native.controller=false",
    ]
    (folder / "plugin-descriptor.properties").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if lock.version.startswith("2."):
        (folder / "plugin-security.policy").write_text(_POLICY, encoding="utf-8")


def _open_to_readers(folder: Path) -> None:
    """Let the account that runs OpenSearch read the files, whatever root's umask is."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
