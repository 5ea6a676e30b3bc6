"""The world that a seed makes: one thread, one clock, and everything in an order that can be played again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.simulation.encoder import TinyEncoder
from tests.simulation.faults import JUMPS_S, MOST_DEPTH, OUTAGES_S, Actor, Death, Step, Weather
from tests.simulation.model import Answer, Model
from tests.simulation.refusals import RefusedError
from tests.simulation.trace import told
from tests.simulation.transport import connected, cut_off, timed_out
from tests.simulation.writers import Writers

T = TypeVar("T")
_EPOCH_S = 1_800_000_000.0
_REQUEST_S = 0.004
_BESIDE_SHARE = 0.2
_CRITICAL = ("/_aliases", "/_block/write", "/_settings", "/_mapping")
"""Requests around which the truth moves."""

_PATIENCE_S = 90.0  # so long a request may be on its way that its sender has given up


class World:
    """A model of OpenSearch, the processes that use it, and what a seed lets happen to them.

    Attributes:
        now_s: the one clock, which only requests, sleeping and jumps move.
        others: what may happen during any request of somebody else: each is one whole process.
        beside: what happens now and then before any request, disturbed or not; ``None``: nothing.
        refused: requests that were refused, by the error's type.
        log: what happened, if the seed is traced.
    """

    def __init__(self, seed: int, *, traced: bool = False, forbidden: frozenset[str] = frozenset()) -> None:
        self.chance = random.Random(seed)
        self.weather = Weather.drawn(self.chance, forbidden)
        self.now_s = _EPOCH_S
        self.model = Model(lambda: self.now_s)
        self.client = connected(self.request)
        self.encoder = TinyEncoder()
        self.writers = Writers(self.model, self.chance, self.tell)
        self.others: list[Step] = []
        self.beside: Step | None = None
        self.log: list[str] | None = [] if traced else None
        self._actors: list[Actor] = []
        self._late: list[tuple[float, tuple[Any, ...], Callable[[], Answer]]] = []
        self._down_until_s = 0.0

    @property
    def actor(self) -> Actor | None:
        """Who acts now."""
        return self._actors[-1] if self._actors else None

    def tell(self, what: str) -> None:
        """Note what happens, if the seed is traced."""
        if self.log is not None:
            who = self.actor.name if self.actor else "-"
            self.log.append(f"{self.now_s - _EPOCH_S:9.3f} {'  ' * len(self._actors)}{who}: {what}")

    def run(self, actor: Actor, action: Callable[[], T]) -> T | None:
        """Let a process act until it ends or dies; ``None`` if it dies. Its errors are the caller's."""
        self._actors.append(actor)
        try:
            return action()
        except Death as death:
            if death.actor is not actor:
                raise
            self.tell("was killed")
            return None
        finally:
            self._actors.pop()

    def sleep(self, duration_s: float) -> None:
        """Let time pass; others may act meanwhile."""
        actor = self.actor
        if actor is not None and actor.dead:
            raise Death(actor)
        self.now_s += max(0.0, duration_s)
        self._arrive()
        disturbance = self.weather.sleeper(duration_s)
        if disturbance is not None:
            self._meanwhile(disturbance)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Look, without anything happening meanwhile."""
        before, self.weather.calm = self.weather.calm, True
        log, self.log, now_s = self.log, None, self.now_s
        try:
            yield
        finally:
            self.weather.calm, self.log, self.now_s = before, log, now_s

    def clear_up(self) -> None:
        """From now on nothing is disturbed; whatever was on its way arrives."""
        self.weather.calm = True
        self.deliver_all()

    def deliver_all(self) -> None:
        """Carry out everything that is on its way."""
        while self._late:
            self._deliver(0)
        self.writers.deliver_all()

    def request(self, method: str, path: str, params: Mapping[str, Any], body: Any) -> Answer:
        """Answer a request of the present actor, or let something happen to it."""
        actor = self.actor
        if actor is not None and actor.dead:
            raise Death(actor)
        self.now_s += _REQUEST_S
        if self.beside is not None and self.chance.random() < _BESIDE_SHARE:
            self.beside()
        self._arrive()
        if self.now_s < self._down_until_s and not self.weather.calm:
            self.now_s += 0.1
            self.tell(f"{method} {path}: down")
            raise cut_off()
        disturbance = self.weather.next(critical=method != "GET" and path.endswith(_CRITICAL))
        if disturbance is None:
            return self._answer(method, path, params, body)
        return self._disturbed(disturbance, method, path, params, body)

    def _disturbed(self, kind: str, method: str, path: str, params: Mapping[str, Any], body: Any) -> Answer:
        actor = self.actor
        if kind == "death":
            if not self.weather.kills(actor):
                return self._answer(method, path, params, body)
            if self.chance.random() < 0.5:
                self._answer(method, path, params, body)
            raise Death(actor)  # type: ignore[arg-type]
        if kind in _NETWORK:
            self.tell(f"{method} {path}: {kind}")
            return _NETWORK[kind](self, method, path, params, body)
        if self.chance.random() < 0.5:
            self._meanwhile(kind)
            return self._answer(method, path, params, body)
        answer = self._answer(method, path, params, body)
        self._meanwhile(kind)
        return answer

    def _meanwhile(self, kind: str) -> None:
        """What others do between two requests of one process."""
        if kind == "writers":
            for _ in range(self.chance.randint(1, 4)):
                self.writers.step()
        elif kind == "deliver":
            if self._late and self.chance.random() < 0.5:
                self._deliver(self.chance.randrange(len(self._late)))
            else:
                self.writers.deliver()
        elif kind == "clock":
            jump = self.chance.choice(JUMPS_S)
            self.tell(f"{jump} s pass")
            self.now_s += jump
        elif kind == "refresh":
            self.model.refresh_all()
        elif kind == "other" and self.others and len(self._actors) < MOST_DEPTH:
            self.chance.choice(self.others)()

    def _answer(self, method: str, path: str, params: Mapping[str, Any], body: Any) -> Answer:
        try:
            answer = self.model.answer(method, path, params, body)
        except RefusedError as error:
            answer = error.status, error.body()
        if self.log is not None:
            self.tell(told(method, path, params, body, *answer))
        return answer

    def _arrive(self) -> None:
        """Carry out what has been on its way for long enough."""
        while self._late and self._late[0][0] <= self.now_s:
            self._deliver(0)
        self.writers.deliver_due()

    def _deliver(self, number: int) -> None:
        _, (method, path, params, body), apply = self._late.pop(number)
        try:
            answer = apply()
        except RefusedError as error:
            answer = error.status, error.body()
        if self.log is not None:
            self.tell(f"late: {told(method, path, params, body, *answer)}")

    def _lost(self, *_request: Any) -> Answer:
        self.now_s += 30.0
        raise timed_out()

    def _applied(self, method: str, path: str, params: Mapping[str, Any], body: Any) -> Answer:
        self._answer(method, path, params, body)
        self.now_s += 30.0
        raise timed_out()

    def _applied_late(self, method: str, path: str, params: Mapping[str, Any], body: Any) -> Answer:
        """The sender gives up before the server has carried the request out."""
        try:
            prepared = self.model.prepared(method, path, params, body)
        except RefusedError:
            prepared = None
        self.now_s += 30.0
        if prepared is not None and method != "GET" and method != "HEAD" and "_search" not in path:
            self._late.append(
                (self.now_s + self.chance.uniform(0.0, _PATIENCE_S), (method, path, params, body), prepared)
            )
            self._late.sort(key=lambda one: one[0])
        raise timed_out()

    def _cut(self, *_request: Any) -> Answer:
        raise cut_off()

    def _cut_after(self, method: str, path: str, params: Mapping[str, Any], body: Any) -> Answer:
        self._answer(method, path, params, body)
        raise cut_off()

    def _busy(self, *_request: Any) -> Answer:
        busy = RefusedError(
            429, "rejected_execution_exception", "rejected execution of coordinating operation"
        )
        return busy.status, busy.body()

    def _unready(self, *_request: Any) -> Answer:
        unready = RefusedError(503, "no_shard_available_action_exception", "no shard is available")
        return unready.status, unready.body()

    def _go_down(self, *_request: Any) -> Answer:
        self._down_until_s = self.now_s + self.chance.choice(OUTAGES_S)
        raise cut_off()


_NETWORK: dict[str, Callable[..., Answer]] = {
    "timeout_lost": World._lost, "timeout_applied": World._applied, "timeout_late": World._applied_late,
    "cut_lost": World._cut, "cut_applied": World._cut_after, "busy": World._busy, "unready": World._unready,
    "outage": World._go_down,
}  # fmt: skip
