"""Puts the simulation's clock, threads and chance where the product has those of the machine."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import faulthandler
import importlib
import importlib.resources
import pkgutil
import random
import sys
import time as machine_time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NamedTuple

import opensearchpy.client
from opensearchpy.client.utils import _make_path

from ce2de_os.reindex import watchdog
from ce2de_os.reindex.verify import answers
from ce2de_os.worker import tasks
from tests.simulation.world import World

_PACKAGES = (
    *map(import_module, ("ce2de_os.index", "ce2de_os.reindex", "ce2de_os.worker")),
    opensearchpy.client,
)
_CONSTANTS: tuple[tuple[Any, str, Any], ...] = (
    (tasks, "BUDGET_S", 1.0),  # a follower's idle looks would take most of the time of a seed
    (answers, "_QUERIES", 2),
    (watchdog, "_file", lambda: None),
)
_SKIPPED = ("ce2de_os.worker.app", "ce2de_os.worker.inspection", "ce2de_os.worker.sweeper")


class _Now:
    """The world of the present seed."""

    world: World


class Later:
    """A task of `InTurn`: it runs at once, or when its result is wanted, as the seed has it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call: Callable[[], Any] | None = call
        self._value: Any = None
        self._error: Exception | None = None

    def run(self) -> None:
        if self._call is None:
            return
        call, self._call = self._call, None
        try:
            self._value = call()
        except Exception as error:
            self._error = error

    def done(self) -> bool:
        return self._call is None

    def result(self, timeout: float | None = None) -> Any:
        self.run()
        if self._error is not None:
            raise self._error
        return self._value

    def exception(self, timeout: float | None = None) -> Exception | None:
        self.run()
        return self._error


class InTurn:
    """A pool of threads that has none: tasks run one after the other, in an order that the seed chooses."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        self._tasks: list[Later] = []

    def __enter__(self) -> InTurn:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is None or issubclass(kind, Exception):  # a process that was killed finishes nothing
            self.shutdown()

    def submit(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Later:
        task = Later(lambda: call(*args, **kwargs))
        self._tasks.append(task)
        if _Now.world.chance.random() < 0.5:
            self.shutdown()  # earlier tasks first: a pool begins them in their order
        return task

    def map(self, call: Callable[..., Any], *each: Sequence[Any]) -> Iterator[Any]:
        return iter([call(*args) for args in zip(*each, strict=False)])

    def shutdown(self, *_args: Any, **_kwargs: Any) -> None:
        for task in self._tasks:
            task.run()
        self._tasks.clear()


class _Waited(NamedTuple):
    done: set[Later]
    not_done: set[Later]


def _wait(tasks: Sequence[Later], *_args: Any, **_kwargs: Any) -> _Waited:
    for task in tasks:
        task.run()
    return _Waited(set(tasks), set())


def _machine_clock_is_out_of_bounds(*_args: Any) -> Any:
    raise AssertionError("the simulation has no such clock")


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    """There is no machine's clock that could run out."""


def _fake_time() -> SimpleNamespace:
    return SimpleNamespace(
        monotonic=lambda: _Now.world.now_s,
        time=lambda: _Now.world.now_s,
        perf_counter=lambda: _Now.world.now_s,
        sleep=lambda duration_s: _Now.world.sleep(duration_s),
        strftime=_machine_clock_is_out_of_bounds,
    )


def _fake_random() -> SimpleNamespace:
    return SimpleNamespace(Random=_seeded)


def _seeded(*seed: Any) -> random.Random:
    return random.Random(*seed) if seed else random.Random(_Now.world.chance.random())


_SIMPLE = (str, int, float, bool, type(None))


def _plain(value: Any) -> Any:
    """What `dataclasses.asdict` gives, without copying what nobody changes."""
    if type(value) in _SIMPLE:
        return value
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, dict) else value


@cache
def _path(*parts: str | None) -> str:
    """What opensearch-py's `_make_path` gives, once for each path."""
    return _make_path(*parts)


def _replacements() -> list[tuple[object, object]]:
    return [
        (machine_time, _fake_time()),
        (random, _fake_random()),
        (faulthandler, SimpleNamespace(dump_traceback_later=_nothing, cancel_dump_traceback_later=_nothing)),
        (concurrent.futures.ThreadPoolExecutor, InTurn),
        (concurrent.futures.wait, _wait),
        (dataclasses.asdict, _plain),
        (_make_path, _path),
    ]


def _modules() -> list[Any]:
    found = []
    for package in _PACKAGES[:-1]:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name not in _SKIPPED:
                importlib.import_module(module.name)
    for name, module in list(sys.modules.items()):
        if any(name == package.__name__ or name.startswith(f"{package.__name__}.") for package in _PACKAGES):
            found.append(module)
    return found


@contextmanager
def simulated() -> Iterator[None]:
    """Patch the product's modules; within it, `entered` says which world is the present one."""
    undo: list[tuple[Any, str, object]] = []
    replacements = _replacements()
    for module in _modules():
        for name, value in list(vars(module).items()):
            for real, fake in replacements:
                if value is real:
                    undo.append((module, name, value))
                    setattr(module, name, fake)
    undo += _patch_claims()
    for owner, name, value in _CONSTANTS:
        undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in undo:
            setattr(owner, name, value)


def _patch_claims() -> list[tuple[Any, str, object]]:
    """Slices are taken in an order that is drawn: by the seed, not by the machine."""
    from ce2de_os.reindex.slices.claims import Claims

    made = Claims.__init__

    def drawn(self: Claims, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("chance", _seeded())
        made(self, *args, **kwargs)

    Claims.__init__ = drawn  # type: ignore[method-assign]
    return [(Claims, "__init__", made)]


def entered(world: World) -> World:
    """Make this the present world."""
    _Now.world = world
    return world
