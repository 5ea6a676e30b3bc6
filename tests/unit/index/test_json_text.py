from __future__ import annotations

import json

from ce2de_os.index.json_text import JsonText, dumps, encoded


def test_letters_are_sent_as_they_are() -> None:
    source = {"text": "Достоевский — 東京 😀", "ключ": JsonText("[1]")}
    sent = encoded(dumps(source))
    assert json.loads(sent) == {**source, "ключ": [1]}
    assert len(sent) < len(json.dumps(source))
    assert "Достоевский".encode() in sent


def test_a_lone_surrogate_is_sent_as_the_escape_that_it_came_as() -> None:
    came = r'{"text":"half \ud800 a pair, ends with \udc00"}'
    sent = encoded(dumps(json.loads(came)))
    assert json.loads(sent) == json.loads(came)
    assert rb"\ud800" in sent


def test_control_characters_and_line_ends_stay_within_their_line() -> None:
    sent = encoded(dumps({"text": 'a\nb\u2028c\x00"\\'}))
    assert b"\n" not in sent
    assert json.loads(sent) == {"text": 'a\nb\u2028c\x00"\\'}
