"""Write files completely or not at all."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, TextIO, cast

from ce2de_os.errors import Ce2deError, DataError


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Write a UTF-8 text file next to ``path``, which it replaces at the end; gzip if named ``.gz``.

    An error or Ctrl-C leaves ``path`` as it was. Equal texts give equal bytes: gzip's header has no time.

    Raises:
        DataError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # another process may write it too
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            partial.open("wb") as raw,
            _packed(path, raw) as binary,
            io.TextIOWrapper(binary, encoding="utf-8", newline="\n") as text,
        ):
            yield text
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            partial.unlink()  # is there only after an error


@contextmanager
def saving(path: Path, partial: Path | None = None) -> Iterator[None]:
    """Turn whatever a library makes of a full disk into one error; the block only writes ``path``.

    ``partial`` is a file that is removed then; ``None``: there is none.

    Raises:
        DataError: it cannot be written; numpy, PyTorch and safetensors each raise something else.
    """
    try:
        yield
    except Ce2deError:
        raise
    except Exception as error:
        if partial is not None:
            with suppress(OSError):
                partial.unlink()
        reason = (getattr(error, "strerror", None) or str(error)).partition("\n")[0]
        raise DataError(
            f"{path}: cannot be written ({reason}); free some space, then run the same command again"
        ) from error


@contextmanager
def _packed(path: Path, raw: BinaryIO) -> Iterator[IO[bytes]]:
    if path.suffix != ".gz":
        yield raw
        return
    with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
        yield cast("IO[bytes]", packed)
