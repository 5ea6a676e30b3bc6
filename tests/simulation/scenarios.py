"""The scenarios: what operators and applications do; each is played with many seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.simulation.faults import ALWAYS, WEIGHTS
from tests.simulation.indices import Index
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


def _rolled_back(stage: Stage) -> list[str]:
    """What an operator does until the job is rolled back, and what is wrong if that fails."""
    stage.calm_down()
    found = stage.until_done() if stage.job.state not in ("rolled_back", "rolling_back") else []
    error = stage.rollback() if stage.job.state != "rolled_back" else None
    if error is not None:
        found.append(f"cannot be rolled back: {error}")
    stage.write(2)
    return found


def rollback_after_writes(world: World) -> list[str]:
    """What was written to the target comes back to the source with a rollback."""
    stage = begin(world, through_alias=True, by_name=False)
    stage.work()
    stage.write(world.chance.randint(1, 8))
    for _ in range(3):
        stage.rollback()
    return _rolled_back(stage) + stage.problems(vectors=False)


def rollback_beside_an_old_route(world: World) -> list[str]:
    """A client still writes to the source by its name while it is open and the rollback is not at its end.

    What it changes there is what its last write made of it, or the job names the document.
    """
    stage = begin(world, through_alias=True, by_name=False)
    stage.work()
    stage.write(world.chance.randint(1, 8))
    world.beside = lambda: world.writers.by_old_route(SOURCE)
    for _ in range(2):
        stage.rollback()
        stage.write(world.chance.randint(0, 3))
    world.beside = None
    found = _rolled_back(stage)
    named = stage.job.unordered
    broken = world.writers.journal.broken
    broken[:] = [one for one in broken if not any(f"doc_id='{doc_id}'" in one for doc_id in named)]
    return found + stage.problems(vectors=False, forgiven=named)


def unblocked_handover(world: World) -> list[str]:
    """A handover while writes go on; documents that were written on both sides may differ, and are named.

    One that is deleted on one side while it is written on the other is there again, which nothing can tell.
    """
    stage = begin(world, through_alias=True, by_name=False, block=False)
    stage.work()
    stage.write(4)
    stage.calm_down()
    found = stage.until_done()
    stage.settle()
    world.writers.journal.broken.clear()  # for a moment each side may lack what the other one took
    problems = stage.problems(vectors=not found, forgiven=stage.job.unordered)
    return found + [one for one in problems if not one.startswith("resurrected")]


def in_place(world: World) -> list[str]:
    """The source's own documents get their vectors; the alias stays where it is."""
    stage = begin(world, through_alias=True, knn=True, mode="in_place")
    stage.work()
    stage.write(4)
    return _ended(stage)


def held_cutover(world: World) -> list[str]:
    """The alias waits for the operator, while applications go on writing; paused and resumed meanwhile."""
    stage = begin(world, through_alias=True, hold=True)
    world.others.append(lambda: void((stage.pause(), stage.write(1), stage.resume())))
    stage.work()
    stage.write(world.chance.randint(0, 6))
    stage.cutover()
    stage.write(2)
    stage.calm_down()
    stage.resume()
    stage.work()
    stage.options["hold"] = stage.job.hold
    return _ended(stage)


def cancel_and_start(world: World) -> list[str]:
    """Cancelled in the middle of writing, and started again: no worker of before writes any more."""
    stage = begin(world, through_alias=world.chance.random() < 0.7)
    world.others.append(lambda: void(stage.cancel()))
    stage.work()
    stage.write(3)
    stage.start()
    stage.work()
    writable = world.writers.names[0]
    return _ended(stage, writable=writable)


def cancelled(world: World) -> list[str]:
    """A cancelled job leaves alias and source as they were, whatever its workers still try."""
    stage = begin(world, through_alias=True, hold=True)
    stage.tasks(world.chance.randint(0, 3))
    stage.cancel()
    stage.write(2)
    stage.tasks(4)
    stage.calm_down()
    error = stage.cancel() if stage.job.state != "cancelled" else None
    found = [f"cannot be cancelled: {error}"] if error else []
    stage.tasks(2)
    if list(world.model.names.members(ALIAS)) != [SOURCE]:
        found.append(f"'{ALIAS}' points to {sorted(world.model.names.members(ALIAS))}")
    return found + stage.problems(vectors=False)


