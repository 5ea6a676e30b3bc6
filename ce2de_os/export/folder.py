"""Write a model folder completely or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ce2de_os.errors import DataError
from ce2de_os.model.manifest import HASHED_FILES, MANIFEST_FILE, MODEL_FILE
from ce2de_os.reading import read_object


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder next to ``out``; it replaces ``out`` after success.

    Raises:
        DataError: ``out`` holds anything but a model folder's files, or the disk is full or refuses.
    """
    _check_replaceable(out)
    place = Path(os.path.realpath(out))
    beside = former = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # Names that nothing has: another process may write the same folder.
        beside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".partial", dir=place.parent))
        beside.chmod(0o777 & ~_umask())
        yield beside
        _check_replaceable(out)  # once more: an export takes minutes
        if place.exists() and any(place.iterdir()):
            former = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".former", dir=place.parent))
            place.replace(former)
        beside.replace(place)
    except OSError as error:
        action = (
            "free some space, there or in TMPDIR" if error.errno == errno.ENOSPC else "choose another `out`"
        )
        raise DataError(f"{out}: cannot be written ({error.strerror or error}); {action}") from error
    finally:
        if former is not None and not place.exists():  # the new one did not take its place
            former.replace(place)
        for folder in (beside, former):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


def _check_replaceable(out: Path) -> None:
    """Refuse what is neither empty nor a model folder with nothing else in it.

    Raises:
        DataError: it would be lost.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir():
        raise DataError(f"{out}: exists and is not a folder; choose another `out`")
    names = {path.name for path in out.iterdir()}
    if not names:
        return
    if MANIFEST_FILE not in names or not _is_manifest(out / MANIFEST_FILE):
        raise DataError(f"{out}: exists and is not a model folder; choose another `out`")
    others = sorted(names - {MANIFEST_FILE, *HASHED_FILES})
    if others:
        raise DataError(
            f"{out}: holds other files than a model's, '{others[0]}' for one, which would be lost; "
            "choose another `out`, or move them"
        )


def _is_manifest(path: Path) -> bool:
    try:
        found = read_object(path)
    except DataError:
        return False
    files = found.get("files")
    return "format" in found and "fingerprint" in found and isinstance(files, dict) and MODEL_FILE in files


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
