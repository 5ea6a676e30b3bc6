"""What happens around a request: faults of the network and the server, deaths, and what others do meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field


class Death(BaseException):
    """A process was killed: no cleanup of its own may reach the server after it."""

    def __init__(self, actor: Actor) -> None:
        super().__init__(f"{actor.name} was killed")
        self.actor = actor


@dataclass(eq=False)
class Actor:
    """A process that speaks to OpenSearch: a worker, or a command of an operator."""

    name: str
    mortal: bool = True
    dead: bool = False


WEIGHTS = {
    "writers": 10, "deliver": 4, "other": 5, "clock": 4, "refresh": 3, "death": 2, "timeout_lost": 2,
    "timeout_applied": 3, "timeout_late": 2, "cut_lost": 1, "cut_applied": 2, "busy": 1, "unready": 1, "outage": 1,
}  # fmt: skip
ALWAYS = ("writers", "deliver")
JUMPS_S = (1.0, 10.0, 31.0, 65.0, 125.0, 400.0)
OUTAGES_S = (2.0, 20.0, 90.0, 300.0)
MOST_DEATHS, MOST_DEPTH = 3, 2


@dataclass
class Weather:
    """Which disturbances a seed has, and how often they come.

    Some seeds have all kinds, most only some: a rare sequence of one kind is found sooner where the others do not
    get in between.
    """

    chance: random.Random
    kinds: list[str] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    mean_gap: float = 8.0
    gap: int = 0
    deaths: int = 0
    left: int = 40
    critical_share: float = 0.0
    calm: bool = False

    @classmethod
    def drawn(cls, chance: random.Random, forbidden: frozenset[str] = frozenset()) -> Weather:
        """Draw the kinds of disturbances of a seed, and their frequency."""
        share = chance.choice((0.3, 0.6, 1.0))
        kinds = [
            kind for kind in WEIGHTS if kind not in forbidden and (kind in ALWAYS or chance.random() < share)
        ]
        found = cls(chance, kinds, [WEIGHTS[kind] for kind in kinds], chance.choice((2.0, 5.0, 12.0, 30.0)))
        found.left = chance.choice((6, 15, 30, 60))
        found.critical_share = chance.choice((0.0, 0.05, 0.2))
        found.gap = chance.choice((1, 30, 80, 150))  # so that the end of a job has its share too
        return found

    def wait(self) -> None:
        """Draw how many requests pass before the next disturbance."""
        self.gap = 1 + int(self.chance.expovariate(1.0 / self.mean_gap))

    def next(self, *, critical: bool) -> str | None:
        """What disturbs this request; ``None``: nothing does. A ``critical`` one is disturbed more often."""
        if self.calm or not self.left:
            return None
        self.gap -= 1
        if critical and self.chance.random() < self.critical_share:
            self.gap = 0
        if self.gap > 0:
            return None
        self.wait()
        self.left -= 1
        return self.chance.choices(self.kinds, self.weights)[0]

    def sleeper(self, duration_s: float) -> str | None:
        """What disturbs this sleep; ``None``: nothing does."""
        if self.calm or not self.left or self.chance.random() > min(0.5, duration_s / 10):
            return None
        self.left -= 1
        return self.chance.choice(("other", "writers"))

    def kills(self, actor: Actor | None) -> bool:
        """Whether an actor dies now; a seed has a few deaths at most."""
        if actor is None or not actor.mortal or self.deaths >= MOST_DEATHS:
            return False
        self.deaths += 1
        actor.dead = True
        return True


Step = Callable[[], None]
