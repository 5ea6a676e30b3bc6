"""Answer ``/search``: the options of `ce2de_os.Question`, within limits for callers who are not trusted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ce2de_os.config import POOL_SIZE
from ce2de_os.errors import BackendError, Ce2deError, ConfigError, DataError, RequestError
from ce2de_os.redaction import redact
from ce2de_os.search.question import Question
from ce2de_os.search.searcher import HybridSearcher
from ce2de_os.server.answers import HttpError, busy, json_response
from ce2de_os.server.bodies import Bodies

logger = logging.getLogger(__name__)

MOST_WAITING = 64
"""Questions that one process works on or keeps waiting."""

MOST_CHARS = 10_000
"""Characters of a question."""

MOST_NAMES = 20
"""Fields in one option, and filters in one question."""

LIMITS = {"top_k": 100, "from_": 1000, "candidates": 1000, "rerank_depth": 100, "rrf_k": 10_000}
"""The largest value of each number."""

_PLAIN = (
    "mode", "language", "fusion", "dense_weight", "min_score", "collapse", "explain", "track_total_hits",
    "rerank_weight",
)  # fmt: skip
_NAMES = ("fields", "highlight", "source", "sort")
OPTIONS = ("text", *LIMITS, *_PLAIN, *_NAMES, "filters")

FILTERS = ("term", "terms", "range", "exists", "ids")
"""The queries that a filter may be; none of them runs a script or reads every term of a field."""


class Search:
    """Answers questions, a few at a time, in threads."""

    def __init__(self, searcher: HybridSearcher, bodies: Bodies) -> None:
        self._searcher = searcher
        self._bodies = bodies
        self._threads = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="search")
        self._waiting = 0

    async def search(self, http: Request) -> Response:
        """Answer one question."""
        async with self._bodies.read(http) as body:
            try:
                question = question_of(body)
                question.check()
            except (ConfigError, DataError) as error:
                raise HttpError(400, str(error), code="invalid_value") from None
        return json_response(await self._answer(question))

    async def _answer(self, question: Question) -> dict[str, Any]:
        if self._waiting >= MOST_WAITING:
            raise busy(f"{self._waiting} questions wait already")
        self._waiting += 1
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(self._threads, self._searcher.search, question)
        except (ConfigError, DataError, RequestError) as error:
            raise HttpError(400, redact(str(error)), code="invalid_value") from None
        except Ce2deError as error:  # OpenSearch, or an index that does not fit the model
            logger.warning("%s", error, extra={"action": "answer"})
            text = "OpenSearch cannot answer now" if isinstance(error, BackendError) else "not ready"
            raise HttpError(503, f"{text}; see the log of this service", code="unavailable") from None
        finally:
            self._waiting -= 1
        return result.to_json()


def question_of(body: Mapping[str, Any]) -> Question:
    """Read a question.

    Raises:
        ConfigError: there is no such option, or it is beyond its limit.
        DataError: a value has the wrong kind.
    """
    unknown = sorted(set(body) - set(OPTIONS))
    if unknown:
        raise ConfigError(f"{unknown[0]:.60}: no such option here; there are {', '.join(OPTIONS)}")
    text = body.get("text", "")
    if isinstance(text, str) and len(text) > MOST_CHARS:
        raise DataError(f"text: got {len(text):,} characters, expected at most {MOST_CHARS:,}")
    for name, most in LIMITS.items():
        value = body.get(name)
        if isinstance(value, int | float) and value > most:
            raise ConfigError(f"{name}: got {value}, expected at most {most:,}")
    for name in _NAMES:
        _check_names(name, body.get(name))
    for name in ("language", "collapse"):
        if not isinstance(body.get(name), str | None):
            raise DataError(f"{name}: got {body[name]!r:.60}, expected a text")
    for name in ("explain", "track_total_hits"):
        if not isinstance(body.get(name, False), bool):
            raise DataError(f"{name}: got {body[name]!r:.60}, expected true or false")
    _check_filters(body.get("filters"))
    return Question("").changed({"text": text, **body})


def _check_names(name: str, value: object) -> None:
    if value is None or (name == "source" and isinstance(value, bool)):
        return
    is_list = isinstance(value, list) and 0 < len(value) <= MOST_NAMES
    if not is_list or not all(isinstance(one, str) and len(one) <= 200 for one in value):  # type: ignore[attr-defined]
        raise DataError(f"{name}: got {value!r:.80}, expected a list of 1 to {MOST_NAMES} names of fields")


def _check_filters(given: object) -> None:
    several = given if isinstance(given, list) else [] if given is None else [given]
    if len(several) > MOST_NAMES:
        raise DataError(f"filters: got {len(several)}, expected at most {MOST_NAMES}")
    for one in several:
        if not isinstance(one, dict) or len(one) != 1 or next(iter(one)) not in FILTERS:
            known = ", ".join(FILTERS)
            raise DataError(f"filters: got {one!r:.80}, expected an object with one of {known}")
        (inner,) = one.values()
        values = inner.values() if isinstance(inner, dict) else ()
        if any(isinstance(value, list) and len(value) > LIMITS["candidates"] for value in values):
            raise DataError(f"filters: a list has more than {LIMITS['candidates']:,} values")
