"""Odd but valid documents, made at random from a seed, each as the text in which it is sent."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

MAPPINGS: dict[str, Any] = {
    "properties": {
        "title": {"type": "text"},
        "body": {"type": "text"},
        "code": {"type": "keyword", "ignore_above": 8191},
        "count": {"type": "long"},
        "weight": {"type": "double"},
        "lenient": {"type": "integer", "ignore_malformed": True},
        "when": {"type": "date"},
        "flag": {"type": "boolean"},
        "place": {"type": "geo_point"},
        "address": {"type": "ip"},
        "range": {"type": "integer_range"},
        "inner": {
            "properties": {"text": {"type": "text"}, "deep": {"properties": {"text": {"type": "text"}}}}
        },
        "parts": {"type": "nested", "properties": {"text": {"type": "text"}, "n": {"type": "integer"}}},
        "flat": {"type": "flat_object"},
        "bytes": {"type": "binary"},
        "any": {"type": "object", "enabled": False},
    }
}
FIELDS = ("title", "body", "inner.text", "inner.deep.text", "parts.text")

_ODD_TEXTS = (
    "", " ", "\t\n\r", "\x00", "a\x00b", "\x7f\x85", "\u2028\u2029", "\ufeff", "\ufffd\uffff", "\ud800", "x\udfffy",
    "\u202eright to left\u202c", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629", "\u05e2\u05d1\u05e8\u05d9\u05ea",
    "e\u0301" * 3, "Z" + "\u0335\u0321" * 40, "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0010ffff",
    "\u4e2d\u6587", "\u0e20\u0e32\u0e29\u0e32", "\\", '"', '"_source":', '\\"_source\\":{', "null", "{}", "a\\u0041",
    "</script>", "'; DROP", "%s %d", "${x}", "../..", "\u00df\u0130\u0131", "1E400", "NaN", "true",
)  # fmt: skip
_NUMBERS = (
    "0", "-0", "-0.0", "1.10", "1E5", "1e-7", "1E400", "-1E400", "1e-400", "123456789012345678901234", "0.1000000000000000055",
    "12345678901234567890.12345", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "9007199254740993",
    "4.9e-324", "1.7976931348623157e308", "3.4028236e38", "100000000000000000000000000000000.0", "0.00", "1.0",
    "1" * 300, "0." + "3" * 300,
)  # fmt: skip
_ODD_KEYS = ("", " ", "a.b", "a..b", ".a", "a.", "a b", "_source", "_id", "ce2de", "A", "\u00e4", "\U0001f600", '"', "\\", "\x00", "\t")  # fmt: skip
_DATES = ('"2026-01-31"', '"2026-02-30"', "0", "1767225600000", "-1", '"2026-01-31T25:00:00Z"', '"yesterday"', "1.5", '""', "null")  # fmt: skip
_PLACES = ('{"lat":48.1,"lon":11.5}', "[11.5,48.1]", '"48.1,11.5"', '"u281z"', '{"lat":480,"lon":11}', "null", '"POINT (11 48)"', "{}")  # fmt: skip


class OddDocument(NamedTuple):
    """A document: its id, its routing (``None``: none of its own) and the JSON that is sent."""

    doc_id: str
    routing: str | None
    source: str


def odd_documents(count: int, seed: int) -> Iterator[OddDocument]:
    """Yield ``count`` documents; equal ``seed``, equal documents."""
    chance = random.Random(seed)
    for number in range(count):
        routing = chance.choice([None, None, "r", "\u00e4\U0001f600", "a,b", "r" * 200, str(number % 5)])
        yield OddDocument(_doc_id(chance, number), routing, _Writer(chance).document())


def _doc_id(chance: random.Random, number: int) -> str:
    long = 512 - len(str(number)) - 1
    kinds: list[Callable[[], str]] = [
        lambda: str(number),
        lambda: f"{number}-{'x' * (long - 1)}",
        lambda: f"{number}-{'ä' * (long // 2)}"[: long // 2],
        lambda: f"{number}{chance.choice(_ODD_TEXTS)}".encode("utf-8", "replace").decode(),
        lambda: f"{number}/%2F ?#&=+",
        lambda: f"same-{number % 7}",  # several times, under other routings
    ]
    return chance.choice(kinds)()


class _Writer:
    """Writes one document; the ways to write a string, a number and space are chosen anew each time."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def document(self) -> str:
        values: dict[str, Callable[[], str]] = {
            "title": self._text_value,
            "body": self._text_value,
            "code": lambda: self._any_of(
                self._string, self._number, lambda: self._list(self._string), lambda: "null"
            ),
            "count": lambda: self._any_of(
                self._number, self._string, lambda: "7", lambda: '"8"', lambda: "2.9"
            ),
            "weight": lambda: self._any_of(self._number, lambda: "1.10", lambda: '"2.50"', lambda: '"NaN"'),
            "lenient": lambda: self._any_of(self._number, self._string, self._anything),
            "when": lambda: self._chance.choice(_DATES),
            "flag": lambda: self._chance.choice(["true", "false", '"true"', '""', "1", "null", '"yes"']),
            "place": lambda: self._chance.choice(_PLACES),
            "address": lambda: self._chance.choice(['"::1"', '"10.0.0.1"', '"300.1.1.1"', "null"]),
            "range": lambda: self._chance.choice(['{"gte":1,"lt":9}', '{"gte":9,"lt":1}', "null", "5"]),
            "inner": self._inner,
            "parts": lambda: self._any_of(lambda: self._list(self._part), self._part, lambda: "[]"),
            "flat": lambda: self._any_of(lambda: self._object(3), lambda: "{}", lambda: "null", self._number),
            "bytes": lambda: self._chance.choice(['"AB+/"', '""', "null", '"not base 64"']),
            "any": self._anything,
        }
        names = self._chance.sample(sorted(values), self._chance.randint(0, 4))
        pairs = [self._pair(self._quoted(name), values[name]()) for name in names]
        if self._chance.random() < 0.05:
            pairs.append(self._chance.choice(pairs or ['"title":"twice","title":"twice"']))  # a key twice
        if self._chance.random() < 0.1:
            pairs.append(self._pair(self._quoted(self._chance.choice(_ODD_KEYS)), self._value(2)))
        if self._chance.random() < 0.1:
            pairs.append(self._pair('"inner.deep.text"', self._text_value()))
        return self._space() + "{" + ",".join(pairs) + "}" + self._space()

    def _any_of(self, *ways: Callable[[], str]) -> str:
        return self._chance.choice(ways)()

    def _pair(self, key: str, value: str) -> str:
        return f"{self._space()}{key}{self._space()}:{self._space()}{value}{self._space()}"

    def _space(self) -> str:
        return self._chance.choice(["", "", "", " ", "\t", "\r", "  "])

    def _quoted(self, text: str) -> str:
        way = self._chance.random()
        if way < 0.1:
            return '"' + "".join(f"\\u{unit:04x}" for unit in _utf16(text)) + '"'
        if way < 0.2:
            return json.dumps(text).replace("/", "\\/")
        letters = json.dumps(text, ensure_ascii=False)
        return "".join(f"\\u{ord(one):04x}" if "\ud800" <= one <= "\udfff" else one for one in letters)

    def _string(self) -> str:
        text = self._chance.choice(_ODD_TEXTS)
        if self._chance.random() < 0.02:
            text = (text or "long ") * self._chance.choice([2_000, 20_000])
        elif self._chance.random() < 0.5:
            text = f"word {text} {self._chance.randrange(1000)}"
        return self._quoted(text)

    def _number(self) -> str:
        if self._chance.random() < 0.5:
            return self._chance.choice(_NUMBERS)
        return f"{self._chance.uniform(-1e6, 1e6):.{self._chance.randint(0, 20)}f}"

    def _text_value(self) -> str:
        return self._any_of(
            self._string, self._string, self._number, lambda: "null", lambda: "true", lambda: self._list(self._string),
            lambda: f"[{self._list(self._string)},{self._number()},null]", lambda: '"plain words"', lambda: self._object(1),
        )  # fmt: skip

    def _inner(self) -> str:
        deep = f'{{"text":{self._text_value()}}}'
        return self._any_of(
            lambda: f'{{"text":{self._text_value()},"deep":{deep}}}',
            lambda: f'{{"deep.text":{self._text_value()}}}',
            lambda: f'[{{"text":{self._text_value()}}},{{"deep":[{deep},{deep}]}}]',
            lambda: "null",
            self._number,
        )

    def _part(self) -> str:
        return (
            f'{{"text":{self._text_value()},"n":{self._chance.choice(["1", "2.0", "null", self._number()])}}}'
        )

    def _anything(self) -> str:
        depth = self._chance.choice([5, 60, 400, 900, 980])
        opened, closed = self._chance.choice([("[", "]"), ('{"a":', "}"), ('[{"":', "}]")])
        count = depth // (2 if len(opened) > 5 or opened.startswith("[{") else 1)
        return self._any_of(
            lambda: self._object(4), lambda: self._list(lambda: self._value(3)),
            lambda: f'{{"deep":{opened * count}{self._number()}{closed * count}}}',
        )  # fmt: skip

    def _object(self, depth: int) -> str:
        keys = dict.fromkeys(
            [self._chance.choice([*_ODD_KEYS, "k1", "k2", "k3"]) for _ in range(self._chance.randint(0, 4))]
        )
        return "{" + ",".join(self._pair(self._quoted(key), self._value(depth - 1)) for key in keys) + "}"

    def _value(self, depth: int) -> str:
        ways: list[Callable[[], str]] = [self._string, self._number, lambda: "null", lambda: "false"]
        if depth > 0:
            ways += [lambda: self._object(depth), lambda: self._list(lambda: self._value(depth - 1))]
        return self._chance.choice(ways)()

    def _list(self, element: Callable[[], str]) -> str:
        return "[" + ",".join(self._space() + element() for _ in range(self._chance.randint(0, 4))) + "]"


def _utf16(text: str) -> Iterator[int]:
    units = text.encode("utf-16-le", "surrogatepass")
    return (int.from_bytes(units[at : at + 2], "little") for at in range(0, len(units), 2))
