"""The scenarios: what operators and applications do; each is played with many seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ce2de_os.errors import BackendUnavailableError, Ce2deError
from ce2de_os.reindex import operate
from ce2de_os.reindex.cutover import rollback
from ce2de_os.reindex.job import FINISHING, RUNNING, Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.queue import send_waiting
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.retry import retry
from ce2de_os.reindex.start import start
from tests.simulation.checks import TEXT, clear_end, members_left_alone, problems_of_alias, unasked_indices
from tests.simulation.crew import Crew
from tests.simulation.faults import Actor
from tests.simulation.world import World

SOURCE, ALIAS = "articles", "articles-live"
_MOST_TASKS = 80


@dataclass
class Play:
    """One scenario being played in one world."""

    world: World
    crew: Crew
    hold: bool = False
    job_id: str | None = None
    others: dict[str, dict[str, Any]] = field(default_factory=dict)

    def create_source(self, name: str = SOURCE, *, shards: int | None = None) -> None:
        """Make the source, as an application would."""
        count = shards or self.world.chance.choice((1, 1, 2))
        mappings = {"properties": {"title": {"type": "text"}, "n": {"type": "long"}}}
        body = {"settings": {"number_of_shards": count}, "mappings": mappings}
        self.world.model.answer("PUT", f"/{name}", {}, body)

    def point_alias(self, name: str = SOURCE, **definition: Any) -> None:
        """Let the alias point to an index."""
        add = {"add": {"index": name, "alias": ALIAS, **definition}}
        self.world.model.answer("POST", "/_aliases", {}, {"actions": [add]})

    def fill(self, documents: int) -> None:
        """Write some documents before anything else happens."""
        for _ in range(documents):
            self.world.writers.step()
        self.world.model.refresh_all()

    def command(self, name: str, action: Callable[[], object], *, mortal: bool = True) -> str | None:
        """Run an operator's command; its error, if it has one."""
        actor = Actor(f"ce2de {name}", mortal)
        self.world.tell(f"$ ce2de {name}")
        try:
            self.world.run(actor, action)
        except Ce2deError as error:
            self.world.tell(f"error: {error}")
            return str(error)
        return "killed" if actor.dead else None

    def start(self) -> str | None:
        """``ce2de reindex start``, the same every time."""
        request = JobRequest(SOURCE, TEXT, alias=ALIAS, mode="copy", hold=self.hold)

        def action() -> None:
            job = start(self.world.client, request, self.world.encoder, self.crew.broker)
            self.job_id = job.job_id

        return self.command("reindex start", action)

    def until_started(self) -> None:
        """Start until a job is there."""
        for _ in range(10):
            self.start()
            if self.job_id is not None:
                return
        with self.world.undisturbed():
            self.start()

    @property
    def job(self) -> Job:
        """The job as the ledger has it."""
        assert self.job_id is not None
        with self.world.undisturbed():
            return Ledger(self.world.client).job(self.job_id).job

    def work(self, most: int = _MOST_TASKS) -> None:
        """Let workers carry out messages until the job has ended, or there were too many of them."""
        for _ in range(most):
            if self.job.state not in (RUNNING, FINISHING) and not self.crew.broker.messages:
                return
            if not self.crew.task():
                self._nudge()

    def _nudge(self) -> None:
        """Send the messages again that were lost: what the sweeper does, or ``ce2de reindex resume``."""
        self.world.now_s += 60.0

        def action() -> None:
            ledger = Ledger(self.world.client)
            send_waiting(ledger, ledger.job(str(self.job_id)).job, self.crew.broker)

        self.command("reindex resume", action)

    def sync(self, rounds: int = 20) -> None:
        """``ce2de reindex sync`` until nothing is behind."""

        def action() -> None:
            for _, state in zip(range(rounds), operate.sync(self.world.client, self.crew.broker, str(self.job_id)), strict=False):
                if not state.lag:
                    break
                while self.crew.task():
                    pass
                self.world.sleep(2.0)

        self.command("reindex sync", action)

    def cutover(self) -> str | None:
        """``ce2de reindex cutover``."""
        return self.command(
            "reindex cutover",
            lambda: operate.cutover(self.world.client, self.world.encoder, str(self.job_id), "operator"),
        )

    def rollback(self) -> str | None:
        """``ce2de reindex rollback``."""
        return self.command("reindex rollback", lambda: rollback(self.world.client, str(self.job_id)))

    def retry(self) -> str | None:
        """``ce2de reindex dlq retry``."""
        return self.command(
            "reindex dlq retry", lambda: retry(self.world.client, self.world.encoder, str(self.job_id))
        )

    def write(self, times: int) -> None:
        """Let the applications write."""
        for _ in range(times):
            self.world.writers.step()

    def problems(self, *, vectors: bool, ended: tuple[str, ...] = ("done",)) -> list[str]:
        """What is wrong in the end."""
        found = problems_of_alias(self.world, ALIAS, vectors=vectors)
        found += unasked_indices(self.world)
        found += members_left_alone(self.world, ALIAS, self.others)
        return found + clear_end(self.job, ended)