def retry_after_cutover(world: World) -> list[str]:
    """Documents that the target rejects at first are written later, when applications write there already."""
    world.model.writes.refuses = _rejects_birch
    stage = begin(world, through_alias=True, by_name=False, accept_rejected=True, hold=True)
    stage.work()
    stage.write(4)
    stage.calm_down()
    found = stage.until_done()
    world.model.writes.refuses = lambda _index, _source: None
    letters = stage.letters()
    for doc_id in letters[::2]:
        world.writers.write("index", doc_id)
    world.writers.ids = [doc_id for doc_id in world.writers.ids if doc_id not in letters] or ["another"]
    world.weather.calm = False
    stage.write(3)
    for _ in range(3):
        stage.retry()
    stage.calm_down()
    error = stage.retry()
    if error:
        found.append(f"dlq retry: {error}")
    stage.settle()
    found = [one for one in found if "of the best BM25 hits" not in one]  # one rejected of five is enough
    return found + stage.problems(vectors=not found)


def _rejects_birch(index: Index, source: Mapping[str, Any]) -> str | None:
    is_target = index.settings.get("index.knn") == "true"
    return "no birches here" if is_target and str(source.get("title", "")).startswith("birch") else None


def recreated_source(world: World) -> list[str]:
    """The source is deleted and made anew while a job is held: one clear error, and nothing is served stale."""
    stage = begin(world, through_alias=True, hold=True)
    stage.work(world.chance.randint(1, 6))
    world.deliver_all()
    stage.recreate(SOURCE)
    stage.write(4)
    stage.cutover()
    stage.write(2)
    stage.calm_down()
    stage.cutover()
    stage.work()
    found = (
        [] if stage.job.error or stage.job.state != "done" else ["done, although its source is another index"]
    )
    return found + stage.problems(vectors=False)


def rollover(world: World) -> list[str]:
    """The alias rolls over while a job runs, and its log goes on: the new index stays behind it."""
    stage = begin(world, through_alias=True, by_name=False, rolling=True)
    world.others.append(lambda: void(stage.roll_over()))
    stage.work()
    stage.write(3)
    stage.roll_over()
    stage.write(3)
    stage.calm_down()
    stage.start()
    stage.work()
    stage.write(2)
    stage.settle()
    return stage.problems(vectors=False)


def abandoned_start(world: World) -> list[str]:
    """Whoever starts the job may die at any moment, and nobody starts it again: the workers do what there is."""
    stage = begin(world, through_alias=True, by_name=False, once=True)
    stage.sweep()
    stage.write(2)
    stage.calm_down()
    stage.settle()
    started = stage.job_id is not None and stage.job.state == "done"
    return stage.problems(vectors=started)


def void(_value: object) -> None:
    """Nothing."""


@dataclass(frozen=True)
class Scenario:
    """How a scenario is played: ``share`` of the seeds, without the ``forbidden`` disturbances."""

    play: Callable[[World], list[str]]
    share: int = 1
    forbidden: frozenset[str] = frozenset()


_ALL_BUT_DEATHS = frozenset(WEIGHTS) - {"death", *ALWAYS}

SCENARIOS: dict[str, Scenario] = {
    "handover": Scenario(handover, share=3),
    "mirror": Scenario(mirror, share=2),
    "unblocked_handover": Scenario(unblocked_handover),
    "in_place": Scenario(in_place),
    "held_cutover": Scenario(held_cutover),
    "cancel_and_start": Scenario(cancel_and_start),
    "cancelled": Scenario(cancelled),
    "retry_after_cutover": Scenario(retry_after_cutover),
    "recreated_source": Scenario(recreated_source),
    "abandoned_start": Scenario(abandoned_start, forbidden=_ALL_BUT_DEATHS),
    "rollover": Scenario(rollover),
    "repeated_start": Scenario(repeated_start),
    "cutover_after_rollback": Scenario(cutover_after_rollback),
    "rollback_after_writes": Scenario(rollback_after_writes),
    "rollback_beside_an_old_route": Scenario(rollback_beside_an_old_route),
}
