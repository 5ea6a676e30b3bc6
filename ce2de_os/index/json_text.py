"""Write vectors as JSON with numpy; Python's own writer would take most of the time of a document."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ce2de_os import deep_json
from ce2de_os.arrays import Embeddings

_DECIMALS = 6
_MINUS, _SPACE, _POINT, _COMMA, _ZERO = b"- .,0"
_WIDTH = 3 + _DECIMALS + 1  # a sign, a digit, the point, the decimals and a comma
_BELOW = 9.0  # so that a number has one digit before its point, however it is rounded


_STRING_OR_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|/\*.*?\*/|//[^\n]*', re.DOTALL)
_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class JsonText(str):
    """A value that is JSON already; `dumps` inserts it unchanged."""

    __slots__ = ()


def dumps(source: Mapping[str, Any]) -> str:
    """Convert ``source`` to compact JSON; a `JsonText` is only recognized at its top level.

    Letters are written as they are, not as escapes; `encoded` converts the text to bytes.
    """
    ready = {key: value for key, value in source.items() if isinstance(value, JsonText)}
    rest = {key: value for key, value in source.items() if key not in ready} if ready else source
    parts = [_object(rest)[1:-1]] if rest else []
    parts += [f"{_write(key)}:{value}" for key, value in ready.items()]
    return "{" + ",".join(parts) + "}"


def _object(source: Mapping[str, Any]) -> str:
    try:
        return _write(source)
    except RecursionError:
        return deep_json.dumps(source, ensure_ascii=False)


def encoded(text: str) -> bytes:
    """Encode JSON as UTF-8; a lone surrogate, which UTF-8 cannot represent, becomes an escape again."""
    return text.encode("utf-8", "backslashreplace")


def without_comments(text: str) -> str:
    """Return JSON without the comments that OpenSearch takes and keeps in documents."""
    return _STRING_OR_COMMENT.sub(lambda found: found[1] or " ", text)


def fits(embeddings: Embeddings) -> bool:
    """Return whether `six_decimals` can write all of ``(B, D)``: finite numbers between -9 and 9."""
    return not embeddings.size or bool(np.abs(embeddings).max() < _BELOW)  # NaN is not below it either


def six_decimals(embeddings: Embeddings) -> list[JsonText]:
    """Format each row of ``(B, D)`` as a JSON array of numbers with six decimals; see `fits`."""
    scaled = np.rint(embeddings.astype(np.float64) * 10**_DECIMALS).astype(np.int32)
    left = np.abs(scaled)
    digits = np.empty((*embeddings.shape, _WIDTH), dtype=np.uint8)
    digits[..., 0] = np.where(scaled < 0, _MINUS, _SPACE)
    digits[..., 2], digits[..., -1] = _POINT, _COMMA
    for place in range(_WIDTH - 2, 2, -1):
        tens = left // 10
        digits[..., place] = left - 10 * tens + _ZERO
        left = tens
    digits[..., 1] = left + _ZERO
    rows = (row.tobytes().decode("ascii") for row in digits)
    return [JsonText(f"[{row[:-1].replace(' ', '')}]") for row in rows]