def begin(world: World, *, through_alias: bool, hold: bool = False) -> Play:
    """A source with documents, an alias on it if applications write through it, and a job that has been started."""
    play = Play(world, Crew(world), hold=hold)
    play.create_source()
    world.writers.names = (SOURCE,)
    if through_alias:
        play.point_alias()
        world.writers.names = (ALIAS,) if world.chance.random() < 0.7 else (ALIAS, SOURCE)
    play.fill(world.chance.randint(0, 12))
    world.others.append(lambda: _quietly(play.crew.task))
    play.until_started()
    return play


def _quietly(action: Callable[[], object]) -> None:
    try:
        action()
    except BackendUnavailableError:
        return


def end(play: Play) -> None:
    """The weather clears: whatever was on its way arrives, and the workers finish what they have."""
    play.world.clear_up()
    play.work()


def handover(world: World) -> list[str]:
    """Applications write through the alias, which moves."""
    play = begin(world, through_alias=True)
    play.work()
    play.write(4)
    end(play)
    return play.problems(vectors=False, ended=("done", "failed"))


def repeated_start(world: World) -> list[str]:
    """The same start again, after applications wrote through the alias: cron does that."""
    play = begin(world, through_alias=True)
    play.work()
    for _ in range(2):
        play.write(world.chance.randint(1, 6))
        play.start()
        play.work()
    end(play)
    return play.problems(vectors=False, ended=("done", "failed"))


def sync_after_cutover(world: World) -> list[str]:
    """Sync, allowed on a job that is done."""
    play = begin(world, through_alias=True)
    play.work()
    play.write(world.chance.randint(1, 6))
    play.sync()
    end(play)
    return play.problems(vectors=False, ended=("done", "failed"))


def mirror(world: World) -> list[str]:
    """Applications write to the source; the alias is new and for searches."""
    play = begin(world, through_alias=False)
    play.work()
    play.write(4)
    end(play)
    if play.job.state != "done":
        play.start()
        play.work()
    play.sync()
    return play.problems(vectors=True)


def cutover_after_rollback(world: World) -> list[str]:
    """Cut over, roll back, cut over again, with writes in between."""
    play = begin(world, through_alias=True)
    play.work()
    play.rollback()
    play.write(3)
    play.cutover()
    play.write(2)
    end(play)
    return play.problems(vectors=False, ended=("done", "failed", "rolled_back"))


@dataclass(frozen=True)
class Scenario:
    """How a scenario is played: ``share`` of the seeds, without the ``forbidden`` disturbances."""

    play: Callable[[World], list[str]]
    share: int = 1
    forbidden: frozenset[str] = frozenset()


SCENARIOS: dict[str, Scenario] = {
    "handover": Scenario(handover),
    "repeated_start": Scenario(repeated_start),
    "sync_after_cutover": Scenario(sync_after_cutover),
    "mirror": Scenario(mirror),
    "cutover_after_rollback": Scenario(cutover_after_rollback),
}
