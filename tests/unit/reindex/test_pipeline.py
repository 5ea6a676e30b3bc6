from __future__ import annotations

import json

import numpy as np
import pytest

from ce2de_os.reindex.pipeline import (
    FIRST_PAGE,
    LARGEST_PAGE,
    PAGE_BYTES,
    PAGE_S,
    next_page_size,
    vector_values,
)


@pytest.mark.parametrize(
    ("texts", "encode_s", "expected"),
    [
        ([], 0.0, FIRST_PAGE),
        (["a"] * 64, PAGE_S, 64),
        (["a"] * 64, 2 * PAGE_S, 32),
        (["a"] * 64, 0.0, LARGEST_PAGE),
        (["a"], 100 * PAGE_S, 1),
        (["a" * PAGE_BYTES] * 64, 0.1, 1),
    ],
)
def test_next_page_size(texts: list[str], encode_s: float, expected: int) -> None:
    assert next_page_size(texts, encode_s) == expected


def test_vectors_travel_in_six_decimals() -> None:
    vector = np.array([[1 / 3, -2 / 3]], dtype=np.float32)
    assert json.dumps(vector_values(vector)) == "[[0.333333, -0.666667]]"
