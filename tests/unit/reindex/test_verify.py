from __future__ import annotations

import pytest

from ce2de_os.reindex.verify import agreement


@pytest.mark.parametrize(
    ("expected", "found", "share"),
    [
        ({}, {}, 1.0),
        ({}, {"a": 1.0}, 0.0),
        ({"a": 2.0}, {}, 0.0),
        ({"a": 2.0, "b": 1.0}, {"a": 2.0, "b": 1.0}, 2 / 2),
        ({"a": 2.0, "b": 1.0}, {"a": 2.0, "c": 1.005}, 2 / 2),  # b and c tie within 1% for the last place
        ({"a": 2.0, "b": 1.0}, {"a": 2.0, "c": 1.5}, 1 / 2),
        ({"a": 2.0, "b": 1.0, "c": 1.0}, {"a": 2.2, "d": 1.1, "e": 1.1}, 3 / 3),  # b and c tie, d and e too
        ({"a": 2.0, "b": 1.0, "c": 1.0}, {"f": 2.2, "d": 1.1, "e": 1.1}, 2 / 3),
    ],
)
def test_agreement(expected: dict[str, float], found: dict[str, float], share: float) -> None:
    assert agreement(expected, found) == share
