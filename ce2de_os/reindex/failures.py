"""Unexpected errors: those that a worker survives, and their reports."""

from __future__ import annotations

import re
import traceback

_CHARS = 300
_QUOTED = re.compile(r"(Preview of field's value:|For input string:|date field|boolean field|number:) .*")
_PANIC = "pyo3_runtime"  # the module of tokenizers' PanicException, which is no Exception


def is_failure(error: BaseException) -> bool:
    """Return whether a worker continues after this error; not after ``KeyboardInterrupt``, ``SystemExit``."""
    return isinstance(error, Exception) or type(error).__module__ == _PANIC


def error_line(error: BaseException) -> str:
    """Return an error as one line for the ledger: its type and the first line of its message."""
    lines = str(error).strip().splitlines()
    name = type(error).__name__
    return redacted(f"{name}: {lines[0][:_CHARS]}") if lines else name


def redacted(text: str) -> str:
    """Return OpenSearch's message about a document without the values that it quotes from it."""
    return _QUOTED.sub(r"\1 …", text)


def error_location(error: BaseException) -> str:
    """Return the file and line that raised an error: unlike its message, they quote no document."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    file = re.sub(r".*/(site-packages|ce2de_os)/", r"\1/", frames[-1].filename)
    return f"{file}:{frames[-1].lineno}"
