"""Run a search as steps, by one of two drivers: the sync one or the async one.

A search is a generator. It yields a `Call` (a request to OpenSearch) or a `Compute` (work that
takes a while), is sent the outcome, and returns its result; an error is thrown into it at the place of the
step. So the logic of a search is written once, and only the waiting differs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Mapping
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from opensearchpy import OpenSearch

from ce2de_os.errors import Ce2deError
from ce2de_os.index.client import backend_errors, with_part

if TYPE_CHECKING:
    from opensearchpy import AsyncOpenSearch  # there only with aiohttp

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Call(NamedTuple):
    """A call of an opensearch-py method, the same in both clients: ``"msearch"``, ``"indices.get_mapping"``.

    ``action`` starts the message if it fails. ``part`` is a key that the answer must have; ``None``: any
    answer will do.
    """

    action: str
    method: str
    arguments: Mapping[str, Any]
    part: str | None = None


class Compute(NamedTuple):
    """CPU-bound work; the async driver does it in a thread."""

    work: Callable[[], Any]


Steps = Generator[Call | Compute, Any, T]


def drive(client: OpenSearch, steps: Steps[T]) -> T:
    """Carry out ``steps`` one after the other, and return their result.

    Raises:
        Ce2deError: whatever a step raises and the steps do not handle.
    """
    resume = partial(next, steps)
    while True:
        try:
            step = resume()
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            resume = partial(steps.send, _perform(client, step))
        except Ce2deError as error:
            resume = partial(steps.throw, error)


async def drive_async(client: AsyncOpenSearch, steps: Steps[T]) -> T:
    """Run like `drive`, without blocking the event loop."""
    resume = partial(next, steps)
    while True:
        try:
            step = resume()
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            resume = partial(steps.send, await _perform_async(client, step))
        except Ce2deError as error:
            resume = partial(steps.throw, error)


def _perform(client: OpenSearch, step: Call | Compute) -> Any:  # noqa: ANN401 - OpenSearch's JSON
    if isinstance(step, Compute):
        return step.work()
    logger.debug("Asking OpenSearch to %s", step.action, extra={"action": "ask", "method": step.method})
    with backend_errors(step.action):
        answer = attrgetter(step.method)(client)(**step.arguments)
    return answer if step.part is None else with_part(step.action, answer, step.part)


async def _perform_async(client: AsyncOpenSearch, step: Call | Compute) -> Any:  # noqa: ANN401
    if isinstance(step, Compute):
        return await asyncio.to_thread(step.work)
    logger.debug("Asking OpenSearch to %s", step.action, extra={"action": "ask", "method": step.method})
    with backend_errors(step.action):
        answer = await attrgetter(step.method)(client)(**step.arguments)
    return answer if step.part is None else with_part(step.action, answer, step.part)
