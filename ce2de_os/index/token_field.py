"""Token vectors beside a document's vector: in ``_source`` only, as whole numbers.

The field is an object that OpenSearch neither parses nor indexes (``"enabled": false``): a list of vectors,
one a token. Each number is 127 times the coordinate, rounded, which takes a third of the characters that four
decimals take; a cosine does not mind the scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ce2de_os.arrays import TokenVectors, l2_normalize

TOKENS_SUFFIX = "_tokens"  # after the vector field's name
_SCALE = 127


def to_json(vectors: TokenVectors) -> list[list[int]]:
    """The field's value for the ``(L, T)`` token vectors of one document."""
    rows: list[list[int]] = np.rint(vectors * _SCALE).astype(int).tolist()
    return rows


def from_json(rows: Sequence[Sequence[float]]) -> TokenVectors:
    """The ``(L, T)`` token vectors, each of length 1 again, of a field's value."""
    return l2_normalize(np.array(rows, dtype=np.float32)) if rows else np.zeros((0, 1), dtype=np.float32)
