from __future__ import annotations

import numpy as np
import pytest

from ce2de_os.export.activations import quantized_range


@pytest.mark.parametrize(
    ("lowest", "highest", "expected"),
    [
        ([-1.0, -1.0], [2.0, 2.0], (-1.0, 2.0)),
        ([0.5, 0.5], [2.0, 2.0], (0.0, 2.0)),  # 0 must be exact: padding and zero activations are 0
        ([-2.0, -2.0], [-1.0, -1.0], (-2.0, 0.0)),
        ([0.0] * 101, [1.0] * 100 + [9.0], (0.0, 1.0)),  # one text in 101 is beyond the 0.99 quantile
    ],
)
def test_quantized_range(lowest: list[float], highest: list[float], expected: tuple[float, float]) -> None:
    assert quantized_range(np.array(lowest), np.array(highest)) == pytest.approx(expected)
