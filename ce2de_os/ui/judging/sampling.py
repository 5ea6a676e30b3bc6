"""Queries for a judging session: from a file, or sampled from a log."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence

from ce2de_os.errors import DataError
from ce2de_os.records import Query
from ce2de_os.ui.judging.records import MOST_QUERIES, MOST_QUERY_CHARS, query_id_of

KEYS = ("text", "query", "user_query", "q")
"""Names of the question in a log of JSON lines; ``user_query`` is that of User Behavior Insights."""

SEED = 0


def sampled(name: str, content: bytes, number: int) -> list[Query]:
    """Choose different queries of a log, frequent ones with a higher chance; the same ones each time.

    Args:
        name: the log's name, for messages.
        content: a query a line, or a JSON object a line with one of `KEYS`.
        number: queries to choose; all, if there are no more.

    Raises:
        DataError: there is no query in it, or the number is out of bounds.
    """
    if not 1 <= number <= MOST_QUERIES:
        raise DataError(f"queries: got {number}, expected 1 to {MOST_QUERIES:,}")
    texts = [text for text in _texts(content) if 0 < len(text) <= MOST_QUERY_CHARS]
    if not texts:
        raise DataError(
            f"{name}: no query in it; expected one a line, or JSON lines with {' or '.join(KEYS)}"
        )
    random.Random(SEED).shuffle(texts)  # noqa: S311 - each occurrence has the same chance to come first
    chosen = list(dict.fromkeys(texts))[:number]
    return [Query(query_id_of(text), text) for text in chosen]


def _texts(content: bytes) -> Iterator[str]:
    for line in content.decode("utf-8-sig", "replace").splitlines():
        line = line.strip()
        yield _from_json(line) if line.startswith("{") else line


def _from_json(line: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    values: Sequence[object] = [row.get(key) for key in KEYS] if isinstance(row, dict) else []
    return next((value.strip() for value in values if isinstance(value, str)), "")
