"""The scenarios: what operators and applications do; each is played with many seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.stage import ALIAS, SOURCE, Stage, begin
from tests.simulation.world import World


def _ended(stage: Stage, *, forgiven: tuple[str, ...] = (), writable: str = ALIAS) -> list[str]:
    """Calm, until the job is done; then applications can write, and every document has its vector."""
    stage.calm_down()
    found = stage.until_done()
    refused = stage.world.writers.refused
    for _ in range(2):
        stage.world.writers.write("index", stage.world.chance.choice(stage.world.writers.ids), writable)
    if stage.world.writers.refused > refused:
        found.append(f"'{writable}' takes no writes in the end")
    stage.settle()
    return found + stage.problems(vectors=not found, forgiven=forgiven)


def handover(world: World) -> list[str]:
    """Applications write through the alias, which moves."""
    stage = begin(world, through_alias=True)
    stage.work()
    stage.write(4)
    return _ended(stage)


def mirror(world: World) -> list[str]:
    """Applications write to the source; the alias is new and for searches."""
    stage = begin(world, through_alias=False)
    stage.work()
    stage.write(4)
    return _ended(stage, writable=SOURCE)


def repeated_start(world: World) -> list[str]:
    """The same start again, after applications wrote through the alias: cron does that."""
    stage = begin(world, through_alias=True)
    world.others.append(lambda: void(stage.start()))
    stage.work()
    for _ in range(2):
        stage.write(world.chance.randint(1, 6))
        stage.start()
        stage.tasks(3)
    return _ended(stage)


def cutover_after_rollback(world: World) -> list[str]:
    """Cut over, roll back, cut over again, with writes in between."""
    stage = begin(world, through_alias=True, by_name=False)
    stage.work()
    stage.write(3)
    stage.rollback()
    stage.write(3)
    stage.a_minute_later()
    stage.cutover()
    stage.write(2)
    stage.calm_down()
    stage.rollback()
    stage.write(2)
    stage.a_minute_later()
    stage.cutover()
    return _ended(stage)


def rollback_after_writes(world: World) -> list[str]:
    """What was written to the target comes back to the source with a rollback."""
    stage = begin(world, through_alias=True, by_name=False)
    stage.work()
    stage.write(world.chance.randint(1, 8))
    for _ in range(3):
        stage.rollback()
    stage.calm_down()
    found = stage.until_done() if stage.job.state not in ("rolled_back", "rolling_back") else []
    error = stage.rollback() if stage.job.state != "rolled_back" else None
    if error is not None:
        found.append(f"cannot be rolled back: {error}")
    stage.write(2)
    return found + stage.problems(vectors=False)


def void(_value: object) -> None:
    """Nothing."""


@dataclass(frozen=True)
class Scenario:
    """How a scenario is played: ``share`` of the seeds, without the ``forbidden`` disturbances."""

    play: Callable[[World], list[str]]
    share: int = 1
    forbidden: frozenset[str] = frozenset()


SCENARIOS: dict[str, Scenario] = {
    "handover": Scenario(handover, share=3),
    "mirror": Scenario(mirror, share=2),
    "repeated_start": Scenario(repeated_start),
    "cutover_after_rollback": Scenario(cutover_after_rollback),
    "rollback_after_writes": Scenario(rollback_after_writes),
}
