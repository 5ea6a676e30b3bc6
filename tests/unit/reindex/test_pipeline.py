from __future__ import annotations

import pytest

from ce2de_os.reindex.slices.pipeline import (
    LARGEST_PAGE,
    PAGE_BYTES,
    PAGE_S,
    next_page_size,
)


@pytest.mark.parametrize(
    ("documents", "chars", "encode_s", "expected"),
    [
        (64, 64, PAGE_S, 64),
        (64, 64, 2 * PAGE_S, 32),
        (64, 64, 0.0, LARGEST_PAGE),
        (1, 1, 100 * PAGE_S, 1),
        (64, 64 * PAGE_BYTES, 0.1, 1),
    ],
)
def test_next_page_size(documents: int, chars: int, encode_s: float, expected: int) -> None:
    assert next_page_size(documents, chars, encode_s) == expected
