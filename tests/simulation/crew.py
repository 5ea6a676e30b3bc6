"""The workers and their messages: the product's own tasks, fed by a broker that loses and repeats."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ce2de_os.errors import BackendUnavailableError, Ce2deError
from ce2de_os.reindex.job import Job
from ce2de_os.worker import tasks
from tests.simulation.faults import Actor
from tests.simulation.world import World

Message = tuple[Any, ...]


class Broker:
    """Messages in any order; a `ce2de_os.reindex.queue.TaskQueue`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.messages: list[Message] = []

    def embed_slice(self, job: Job, number: int) -> None:
        """Ask for work on one slice."""
        self.send("embed_slice", job.job_id, number, job.fingerprint)

    def finish_job(self, job: Job) -> None:
        """Ask for verification and cutover."""
        self.send("finish_job", job.job_id, job.fingerprint)

    def follow_job(self, job: Job) -> None:
        """Ask for following."""
        self.send("follow_job", job.job_id, job.fingerprint)

    def following(self) -> int:
        """Messages about standing jobs."""
        return sum(message[0] == "follow_job" for message in self.messages)

    def waiting(self) -> int:
        """Messages that no worker has taken yet; a follower's goes from hand to hand, so it never waits."""
        return sum(message[0] != "follow_job" for message in self.messages)

    def check(self) -> None:
        """It is there."""

    def send(self, *message: Any) -> None:
        """Take a message, or lose it, or have it twice."""
        actor = self._world.actor
        if actor is not None and actor.dead:
            return
        chance = 1.0 if self._world.weather.calm else self._world.chance.random()
        if chance < 0.03:
            self._world.tell(f"message lost: {message}")
            return
        self.messages += [message] * (2 if chance < 0.08 else 1)

    def take(self) -> Message:
        """Any message."""
        return self.messages.pop(self._world.chance.randrange(len(self.messages)))


class Crew:
    """Workers of one machine. Each message is one worker's, who may be killed by it.

    Attributes:
        errors: what went wrong in tasks and is no error of the product's own kind.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.broker = Broker(world)
        self._names = 0
        self._dead: set[str] = set()
        self._tells_deaths = world.chance.random() < 0.5  # workers of other machines know nothing of a death
        self._busy: list[str] = []
        self._idle = [self._named(), self._named()]

    def task(self) -> bool:
        """Let a free worker carry out a message; whether there was one."""
        if not self.broker.messages or not self._idle:
            return False
        message = self.broker.take()
        name = self._idle.pop(self._world.chance.randrange(len(self._idle)))
        worker = Actor(name)
        self._busy.append(name)
        try:
            self._world.run(worker, lambda: self._carry_out(message, name))
        except BackendUnavailableError:
            self.broker.messages.append(message)  # Celery tries again later
        except Ce2deError as error:
            self._world.tell(f"{name}: {error}")
        finally:
            self._busy.remove(name)
            if worker.dead:
                self._dead.add(name)
                self._idle.append(self._named())
                if self._world.chance.random() < 0.8:
                    self.broker.messages.append(message)  # rejected on the loss of its worker
            else:
                self._idle.append(name)
        return True

    def is_gone(self, owner: str) -> bool:
        """Whether a worker is known to be dead."""
        return self._tells_deaths and owner in self._dead

    def _carry_out(self, message: Message, name: str) -> None:
        self._world.tell(f"takes {message}")
        kind, *args = message
        before = tasks.resources, tasks.CeleryQueue
        tasks.resources, tasks.CeleryQueue = self._resources(name), lambda **_: self.broker  # type: ignore[assignment,misc]
        try:
            _body(getattr(tasks, kind))(*args)
        finally:
            tasks.resources, tasks.CeleryQueue = before  # type: ignore[misc]

    def _resources(self, name: str) -> Any:
        world = self._world
        return SimpleNamespace(
            client=lambda: world.client,
            encoder=lambda: world.encoder,
            encoder_fingerprint=lambda: world.encoder.fingerprint,
            owner=lambda: name,
            is_gone=self.is_gone,
        )

    def _named(self) -> str:
        self._names += 1
        return f"worker-{self._names}"


def _body(task: Any) -> Callable[..., None]:
    """A task's own function, without Celery's repetition, which `Crew` stands for."""
    return getattr(task, "_orig_run", task.run)
