"""Which values of a document count as equal when a copy is verified."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ce2de_os.reindex.verify.exact import same


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("1.10", "1.1", True),
        ("1E400", '"Infinity"', True),
        ("-1E400", '"-Infinity"', True),
        ("123456789012345678901234", "1.2345678901234568E23", True),
        ("1" * 400, '"x"', False),
        ("5", '"5"', False),
        ("1", "true", False),
        ("0", "false", False),
        ('{"a":1,"b":2}', '{"b":2,"a":1.0}', True),
        ('{"a":null}', "{}", False),
        ("[1,[2]]", "[1,[3]]", False),
        ("[1]", "[1,2]", False),
        ("[]", "{}", False),
        ('""', "null", False),
    ],
)
def test_numbers_are_compared_as_doubles_and_all_else_as_it_is(one: str, other: str, equal: bool) -> None:
    assert same(json.loads(one), json.loads(other)) is equal
    assert same(json.loads(other), json.loads(one)) is equal


def test_a_document_may_be_deeper_than_calls() -> None:
    def deep(leaf: int) -> Any:
        value: Any = leaf
        for _ in range(100_000):
            value = [value]
        return value

    assert same(deep(1), deep(1))
    assert not same(deep(1), deep(2))
