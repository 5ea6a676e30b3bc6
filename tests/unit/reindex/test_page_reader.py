from __future__ import annotations

import pytest

from ce2de_os.reindex.slices.page_reader import raised_limit


@pytest.mark.parametrize(
    ("limit", "size", "expected"),
    [(None, 512, None), (1, 1, 2), (8, 8, 16), (8, 3, 8), (256, 256, None)],
)
def test_a_limit_doubles_with_each_page_that_can_be_read(
    limit: int | None, size: int, expected: int | None
) -> None:
    assert raised_limit(limit, size) == expected
