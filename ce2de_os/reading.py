"""Reading what others wrote: only plain files, only up to a size, and only what their format allows."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

from ce2de_os.errors import Ce2deError, DataError

SETTINGS_BYTES = 16_000_000
"""Most bytes of a file that holds settings or facts, not data."""

RUN_BYTES = 1_000_000_000
"""Most bytes of a file with texts or measurements of a training run."""

_NOT_PLAIN = "not a plain file; expected a file, not a folder, pipe, socket or device"


def readable(text: str) -> str:
    """Replace lone surrogates by question marks: tokenizers and UTF-8 files take only valid Unicode."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


@contextmanager
def plain_file(path: Path, error: type[Ce2deError] = DataError) -> Iterator[BufferedReader]:
    """Open a plain file for reading bytes.

    Raises:
        error: it is missing, or no plain file: a folder, a pipe, a socket or a device. What goes wrong with
            an open file is not caught.
    """
    try:
        # Without O_NONBLOCK the opening of a pipe waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as failure:
        odd = failure.errno in (errno.ENXIO, errno.ENODEV)
        raise error(f"{path}: {_NOT_PLAIN if odd else failure.strerror}") from failure
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise error(f"{path}: {_NOT_PLAIN}")
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        yield file


def check_plain(path: Path, error: type[Ce2deError] = DataError) -> None:
    """Check a file that a library opens; raises like `plain_file`."""
    with plain_file(path, error):
        pass


def read_bytes(path: Path, limit: int, error: type[Ce2deError] = DataError) -> bytes:
    """Read a plain file of at most ``limit`` bytes.

    Raises:
        error: it is missing, larger, or no plain file (a folder, a pipe, a device).
    """
    with plain_file(path, error) as file:
        try:
            content = file.read(limit + 1)
        except OSError as failure:
            raise error(f"{path}: {failure.strerror}") from failure
    if len(content) > limit:
        raise error(f"{path}: larger than {limit / 1e6:,.0f} MB, expected less; it cannot be such a file")
    return content


def read_text(path: Path, limit: int = SETTINGS_BYTES, error: type[Ce2deError] = DataError) -> str:
    """Read a UTF-8 text, with a byte-order mark or not; raises like `read_bytes`, and for other encodings."""
    try:
        return read_bytes(path, limit, error).decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        raise error(f"{path}: not UTF-8 text (byte {failure.start:,}); save it as UTF-8") from failure


def parse_json(text: str, place: str, error: type[Ce2deError] = DataError) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON as its standard has it: no NaN, no infinity.

    Raises:
        error: it is no JSON, too deeply nested, or holds a number that is too long; ``place`` comes first.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise error(f"{place}: JSON that is nested too deeply") from None
    except ValueError as failure:
        raise error(f"{place}: not JSON: {str(failure).partition(';')[0]}") from failure


def read_json(path: Path, limit: int = SETTINGS_BYTES, error: type[Ce2deError] = DataError) -> Any:  # noqa: ANN401 - any JSON
    """Read a JSON file; raises like `read_text` and `parse_json`."""
    return parse_json(read_text(path, limit, error), str(path), error)


def read_object(
    path: Path, limit: int = SETTINGS_BYTES, error: type[Ce2deError] = DataError
) -> dict[str, Any]:
    """Read a JSON file that holds an object; raises like `read_json`, and if it holds anything else."""
    found = read_json(path, limit, error)
    if not isinstance(found, dict):
        raise error(f"{path}: got a JSON {type(found).__name__}, expected an object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
