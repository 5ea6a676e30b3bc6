"""Playing a scenario with a seed."""

from __future__ import annotations

from typing import NamedTuple

from ce2de_os.reindex.slices import memory
from tests.simulation.patches import entered
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.world import World


class Outcome(NamedTuple):
    """What a seed came to: its problems, what happened, if it was traced, and the world in the end."""

    problems: list[str]
    log: list[str]
    world: World


def play(name: str, seed: int, *, traced: bool = False) -> Outcome:
    """Play a scenario; `simulated` must be entered."""
    memory._memory.cache_clear()  # the workers of a day are new processes
    scenario = SCENARIOS[name]
    world = entered(World(seed, traced=traced, forbidden=scenario.forbidden))
    return Outcome(scenario.play(world), world.log or [], world)
