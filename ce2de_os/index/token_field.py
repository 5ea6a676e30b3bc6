"""Store token vectors: one byte per number, in a binary field that no query searches.

A coordinate times 127, rounded, is a signed byte; the cosine does not depend on the scale. In ``_source``
they are one base64 string and as doc values in a column of their own: as lists of numbers, which must be
parsed, they would slow down even searches that do not use them.
"""

from __future__ import annotations

import base64

import numpy as np

from ce2de_os.arrays import TokenVectors, l2_normalize

TOKENS_SUFFIX = "_tokens"  # after the vector field's name

_SCALE = 127


def to_json(vectors: TokenVectors) -> str:
    """Encode the ``(L, T)`` token vectors of one document as the field's value."""
    return base64.b64encode(np.rint(vectors * _SCALE).astype(np.int8).tobytes()).decode()


def from_json(value: str, token_dim: int) -> TokenVectors:
    """Decode a field's value to ``(L, token_dim)`` token vectors, scaled to length 1 again."""
    numbers = np.frombuffer(base64.b64decode(value), dtype=np.int8)
    return l2_normalize(numbers.reshape(-1, token_dim).astype(np.float32))
