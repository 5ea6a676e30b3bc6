"""Unexpected errors: those that a worker survives, and their reports."""

from __future__ import annotations

import re
import traceback

_CHARS = 300
# After these words everything is a value of a document.
_TAIL = re.compile(
    r"(Preview of field's value:|For input string:|date field|boolean field|number:|immense term is:) .*"
)
# Text in brackets or quotes, up to the last sign that may close it: a value can hold such signs.
# The name of a library in brackets is no value.
_QUOTED = re.compile(
    r"(?P<before>[\w-]*[ =]?)(\[(?!ONNXRuntimeError\]).*?\]|'.*?'|\".*?\")|(?<=value )\(.*\)"
)
_NAMES = frozenset(
    {"field", "fields", "type", "mapper", "mapping", "for", "of", "within", "format", "index", "id"}
)
"""Words before the name of a field, a type, an index or a document, which are no secret."""
_PANIC = "pyo3_runtime"  # where tokenizers' PanicException, which is no Exception, comes from


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
    text = _TAIL.sub(r"\1 …", text)
    for found in _QUOTED.finditer(text):
        word = (found["before"] or "").rstrip(" =")
        if word not in _NAMES:
            closing = max(text.rfind(sign, found.start()) for sign in "]'\")")
            return f"{text[: found.start()]}{found['before'] or ''}…{text[closing + 1 :]}"
    return text


def error_location(error: BaseException) -> str:
    """Return the file and line that raised an error: unlike its message, they quote no document."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    file = re.sub(r".*/(site-packages|ce2de_os)/", r"\1/", frames[-1].filename)
    return f"{file}:{frames[-1].lineno}"
