"""Thousands of days in the life of a job: no acknowledged write is lost on any of them."""

from __future__ import annotations

import gc
import json
import logging
import os
import random
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.simulation.patches import simulated
from tests.simulation.runs import play
from tests.simulation.scenarios import SCENARIOS

SEEDS = int(os.environ.get("CE2DE_SIMULATION_SEEDS", "10000"))
_CHUNK = 100
_SHOWN = 3

_SHARES = sum(scenario.share for scenario in SCENARIOS.values())
CHUNKS = [
    (name, first)
    for name, scenario in SCENARIOS.items()
    for first in range(1, SEEDS * scenario.share // _SHARES + 1, _CHUNK)
]


@pytest.fixture
def product() -> Iterator[None]:
    """The product on the simulation's clock, without its log."""
    logging.disable(logging.CRITICAL)
    gc.disable()  # a world is garbage as a whole, and collected between two seeds
    gc.freeze()  # else each collection walks through all libraries that the tests before have loaded
    try:
        with simulated():
            yield
    finally:
        gc.unfreeze()
        gc.enable()
        logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("product")
@pytest.mark.parametrize(("name", "first"), CHUNKS)
def test_nothing_is_lost_whatever_happens(name: str, first: int) -> None:
    last = min(first + _CHUNK, SEEDS * SCENARIOS[name].share // _SHARES + 1)
    failed = []
    for seed in range(first, last):
        problems = play(name, seed).problems
        if problems:
            failed.append(f"python -m tests.simulation {name} {seed}\n  " + "\n  ".join(problems[:_SHOWN]))
        if seed % 20 == 0:
            gc.collect()
    told = "\n".join(failed[:_SHOWN])
    if failed:
        pytest.fail(
            f"{len(failed)} of {last - first} seeds fail; to play the first ones again:\n{told}",
            pytrace=False,
        )


@pytest.mark.usefixtures("product")
def test_nobody_changes_the_model_s_documents() -> None:
    """The model gives its documents out as they are: the product must not write into an answer."""
    for name in SCENARIOS:
        world = play(name, 3).world
        docs = [
            doc
            for index in world.model.names.indices.values()
            for one in index.shards
            for doc in one.docs.values()
        ]
        assert docs
        assert all(doc.source == json.loads(doc.text or "{}") for doc in docs)


def test_a_seed_is_played_again_exactly() -> None:
    """A replay in another process, where sets have another order, shows what the failing run did."""
    name = random.Random(SEEDS).choice(sorted(SCENARIOS))
    command = [sys.executable, "-m", "tests.simulation", name, "7"]
    logs = [
        subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": str(order)},
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        for order in (1, 2)
    ]
    assert len(logs[0]) > 1000
    assert logs[0] == logs[1]
