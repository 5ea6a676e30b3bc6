"""Read, write and compare JSON of any depth.

Python's own functions call themselves once for each level and stop at the limit of the interpreter, which
belongs to the application. These try them first, as they are fast, and else keep a list of what is open.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_DECODER = json.JSONDecoder()
_SPACE = " \t\n\r"
_CLOSING = {"{": "}", "[": "]"}


class _Mark(NamedTuple):
    text: str


def loads(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Parse JSON.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return json.loads(text)
    except RecursionError:
        value, end = _decode(text, 0)
    if (end := _after_space(text, end)) != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def decode(text: str, at: int) -> tuple[Any, int]:
    """Parse the value that begins at ``at``; return it and where it ends.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return _DECODER.raw_decode(text, at)
    except RecursionError:
        return _decode(text, at)


def dumps(value: Any, *, ensure_ascii: bool = True, indent: int | None = None) -> str:  # noqa: ANN401 - any JSON value
    """Write JSON; what is nested very deeply is written without spaces."""
    try:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)
    except RecursionError:
        return "".join(_written(value, ensure_ascii))


def equal(
    one: Any,  # noqa: ANN401 - any JSON values
    other: Any,  # noqa: ANN401
    leaves_equal: Callable[[Any, Any], bool] = operator.eq,
) -> bool:
    """Return whether two values are equal; ``leaves_equal`` compares what is no pair of objects or arrays."""
    waiting = [(one, other)]
    while waiting:
        left, right = waiting.pop()
        if isinstance(left, dict) and isinstance(right, dict):
            if left.keys() != right.keys():
                return False
            waiting += [(value, right[key]) for key, value in left.items()]
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            waiting += zip(left, right, strict=True)
        elif not leaves_equal(left, right):
            return False
    return True


def _decode(text: str, at: int) -> tuple[Any, int]:
    opened: list[dict[str, Any] | list[Any]] = []
    keys: list[str] = []  # of the members that are being read, one for each open object
    while True:
        at = _after_space(text, at)
        value, at, is_open = _begin(text, at)
        if is_open:
            opened.append(value)
            if isinstance(value, dict):
                key, at = _key(text, at)
                keys.append(key)
            continue
        while opened:
            around = opened[-1]
            if isinstance(around, dict):
                around[keys[-1]] = value
            else:
                around.append(value)
            at = _after_space(text, at)
            if text[at : at + 1] == ",":
                at = _after_space(text, at + 1)
                if isinstance(around, dict):
                    keys[-1], at = _key(text, at)
                break
            if text[at : at + 1] != ("}" if isinstance(around, dict) else "]"):
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
            value, at = opened.pop(), at + 1
            if isinstance(value, dict):
                keys.pop()
        else:
            return value, at


def _begin(text: str, at: int) -> tuple[Any, int, bool]:
    """Read a value, or the beginning of an object or array that is not empty; then the last is ``True``."""
    closing = _CLOSING.get(text[at : at + 1])
    if closing is None:
        return *_DECODER.raw_decode(text, at), False
    value: dict[str, Any] | list[Any] = {} if closing == "}" else []
    at = _after_space(text, at + 1)
    if text[at : at + 1] == closing:
        return value, at + 1, False
    return value, at, True


def _key(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] != '"':
        raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
    key, at = _DECODER.raw_decode(text, at)
    at = _after_space(text, at)
    if text[at : at + 1] != ":":
        raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
    return key, at + 1


def _after_space(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in _SPACE:
        at += 1
    return at


def _written(value: Any, ensure_ascii: bool) -> Iterator[str]:  # noqa: ANN401
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, _Mark):
            yield one.text
        elif isinstance(one, dict):
            waiting.append(_Mark("}"))
            for number, (key, inner) in reversed(list(enumerate(one.items()))):
                name = json.dumps(key if isinstance(key, str) else str(key), ensure_ascii=ensure_ascii)
                waiting += [inner, _Mark(f"{',' if number else ''}{name}:")]
            yield "{"
        elif isinstance(one, list | tuple):
            waiting.append(_Mark("]"))
            for number, inner in reversed(list(enumerate(one))):
                waiting += [inner, _Mark(",")] if number else [inner]
            yield "["
        else:
            yield json.dumps(one, ensure_ascii=ensure_ascii)
