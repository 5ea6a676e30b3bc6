"""What a scenario is made of: indices, an alias, applications, workers, and the commands of an operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ce2de_os.errors import BackendUnavailableError, Ce2deError
from ce2de_os.reindex import dead_letters, operate
from ce2de_os.reindex.cutover.rollback import rollback
from ce2de_os.reindex.job import ACTIVE, DONE, FAILED, FOLLOWING, READY, Job
from ce2de_os.reindex.ledger import Ledger
from ce2de_os.reindex.request import JobRequest
from ce2de_os.reindex.setup.start import start
from ce2de_os.reindex.sweep import sweep
from ce2de_os.reindex.syncing.retry import retry
from tests.simulation.checks import TEXT, members_left_alone, problems_of_alias, unasked_indices
from tests.simulation.crew import Crew
from tests.simulation.faults import Actor
from tests.simulation.refusals import RefusedError
from tests.simulation.world import World

SOURCE, ALIAS = "articles", "articles-live"
_MOST_TASKS = 60
_ATTEMPTS = 4


@dataclass
class Stage:
    """One scenario being played in one world.

    Attributes:
        options: of ``ce2de reindex start``, the same every time.
        others: members of the alias that are no business of the job.
    """

    world: World
    crew: Crew
    options: dict[str, Any] = field(default_factory=dict)
    source: str = SOURCE
    job_id: str | None = None
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    _swept_s: float = 0.0

    def create_index(self, name: str, *, knn: bool = False) -> None:
        """Make an index, as an application would."""
        settings = {"number_of_shards": self.world.chance.choice((1, 1, 2)), "index.knn": knn}
        mappings = {"properties": {"title": {"type": "text"}, "n": {"type": "long"}}}
        self.world.model.answer("PUT", f"/{name}", {}, {"settings": settings, "mappings": mappings})

    def point_alias(self, name: str, **definition: Any) -> None:
        """Let the alias point to one index more."""
        add = {"add": {"index": name, "alias": ALIAS, **definition}}
        self.world.model.answer("POST", "/_aliases", {}, {"actions": [add]})

    def recreate(self, name: str) -> None:
        """Delete an index and make it anew, empty, behind the same alias: a nightly rebuild."""
        self.world.tell(f"'{name}' is deleted and made anew")
        self.world.model.answer("DELETE", f"/{name}", {}, None)
        self.create_index(name)
        self.point_alias(name)
        self.world.writers.journal.states.clear()

    def roll_over(self) -> None:
        """Let the alias write to a new index from now on."""
        try:
            _, answer = self.world.model.answer("POST", f"/{ALIAS}/_rollover", {}, {})
        except RefusedError as error:
            self.world.tell(f"rollover: {error}")
            return
        self.world.tell(f"rollover: {answer['old_index']} -> {answer['new_index']}")

    def command(self, name: str, action: Callable[[], object]) -> str | None:
        """Run an operator's command; its error, if it has one."""
        actor = Actor(f"ce2de {name}")
        self.world.tell(f"$ ce2de {name}")
        try:
            self.world.run(actor, action)
        except Ce2deError as error:
            self.world.tell(f"error: {error}")
            return str(error)
        return "killed" if actor.dead else None

    def start(self) -> str | None:
        """``ce2de reindex start``."""
        request = JobRequest(self.source, TEXT, **{"alias": ALIAS, "mode": "copy", **self.options})

        def action() -> None:
            self.job_id = start(self.world.client, request, self.world.encoder, self.crew.broker).job_id

        return self.command("reindex start", action)

    def start_once(self) -> None:
        """Start, and whatever comes of it, do not start again."""
        self.start()
        with self.world.undisturbed():
            self.job_id = next((job.job_id for job in Ledger(self.world.client).jobs()), None)

    def until_started(self) -> None:
        """Start until a job is there, as an operator would."""
        for _ in range(5):
            self.start()
            if self.job_id is not None:
                return
        self.world.deliver_all()
        with self.world.undisturbed():
            error = self.start()
        assert self.job_id is not None, error

    @property
    def job(self) -> Job:
        """The job as the ledger has it."""
        assert self.job_id is not None
        with self.world.undisturbed():
            return Ledger(self.world.client).job(self.job_id).job

    def work(self, most: int = _MOST_TASKS) -> None:
        """Let workers carry out messages until the job has ended."""
        for _ in range(most):
            if self.job_id is None or self.job.state not in ACTIVE:
                return
            if not self.crew.task() or self.world.now_s > self._swept_s + 60.0:
                self.sweep()

    def tasks(self, most: int) -> None:
        """Let workers carry out some messages, whatever they are about."""
        for _ in range(most):
            if not self.crew.task():
                self.sweep()

    def sweep(self) -> None:
        """A minute passes, and a worker looks for jobs that nobody works on."""
        self.world.now_s = max(self.world.now_s, self._swept_s + 60.0)
        self._swept_s = self.world.now_s

        def action() -> None:
            fingerprint = self.world.encoder.fingerprint
            sweep(Ledger(self.world.client), self.crew.broker, fingerprint, self.crew.is_gone)

        self.command("(sweep)", action)

    def cutover(self) -> str | None:
        """``ce2de reindex cutover``."""
        client, encoder = self.world.client, self.world.encoder
        return self.command(
            "reindex cutover", lambda: operate.cutover(client, encoder, str(self.job_id), "operator")
        )

    def rollback(self, *, discard_writes: bool = False) -> str | None:
        """``ce2de reindex rollback``."""
        return self.command(
            "reindex rollback",
            lambda: rollback(self.world.client, str(self.job_id), discard_writes=discard_writes),
        )

    def cancel(self) -> str | None:
        """``ce2de reindex cancel``."""
        return self.command("reindex cancel", lambda: operate.cancel(self.world.client, str(self.job_id)))

    def pause(self) -> str | None:
        """``ce2de reindex pause``."""
        return self.command("reindex pause", lambda: operate.pause(self.world.client, str(self.job_id)))

    def resume(self) -> str | None:
        """``ce2de reindex resume``."""
        return self.command(
            "reindex resume",
            lambda: operate.resume(self.world.client, self.crew.broker, str(self.job_id)),
        )

    def retry(self) -> str | None:
        """``ce2de reindex dlq retry``."""
        client, encoder = self.world.client, self.world.encoder
        return self.command("reindex dlq retry", lambda: retry(client, encoder, str(self.job_id)))

    def a_minute_later(self) -> None:
        """Time passes, more than a request can be on its way."""
        self.world.sleep(60.0)
        self.world.deliver_all()

    def write(self, times: int) -> None:
        """Let the applications write."""
        for _ in range(times):
            self.world.writers.step()

    def calm_down(self) -> None:
        """Whatever was on its way arrives, nothing is disturbed any more, and the workers do what is left."""
        self.world.tell("-- calm from here on --")
        self.world.clear_up()
        self.work()

    def letters(self) -> list[str]:
        """The ids of the job's dead letters."""
        with self.world.undisturbed():
            return sorted(one.doc_id for one in dead_letters.letters(self.world.client, str(self.job_id)))

    def until_done(self) -> list[str]:
        """What an operator does until the job is done, and what is wrong if that leads nowhere."""
        for _ in range(_ATTEMPTS):
            job = self.job
            if job.state == DONE:
                return []
            if job.state == FAILED and "rejected" in str(job.error):
                self.retry()  # of documents that several workers died of
            if job.state == FAILED and "no document has text" in str(job.error):
                self.write(3)  # by chance all had an empty title, and the alias rightly stayed
            held = job.hold and not self.options.get(
                "hold"
            )  # writes were blocked for too long, again and again
            error = self.cutover() if job.state == READY or held else self.start()
            if error is not None and "no document has text" not in error:
                return [f"job is {job.state} ({job.error}), and: {error}"]
            self.work()
        return [f"job is {self.job.state}, expected done: {self.job.error}"]

    def settle(self) -> None:
        """Time enough for a standing job to see everything, and for the leases of dead workers to run out."""
        with self.world.undisturbed():
            standing = {job.job_id for job in Ledger(self.world.client).jobs() if job.state == FOLLOWING}
        while any(
            message[0] != "follow_job" or message[1] not in standing for message in self.crew.broker.messages
        ):
            self.crew.task()
        self.world.now_s += 61.0
        self.sweep()
        self.tasks(3)

    def problems(self, *, vectors: bool, forgiven: tuple[str, ...] = ()) -> list[str]:
        """What is wrong in the end."""
        found = problems_of_alias(self.world, ALIAS, vectors=vectors, forgiven=forgiven)
        found += unasked_indices(self.world)
        return found + members_left_alone(self.world, ALIAS, self.others)


def begin(
    world: World,
    *,
    through_alias: bool,
    by_name: bool = True,
    knn: bool = False,
    rolling: bool = False,
    once: bool = False,
    **options: Any,
) -> Stage:
    """A source with documents, an alias on it if applications write through it, and a job that was started.

    ``by_name``: where they write through the alias, some may know the source by its own name too. ``once``: if
    the start dies, there may be half a job, or none.
    """
    stage = Stage(world, Crew(world), options)
    stage.source = f"{SOURCE}-000001" if rolling else SOURCE
    stage.create_index(stage.source, knn=knn)
    world.writers.names = (SOURCE,)
    if through_alias:
        stage.point_alias(stage.source, **({"is_write_index": True} if rolling else {}))
        world.writers.only_new = rolling
        world.writers.names = (ALIAS, SOURCE) if by_name and world.chance.random() < 0.3 else (ALIAS,)
    stage.write(world.chance.randint(0, 12))
    world.model.refresh_all()
    world.others.append(lambda: _quietly(stage.crew.task))
    if once:
        stage.start_once()
    else:
        stage.until_started()
    return stage


def _quietly(action: Callable[[], object]) -> None:
    try:
        action()
    except BackendUnavailableError:
        return
