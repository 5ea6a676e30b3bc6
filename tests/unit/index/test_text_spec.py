from __future__ import annotations

from typing import Any

import pytest

from ce2de_os.errors import ConfigError
from ce2de_os.index.text_spec import TextSpec, text_spec

DOCUMENT = {"title": "Waves", "author": [{"name": "Ann"}, {"name": "Ben"}], "year": 1999}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (TextSpec(("title", "year")), "Waves\n1999"),
        (TextSpec(("title", "author.name"), "{title}, by {author.name}."), "Waves, by Ann\nBen."),
        (TextSpec(("title", "missing"), "{title}: {missing}"), "Waves: "),
        (TextSpec(("missing",), "nothing of {missing}"), ""),
    ],
)
def test_text_of_a_document(spec: TextSpec, text: str) -> None:
    assert spec.text_of(DOCUMENT) == text


def test_the_hash_tells_text_model_and_passages_apart() -> None:
    spec = TextSpec(("title",))
    hashes = {
        spec.hash_of("a", "f"), spec.hash_of("b", "f"), spec.hash_of("a", "g"),
        TextSpec(("title",), passages=(10, 5)).hash_of("a", "f"),
    }  # fmt: skip
    assert len(hashes) == 4
    assert spec.hash_of("half \ud800 a pair", "f") == TextSpec(("body",)).hash_of("half \ud800 a pair", "f")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("title, body",), TextSpec(("title", "body"))),
        ((None, "{a.b} and {c}; {a.b}"), TextSpec(("a.b", "c"), "{a.b} and {c}; {a.b}")),
        (("title", None, "180:90"), TextSpec(("title",), None, (180, 90))),
    ],
)
def test_what_the_command_line_says(given: tuple[Any, ...], expected: TextSpec) -> None:
    assert text_spec(*given) == expected


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((None,), "`text_fields=title,body` or `template="),
        ((" , ",), "`text_fields=title,body` or `template="),
        (("title", "{title}"), "no `text_fields`"),
        ((None, "no fields"), "expected fields in braces"),
        (("title", None, "90"), "expected LENGTH:STRIDE"),
        (("title", None, "90:180"), "the stride at most the length"),
        (("title", None, "90:0"), "expected LENGTH:STRIDE"),
    ],
)
def test_what_cannot_be_meant(given: tuple[Any, ...], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        text_spec(*given)
