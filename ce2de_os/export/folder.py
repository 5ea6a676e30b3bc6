"""Write a model folder completely or not at all."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ce2de_os.errors import DataError
from ce2de_os.model.artifact import MANIFEST_FILE


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder next to ``out``; it replaces ``out`` after success.

    Raises:
        DataError: ``out`` is not empty and no model folder, or it cannot be written.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MANIFEST_FILE).exists())):
        raise DataError(f"{out}: exists and is not a model folder; choose another `out`")
    beside = out.absolute().with_name(f".{out.absolute().name}.partial")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        yield beside
        if out.exists():
            shutil.rmtree(out)
        beside.replace(out)
    except OSError as error:
        action = (
            "free some space, there or in TMPDIR" if error.errno == errno.ENOSPC else "choose another `out`"
        )
        raise DataError(f"{out}: cannot be written ({error.strerror or error}); {action}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
