from __future__ import annotations

import numpy as np
import pytest

from ce2de_os.arrays import cosine, l2_normalize, pad_ids, token_batches


def test_l2_normalize_divides_by_length_and_keeps_zero() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(l2_normalize(rows), [[3 / 5, 4 / 5], [0, 0]], rtol=1e-6)


def test_cosine_is_row_wise() -> None:
    left = np.array([[1.0, 0.0], [1.0, 1.0]], dtype=np.float32)
    right = np.array([[0.0, 2.0], [2.0, 2.0]], dtype=np.float32)
    np.testing.assert_allclose(cosine(left, right), [0.0, 1.0], atol=1e-6)


@pytest.mark.parametrize(
    ("lengths", "max_tokens", "expected"),
    [
        ([], 10, []),
        ([5], 1, [[0]]),  # a text longer than the budget still gets its batch
        ([1, 3, 2], 6, [[1, 2], [0]]),  # 3 + 2 padded to 3 = 6; the third would make 9
        ([2, 2, 2], 4, [[0, 1], [2]]),
    ],
)
def test_token_batches(lengths: list[int], max_tokens: int, expected: list[list[int]]) -> None:
    assert list(token_batches(lengths, max_tokens)) == expected


def test_token_batches_keep_every_text_once_within_the_budget() -> None:
    lengths = [int(length) for length in np.random.default_rng(0).integers(1, 300, size=500)]
    batches = list(token_batches(lengths, 1000))
    assert sorted(position for batch in batches for position in batch) == list(range(500))
    assert all(len(batch) * max(lengths[position] for position in batch) <= 1000 for batch in batches)


@pytest.mark.parametrize(("step", "length"), [(1, 3), (3, 3), (8, 8)])
def test_pad_ids(step: int, length: int) -> None:
    ids, mask = pad_ids([[7, 8, 9], [5]], step)
    assert ids.shape == mask.shape == (2, length)
    assert ids[:, :3].tolist() == [[7, 8, 9], [5, 0, 0]]
    assert mask.sum(axis=1).tolist() == [3, 1]
