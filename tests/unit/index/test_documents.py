from __future__ import annotations

from typing import Any

import pytest

from ce2de_os.index.documents import document_text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"title": "a", "body": "b"}, "a\nb"),
        ({"body": "b"}, "b"),
        ({}, ""),
        ({"title": None, "body": "  "}, ""),
        ({"title": 42, "body": 1.5}, "42\n1.5"),
        ({"title": ["a", "b", None, 3], "body": []}, "a b 3"),
        ({"title": True, "body": {"deep": "no"}}, ""),
        ({"title": [[["a"], "b"]]}, "a b"),
    ],
)
def test_document_text(source: dict[str, Any], expected: str) -> None:
    assert document_text(source, ("title", "body")) == expected


@pytest.mark.parametrize(
    "source",
    [
        {"meta": {"title": "a"}},
        {"meta.title": "a"},
        {"meta": [{"title": "a"}, {"other": "b"}]},
    ],
)
def test_dotted_paths(source: dict[str, Any]) -> None:
    assert document_text(source, ("meta.title",)) == "a"


def test_fields_keep_the_order_that_was_asked_for() -> None:
    assert document_text({"title": "a", "body": "b"}, ("body", "title")) == "b\na"
